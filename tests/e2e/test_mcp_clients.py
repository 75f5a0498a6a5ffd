"""The official Python client at two processes on one file: what the table in tests/peers/mcp does not have."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitRequestParams, ElicitResult

from e2e.cluster import Cluster, cluster
from mcp import Client

SERVER = Path(__file__).with_name("echo_server.py")
PATIENCE = 30.0


@asynccontextmanager
async def two_workers(folder: Path, *arguments: str) -> AsyncIterator[Cluster]:
    store = f"sqlite:///{folder / 'sessions.db'}"
    async with cluster(lambda port: [sys.executable, str(SERVER), str(port), store, *arguments]) as workers:
        yield workers


async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="accept", content={"word": f"{params.message}!"})


async def test_a_question_is_answered_through_the_proxy_at_whichever_worker(tmp_path: Path) -> None:
    with anyio.fail_after(PATIENCE):
        async with (
            two_workers(tmp_path) as workers,
            Client(f"{workers.url}/mcp", mode="legacy", elicitation_callback=answer) as client,
        ):
            for number in range(6):
                result = await client.call_tool("ask", {"text": f"word {number}"})
                assert result.content[0].text == f"accept word {number}!"  # type: ignore[union-attr]


async def test_a_worker_killed_and_started_again_loses_no_session(tmp_path: Path) -> None:
    # M6
    with anyio.fail_after(PATIENCE):
        async with two_workers(tmp_path) as workers, Client(f"{workers.url}/mcp", mode="legacy") as client:
            await client.call_tool("where", {})
            for victim in (0, 1):
                await workers.kill(victim)
                for _ in range(3):
                    assert not (await client.call_tool("where", {})).is_error
                await workers.start(victim)
            await workers.kill(0)
            await workers.kill(1)
            await workers.start(0)
            await workers.start(1)
            seen = (await client.call_tool("where", {})).structured_content
            assert seen is not None
            assert seen["session"]


async def test_the_token_is_asked_for_at_every_worker(tmp_path: Path) -> None:
    # M12
    with anyio.fail_after(PATIENCE):
        async with two_workers(tmp_path, "s3cret") as workers:
            async with httpx2.AsyncClient() as plain:
                statuses = {(await plain.get(f"{workers.url}/mcp")).status_code for _ in range(8)}
                assert statuses == {401}
            headers = {"Authorization": "Bearer s3cret"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http,
                Client(streamable_http_client(f"{workers.url}/mcp", http_client=http), mode="legacy") as client,
            ):
                assert (await client.call_tool("echo", {"text": "in"})).content[0].text == "in"  # type: ignore[union-attr]


async def test_a_server_with_open_streams_stops_when_it_is_told_to(tmp_path: Path) -> None:
    # SIGTERM: the client's stream ends, and so does the process
    async def serve_and_stop() -> Any:
        async with two_workers(tmp_path) as workers, Client(f"{workers.url}/mcp", mode="legacy") as client:
            await client.call_tool("where", {})
            await anyio.sleep(0)
            return [await workers.stop(number) for number in (0, 1)]

    with anyio.fail_after(PATIENCE):
        codes = await serve_and_stop()
    assert all(code is not None for code in codes)
