"""An application beside an MCP server on the same sessions, as two processes behind a proxy that picks at random."""

import sys
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client.streamable_http import streamable_http_client
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from e2e.cluster import cluster
from mcp import Client

SERVER = Path(__file__).with_name("middleware_server.py")
PATIENCE = 90.0  # four processes are started, on a machine that may be busy


async def test_a_client_and_an_application_share_a_session_over_two_processes_and_a_kill(tmp_path: Path) -> None:
    # M22, M6
    ids: set[str] = set()

    async def look(response: Any) -> None:
        ids.update(filter(None, [response.headers.get("mcp-session-id")]))

    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    with anyio.fail_after(PATIENCE):
        async with (
            cluster(lambda port: [sys.executable, str(SERVER), str(port), store]) as workers,
            httpx2.AsyncClient(timeout=PATIENCE, event_hooks={"response": [look]}) as http,
            Client(streamable_http_client(f"{workers.url}/mcp", http_client=http), mode="legacy") as client,
        ):
            for number in range(1, 6):
                result = await client.call_tool("put", {"article": f"apple {number}"})
                assert result.structured_content == {"result": number}
            [id_] = ids
            named = {"mcp-session-id": id_}
            seen = [(await http.get(f"{workers.url}/basket", headers=named)).json() for _ in range(12)]
            assert len({one["process"] for one in seen}) == 2
            assert seen[-1]["visits"] == 2
            assert seen[-1]["basket"] == [f"apple {number}" for number in range(1, 6)]
            socket = f"ws://127.0.0.1:{workers.ports[0]}/chat"
            async with connect(socket, additional_headers=named) as chat:
                await chat.send("hello")
                assert await chat.recv() == "kept"
                assert (await http.get(f"{workers.url}/basket", headers=named)).json()["said"] == "hello"
            await workers.kill(0)
            await workers.kill(1)
            await workers.start(0)
            await workers.start(1)
            after = (await http.get(f"{workers.url}/basket", headers=named)).json()
            assert after["basket"] == seen[-1]["basket"]
            assert (await client.call_tool("put", {"article": "pear"})).structured_content == {"result": 6}
            async with connect(socket, additional_headers=named) as chat:
                assert (await http.delete(f"{workers.url}/mcp", headers=named)).status_code == 204
                with pytest.raises(ConnectionClosed) as closed:
                    await chat.recv()
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "session_ended")
            ended = await http.get(f"{workers.url}/basket", headers=named)
            assert (ended.status_code, ended.json()["id"]) == (401, id_)
            assert (await http.get(f"{workers.url}/basket")).json()["id"] is None
            assert [await workers.stop(number) is not None for number in (0, 1)] == [True, True]
