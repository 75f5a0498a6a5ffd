"""Streams between real processes: broken at any moment, come back for anywhere, after kills, in every shared store."""

import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
import pytest
from mcp.client.streamable_http import streamable_http_client

from e2e.cluster import Cluster, cluster
from e2e.mcp_world import LEGACY, call, initialize, notification
from e2e.wire import JSON_HEADERS, Event
from holdfast.core.sealing import new_key_text
from mcp import ClientSession
from stores.stores import Place, Servers, fresh

SERVER: Final = Path(__file__).with_name("streams_server.py")
STREAM: Final = {"accept": "text/event-stream"}
PATIENCE: Final = 120.0
ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "elicitation/create": {"action": "accept", "content": {"word": "yes"}},
    "sampling/createMessage": {"role": "assistant", "content": {"type": "text", "text": "yes"}, "model": "m"},
    "roots/list": {"roots": [{"uri": "file:///yes"}]},
}


class Client:
    """A client of its own making: it sees every event, and decides when a connection breaks."""

    def __init__(self, workers: Cluster, http: httpx2.AsyncClient) -> None:
        self.workers, self._http = workers, http
        self.named: dict[str, str] = {}
        self.last = ""  # the last event id it has seen, on whichever stream
        self.seen: list[Event] = []

    def url(self, worker: int | None) -> str:
        return f"{self.workers.url if worker is None else f'http://127.0.0.1:{self.workers.ports[worker]}'}/mcp"

    async def post(self, body: Any, worker: int | None = None) -> httpx2.Response:
        return await self._http.post(self.url(worker), json=body, headers={**JSON_HEADERS, **self.named})

    async def handshake(self, version: str = LEGACY) -> None:
        opened = await self.post(initialize(version, sampling={}, elicitation={}, roots={}))
        self.named = {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": version}
        assert (await self.post(notification("notifications/initialized"))).status_code == 202

    async def read(
        self, body: Any = None, *, worker: int | None = None, most: int = 10**9, resume: bool = True
    ) -> list[Event]:
        """Send a request, or come back for the last stream; return its events, after `most` of which it breaks."""
        cursor = {"last-event-id": self.last} if self.last and body is None and resume else {}
        headers = {**(JSON_HEADERS if body else STREAM), **self.named, **cursor}
        events: list[Event] = []
        async with self._http.stream("POST" if body else "GET", self.url(worker), json=body, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            text = ""
            try:
                async for piece in answer.aiter_text():
                    text += piece
                    *blocks, text = text.split("\n\n")
                    for block in blocks:
                        if block.startswith(":") and "\n" not in block:
                            continue
                        events.append(Event(block))
                        self.last = events[-1].id or self.last
                        self.seen.append(events[-1])
                        if len(events) == most:
                            return events
            except (httpx2.RemoteProtocolError, httpx2.ReadError):
                return events  # its worker was killed
        return events

    @property
    def messages(self) -> list[Any]:
        return [event.message for event in self.seen if event.data]

    @property
    def numbers(self) -> list[int]:
        return [message["params"]["n"] for message in self.messages if message.get("method") == "notifications/n"]

    @property
    def result(self) -> str:
        return str(self.messages[-1]["result"]["content"][0]["text"])


def command(port: int) -> Sequence[str]:
    return [sys.executable, str(SERVER), str(port)]


@asynccontextmanager
async def client(place: Place, *, count: int = 2, **settings: str) -> AsyncIterator[Client]:
    base = {"STORE": place.url, "NAMESPACE": place.namespace, "KEYS": new_key_text(), **settings}
    env = {**os.environ, **{f"HOLDFAST_{name.upper()}": value for name, value in base.items()}}
    with anyio.fail_after(PATIENCE):
        async with cluster(command, count=count, env=env) as workers, httpx2.AsyncClient(timeout=PATIENCE) as http:
            made = Client(workers, http)
            await made.handshake()
            yield made


@pytest.fixture
def sqlite(servers: Servers, tmp_path: Path) -> Place:
    return fresh("sqlite", servers, tmp_path)


async def test_a_tool_goes_on_while_its_stream_breaks_again_and_again_and_all_of_it_arrives_once(
    shared_place: Place,
) -> None:
    # M14, M15
    async with client(shared_place) as caller:
        await caller.read(call("count", 7, to=40, every=0.03), most=4)
        for most in range(1, 100):
            if not caller.messages or "result" not in caller.messages[-1]:
                await caller.read(most=1 + most % 7)
        assert caller.numbers == [*range(40)]
        assert caller.result == "counted"
        assert len({event.id for event in caller.seen}) == len(caller.seen) == 42


async def test_a_server_that_hangs_up_is_polled_at_whichever_worker(sqlite: Place) -> None:
    # M15: polling streams
    async with client(sqlite) as caller:
        first = await caller.read(call("hang_up", 7, to=5, every=0.1))
        assert [(event.data, event.retry) for event in first] == [("", "1000")]
        await caller.read()
        assert (caller.numbers, caller.result) == ([*range(5)], "counted")


async def test_an_answer_is_had_although_the_worker_is_killed_at_which_it_was_come_back_for(
    shared_place: Place,
) -> None:
    # M15
    async with client(shared_place) as caller:
        await caller.read(call("count", 7, to=30, every=0.1), worker=0, most=3)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller.read, None)
            while len(caller.numbers) < 6:
                await anyio.sleep(0.01)
            await caller.workers.kill(1)
        await caller.workers.start(1)
        await caller.read(worker=1)
        assert (caller.numbers, caller.result) == ([*range(30)], "counted")


async def test_who_waits_for_the_answer_of_a_killed_worker_gets_all_it_said_and_then_an_error(sqlite: Place) -> None:
    # M15
    async with client(sqlite, keep_alive="0.3") as caller:
        await caller.read(call("count", 7, to=1000, every=0.05), worker=0, most=6)
        await anyio.sleep(0.5)
        await caller.workers.kill(0)
        await caller.read(worker=1)
        assert len(caller.numbers) > 8
        assert caller.numbers == [*range(len(caller.numbers))]
        assert caller.messages[-1]["id"] == 7
        assert caller.messages[-1]["error"]["data"]["code"] == "server_stopping"


async def test_messages_of_the_sessions_own_stream_survive_the_death_of_its_worker(shared_place: Place) -> None:
    # M14
    async with client(shared_place) as caller:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: caller.read(worker=0, resume=False))
            while not caller.seen:
                await anyio.sleep(0.01)
            await caller.post(call("push", 2, to=20), worker=1)
            while len(caller.numbers) < 20:
                await anyio.sleep(0.01)
            await caller.workers.kill(0)
        before = len(caller.seen)
        assert (await caller.post(call("push", 3, to=30), worker=1)).status_code == 200
        await caller.read(worker=1, most=30)
        assert caller.numbers == [*range(20), *range(30)]
        await caller.workers.start(0)
        caller.last = str(caller.seen[before - 1].id)
        await caller.read(worker=0, most=30)
        assert caller.numbers[-30:] == [*range(30)]


async def test_a_question_is_come_back_for_at_one_worker_and_answered_at_another(sqlite: Place) -> None:
    # M16
    async with client(sqlite, count=3) as caller:
        for method, result in ANSWERS.items():
            await caller.read(call("ask", 7, method=method), worker=0, most=1)
            await caller.read(worker=1, most=1)
            question = caller.messages[-1]
            assert question["method"] == method
            answer = {"jsonrpc": "2.0", "id": question["id"], "result": result}
            assert (await caller.post(answer, worker=2)).status_code == 202
            await caller.read(worker=1)
            assert json.loads(caller.result) == result


async def test_a_question_on_the_sessions_own_stream_is_answered_at_a_third_worker(sqlite: Place) -> None:
    # M16
    async with client(sqlite, count=3) as caller, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: caller.read(worker=1, resume=False))
        while not caller.seen:
            await anyio.sleep(0.01)
        for number, (method, result) in enumerate(ANSWERS.items(), 1):
            done: list[httpx2.Response] = []

            async def asking(method: str = method, done: list[httpx2.Response] = done) -> None:
                done.append(await caller.post(call("ask", 7, method=method, aside=True), worker=0))

            tasks.start_soon(asking)
            while len(caller.messages) < number:
                await anyio.sleep(0.01)
            question = caller.messages[-1]
            assert question["method"] == method
            await caller.post({"jsonrpc": "2.0", "id": question["id"], "result": result}, worker=2)
            while not done:
                await anyio.sleep(0.01)
            assert json.loads(done[0].json()["result"]["content"][0]["text"]) == result
        tasks.cancel_scope.cancel()


async def test_the_official_client_gets_the_result_of_a_call_whose_server_hung_up(sqlite: Place) -> None:
    # M5, M15
    async with (
        client(sqlite) as caller,
        streamable_http_client(f"{caller.workers.url}/mcp") as (receive, send, *_),
        ClientSession(receive, send) as session,
    ):
        await session.initialize()
        result = await session.call_tool("hang_up", {"to": 10, "every": 0.1})
        assert result.content[0].text == "counted"  # type: ignore[union-attr]


async def test_the_streams_of_a_server_that_stops_go_on_at_the_next_one(sqlite: Place) -> None:
    # M14, M18
    async with client(sqlite) as caller:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: caller.read(worker=0, resume=False))
            while not caller.seen:
                await anyio.sleep(0.01)
            await caller.workers.stop(0)
        assert (await caller.post(call("push", 3, to=3))).status_code == 200
        await caller.read(most=3)
        assert caller.numbers == [0, 1, 2]
