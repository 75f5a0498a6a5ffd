"""The official Python client's old transport against two processes behind a proxy that picks at random."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp.client import ClientRequestContext
from mcp.client.sse import sse_client
from mcp.types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    SamplingMessage,
    TextContent,
)

from e2e.cluster import Cluster, cluster
from mcp import Client

SERVER = Path(__file__).with_name("old_sse_server.py")
PATIENCE = 90.0  # four processes are started, on a machine that may be busy
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@asynccontextmanager
async def two_workers(folder: Path, *arguments: str) -> AsyncIterator[Cluster]:
    store = f"sqlite:///{folder / 'sessions.db'}"
    async with cluster(lambda port: [sys.executable, str(SERVER), str(port), store, *arguments]) as workers:
        yield workers


def said(message: SamplingMessage) -> str:
    content: Any = message.content
    return str(content.text)


async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="accept", content={"word": f"{params.message}!"})


async def think(context: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
    text = TextContent(type="text", text=f"I think {said(params.messages[0])}")
    return CreateMessageResult(role="assistant", content=text, model="m")


@asynccontextmanager
async def connected(workers: Cluster, **headers: str) -> AsyncIterator[Client]:
    transport = sse_client(f"{workers.url}/sse", headers=headers or None, timeout=PATIENCE)
    async with Client(transport, mode="legacy", elicitation_callback=answer, sampling_callback=think) as client:
        yield client


async def test_the_python_client_does_its_whole_work_over_two_processes(tmp_path: Path) -> None:
    # item 7: messages arrive at either process, what comes of them on the one stream
    heard: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.append(done)

    with anyio.fail_after(PATIENCE):
        async with two_workers(tmp_path) as workers, connected(workers) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == [
                "echo",
                "where",
                "slowly",
                "ask",
                "think",
            ]
            seen = [(await client.call_tool("where", {})).structured_content for _ in range(12)]
            assert len({one["process"] for one in seen if one}) == 2
            assert {one["session"] for one in seen if one} == {True}
            await client.call_tool("slowly", {}, progress_callback=progress)
            assert heard == [1, 2, 3, 4, 5]
            for number in range(4):
                asked = await client.call_tool("ask", {"text": f"word {number}"})
                thought = await client.call_tool("think", {"text": f"{number}"})
                assert asked.content[0].text == f"accept word {number}!"  # type: ignore[union-attr]
                assert thought.content[0].text == f"I think {number}"  # type: ignore[union-attr]


async def test_calls_at_once_each_get_their_answer(tmp_path: Path) -> None:
    texts = [f"{number}" * 5000 for number in range(20)]
    got: dict[str, str] = {}
    with anyio.fail_after(PATIENCE):
        async with two_workers(tmp_path) as workers, connected(workers) as client:

            async def call(text: str) -> None:
                got[text] = (await client.call_tool("echo", {"text": text})).content[0].text  # type: ignore[union-attr]

            async with anyio.create_task_group() as tasks:
                for text in texts:
                    tasks.start_soon(call, text)
    assert got == {text: text for text in texts}


async def test_the_token_is_asked_for_and_a_server_with_open_streams_stops_and_is_used_again(tmp_path: Path) -> None:
    # M12, M18
    with anyio.fail_after(PATIENCE):
        async with two_workers(tmp_path, "s3cret") as workers:
            async with httpx2.AsyncClient() as plain:
                assert (await plain.get(f"{workers.url}/sse")).status_code == 401
                posted = await plain.post(f"{workers.url}/sse/messages?session_id=x", json={})
                assert posted.status_code == 401
            headers = {"Authorization": "Bearer s3cret"}
            async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http:
                async with http.stream("GET", f"{workers.url}/sse") as stream:
                    lines = stream.aiter_lines()
                    while not (line := await anext(lines)).startswith("data: "):
                        pass
                    for number in (0, 1):
                        assert await workers.stop(number) is not None
                    with suppress(httpx2.RemoteProtocolError):
                        async for _ in lines:  # ends
                            pass
                for number in (0, 1):
                    await workers.start(number)
                dead = await http.post(f"{workers.url}{line.removeprefix('data: ')}", json={**PING})
                assert dead.status_code == 404
            async with connected(workers, **headers) as client:
                assert (await client.call_tool("echo", {"text": "in"})).content[0].text == "in"  # type: ignore[union-attr]
