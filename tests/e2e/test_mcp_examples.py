"""The example servers, as they stand: two workers on a real Redis, each of which is killed while a client works."""

import ast
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitRequestParams, ElicitResult

from e2e.cluster import Cluster, cluster
from holdfast.core.sealing import new_key_text
from mcp import Client
from stores.stores import Servers

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SERVERS = ("mcp_sdk_server", "mcp_lowlevel_server", "mcp_fastmcp_server")
PATIENCE = 60.0
pytestmark = pytest.mark.servers


@asynccontextmanager
async def shop(name: str, servers: Servers, folder: Path) -> AsyncIterator[Cluster]:
    """Run an example by the command that it names, with one worker for each port."""
    store = servers.of("redis").url
    env = {**os.environ, "STORE": store, "HOLDFAST_KEYS": new_key_text(), "HOLDFAST_NAMESPACE": folder.name}

    def command(port: int) -> list[str]:
        words = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), f"{name}:app", "--no-proxy-headers"]
        return [*words, "--port", str(port), "--log-level", "warning"]

    async with cluster(command, env=env) as workers:
        yield workers


class Shopper:
    """A client of the official SDK that counts the sessions it was given."""

    def __init__(self, url: str) -> None:
        self.url, self.sessions, self.heard = url, set[str](), list[float]()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        async def note(response: httpx2.Response) -> None:
            self.sessions |= {response.request.headers.get("mcp-session-id", "")} - {""}

        async with (
            httpx2.AsyncClient(timeout=PATIENCE, event_hooks={"response": [note]}) as http,
            Client(
                streamable_http_client(f"{self.url}/mcp", http_client=http),
                mode="legacy",
                elicitation_callback=self.agree,
            ) as client,
        ):
            yield client

    async def agree(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        wanted: Any = params
        [name] = wanted.requested_schema["properties"]
        return ElicitResult(action="accept", content={name: True})

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        self.heard.append(done)


async def told(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return str(getattr(result.content[0], "text", ""))


@pytest.mark.parametrize("name", SERVERS)
async def test_an_ordinary_server_loses_no_session_when_a_worker_is_killed(
    name: str, servers: Servers, tmp_path: Path
) -> None:
    # M2, M6
    with anyio.fail_after(PATIENCE):
        async with shop(name, servers, tmp_path) as workers:
            shopper = Shopper(workers.url)
            async with shopper.connected() as client:
                assert {"price", "order"} <= {tool.name for tool in (await client.list_tools()).tools}
                if name == "mcp_fastmcp_server":
                    assert await told(client, "add", article="tea") == '["tea"]'
                for victim in (0, 1):
                    await workers.kill(victim)
                    assert await told(client, "price", article="tea") == "4.5"
                    assert await told(client, "order", article="tea") == "tea ordered"
                    await client.call_tool("stocktaking", {}, progress_callback=shopper.progress)
                    await workers.start(victim)
                if name == "mcp_fastmcp_server":
                    assert await told(client, "add", article="coffee") == '["tea","coffee"]'
    assert len(shopper.sessions) == 1
    assert shopper.heard == [1, 2, 1, 2]


@pytest.mark.parametrize("name", SERVERS)
def test_an_example_names_its_three_lines_and_the_command_is_the_one_that_was_run(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    assert [line for line in text.splitlines() if "holdfast" in line and "# " in line] == [
        "import holdfast.mcp  # 1",
        'app = holdfast.mcp.asgi(server, store=os.environ.get("STORE", "redis://127.0.0.1:6379/0"))'
        "  # 2; the command is 3",
    ]
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert f"uvicorn --app-dir examples {name}:app --workers 4 --no-proxy-headers" in docstring
