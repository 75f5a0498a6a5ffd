"""The source's own scenarios over sockets: two processes on one store behind a proxy that picks at random."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from e2e.cluster import Cluster, cluster
from e2e.mcp_world import call, request, texts
from e2e.wire import Event
from holdfast.core.sealing import new_key_text
from mcp import Client
from servers.redis import redis_server

SERVER = Path(__file__).with_name("dialect_server.py")
STREAM = {"accept": "text/event-stream"}
PATIENCE = 30.0


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'sessions.db'}"
        return
    with redis_server() as server:
        yield server.url


@asynccontextmanager
async def two_workers(store: str, session_timeout: float = 1800) -> AsyncIterator[Cluster]:
    env = {**os.environ, "HOLDFAST_KEYS": new_key_text()}
    command = [str(SERVER)]
    async with cluster(
        lambda port: [sys.executable, *command, str(port), store, str(session_timeout)], env=env
    ) as workers:
        yield workers


class Reader:
    """A stream that is read in the background."""

    def __init__(self) -> None:
        self.text, self.status, self.ended = "", 0, False

    @property
    def events(self) -> list[Event]:
        blocks = self.text.split("\n\n")[:-1]
        return [Event(block) for block in blocks if not all(line.startswith(":") for line in block.split("\n"))]

    def told(self, name: str) -> list[Any]:
        return [event.message for event in self.events if event.name == name]

    async def read(self, client: httpx2.AsyncClient, url: str, headers: dict[str, str]) -> None:
        async with client.stream("GET", url, headers={**STREAM, **headers}, timeout=None) as answer:
            self.status = answer.status_code
            async for text in answer.aiter_text():
                self.text += text
        self.ended = True

    async def until(self, condition: Any) -> None:
        with anyio.fail_after(PATIENCE):
            while not condition(self):
                await anyio.sleep(0.01)


@asynccontextmanager
async def reading(url: str, **headers: str) -> AsyncIterator[Reader]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reader = Reader()
    async with httpx2.AsyncClient() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(reader.read, client, url, named)
        await reader.until(lambda seen: seen.status)
        yield reader
        tasks.cancel_scope.cancel()


async def begun(reader: Reader) -> str:
    await reader.until(lambda seen: seen.told("session"))
    return str(reader.told("session")[0]["session_id"])


async def used(url: str, body: Any, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx2.AsyncClient(timeout=PATIENCE) as client:
        return await client.post(url, json=body, headers={"accept": "application/json", **named})


async def test_establish_use_and_resume_at_any_worker_and_after_each_was_killed(store: str) -> None:
    # M6-M9: the source's "Client Session Usage", end to end
    with anyio.fail_after(3 * PATIENCE):
        async with two_workers(store) as workers:
            url = f"{workers.url}/mcp"
            async with reading(url, mcp_protocol_version="2025-06-18") as stream:
                session_id = await begun(stream)
                await stream.until(lambda seen: any(event.name == "endpoint" for event in seen.events))
                for number in range(6):
                    seen = await used(url, call("echo", text=f"{number}"), x_session_id=session_id)
                    assert texts(seen.json()["result"]) == [f"{number}"]
                assert len((await used(url, request("tools/list"), x_session_id=session_id)).json()["result"]["tools"])
            for victim in (0, 1):
                await workers.kill(victim)
                async with reading(f"{url}?session_id={session_id}") as stream:
                    await stream.until(lambda seen: seen.told("session-resumed"))
                    assert stream.told("session-resumed")[0]["session_id"] == session_id
                    assert (await used(url, request("ping"), x_session_id=session_id)).status_code == 200
                await workers.start(victim)
    assert min(workers.served) > 0


async def test_a_session_is_warned_and_expires_by_the_clock_alone_and_then_is_not_found(store: str) -> None:
    # M9, M28
    with anyio.fail_after(2 * PATIENCE):
        async with two_workers(store, session_timeout=3) as workers:
            url = f"{workers.url}/mcp"
            async with reading(url) as stream:
                session_id = await begun(stream)
                await stream.until(lambda seen: seen.ended)
                [warning], [expired] = stream.told("session-warning"), stream.told("session-expired")
                assert (warning["session_id"], warning["expires_in_seconds"]) == (session_id, 1)
                assert expired["session_id"] == session_id
            for _ in range(4):
                async with reading(f"{url}?session_id={session_id}") as stream:
                    await stream.until(lambda seen: seen.ended)
                    assert [event.name for event in stream.events] == ["session-expired", "error"]
                    assert stream.told("error")[0]["code"] == "session_not_found"
                refused = await used(url, request("ping"), x_session_id=session_id)
                assert refused.status_code == 404
                assert "session_not_found" in refused.text


async def test_the_fourth_connection_is_refused_and_the_three_are_told_wherever_they_are(store: str) -> None:
    # M11
    with anyio.fail_after(2 * PATIENCE):
        async with two_workers(store) as workers:
            url = f"{workers.url}/mcp"
            async with reading(url) as one:
                session_id = await begun(one)
                async with reading(url, x_session_id=session_id) as two, reading(url, x_session_id=session_id) as three:
                    for stream in (two, three):
                        await stream.until(lambda seen: seen.told("session-resumed"))
                    async with httpx2.AsyncClient(timeout=PATIENCE) as client:
                        fourth = await client.get(url, headers={**STREAM, "x-session-id": session_id})
                    assert (fourth.status_code, "retry-after" in fourth.headers) == (429, True)
                    for stream in (one, two, three):
                        await stream.until(lambda seen: seen.told("session-limit"))
                        assert stream.told("session-limit")[0]["session_id"] == session_id


async def test_the_sixth_session_of_a_client_takes_the_place_of_another(store: str) -> None:
    # M10: max_sessions_per_client 5
    with anyio.fail_after(2 * PATIENCE):
        async with two_workers(store) as workers:
            url, ids = f"{workers.url}/mcp", []
            for _ in range(6):
                async with reading(url) as stream:
                    ids.append(await begun(stream))
                    await anyio.sleep(0.02)  # so that the wall clock tells which one is the oldest
            statuses = [(await used(url, request("ping"), x_session_id=one)).status_code for one in ids]
    assert sorted(statuses) == [200] * 5 + [404]
    assert statuses[-1] == 200


async def test_events_of_the_servers_own_reach_the_stream_from_whichever_worker(store: str) -> None:
    # M30
    with anyio.fail_after(2 * PATIENCE):
        async with two_workers(store) as workers:
            url = f"{workers.url}/mcp"
            async with reading(url) as stream:
                session_id = await begun(stream)
                for _ in range(6):
                    seen = await used(url, call("send", event="price", session_id=session_id), x_session_id=session_id)
                    assert texts(seen.json()["result"]) == ["True"]
                seen = await used(url, call("warn"), x_session_id=session_id)
                assert texts(seen.json()["result"]) == ["True"]
                await stream.until(lambda seen: seen.told("session-limit"))
                assert stream.told("price") == [{"from": "elsewhere"}] * 6
                assert stream.told("session-warning")[0]["expires_in_seconds"] == 42
                seen = await used(url, call("send", event="price", session_id="a" * 43))
                assert texts(seen.json()["result"]) == ["False"]
                seen = await used(url, call("send", event="message", session_id=session_id))
                assert seen.json()["result"]["isError"]


@pytest.mark.parametrize("name", ["session", "session-resumed", "session-expired", "session-warning", "session-limit"])
async def test_the_python_client_passes_over_each_event_of_the_session(name: str, tmp_path: Path) -> None:
    # M9: unknown names of events are no trouble to it; its own stream began with one already
    with anyio.fail_after(2 * PATIENCE):
        async with (
            two_workers(f"sqlite:///{tmp_path / 'sessions.db'}") as workers,
            Client(f"{workers.url}/mcp", mode="legacy") as client,
        ):
            while text_of(await client.call_tool("send", {"event": name})) != "True":
                await anyio.sleep(0.05)  # it opens its stream when it finds the time
            for _ in range(3):
                assert text_of(await client.call_tool("send", {"event": name})) == "True"
                assert text_of(await client.call_tool("echo", {"text": name})) == name


def text_of(result: Any) -> str:
    return str(result.content[0].text)
