"""The source's guide, section by section, over HTTP: two processes on every store (one on the store in memory).

Every test is a client of its own: it has an address of its own, by which the source tells clients apart.
"""

import itertools
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from e2e.cluster import Cluster, cluster
from e2e.mcp_world import call, initialize, request, texts
from e2e.pair import NO_TLS, PATIENCE_S, Pair, Stream, two_processes
from e2e.wire import Event
from holdfast.core.sealing import new_key_text
from mcp import Client
from stores.stores import SORTS, Place, Servers, fresh, params

SERVER = Path(__file__).with_name("source_server.py")
addresses = itertools.count(1)


def command(port: int, place: Place, timeout: float = 1800) -> list[str]:
    namespace = place.namespace if place.sort == "postgres" else f"{place.namespace}-{timeout}"
    return [sys.executable, str(SERVER), str(port), place.url, str(timeout), namespace]


@pytest.fixture(scope="module", params=params(*SORTS))
def pair(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two processes on each store in turn, with the source's values."""
    place = fresh(request.param, servers, tmp_path_factory.mktemp(request.param))
    env, count = {**os.environ, "HOLDFAST_KEYS": new_key_text()}, 1 if place.sort == "memory" else 2
    with two_processes(lambda port: command(port, place), place.url, env, count=count) as processes:
        yield processes


class Visitor:
    """A client of the source: requests and streams from one address, at either process in turn."""

    def __init__(self, pair: Pair, path: str = "/mcp") -> None:
        self._pair, self._path, self._turns = pair, path, itertools.count()
        number = next(addresses)
        self._head = {"x-forwarded-for": f"198.51.{number // 250}.{number % 250 + 1}", "user-agent": "source/1"}

    def stream(self, session: str = "", **headers: str) -> Any:
        """Open `new EventSource(…)`: with `?session_id=` for a session there is."""
        target = f"{self._path}?session_id={session}" if session else self._path
        head = {**self._head, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self._pair.stream(next(self._turns), head, target)

    async def post(self, body: Any, session: str) -> httpx2.Response:
        head = {**self._head, "content-type": "application/json", "accept": "application/json"}
        named = [*head.items(), *([("x-session-id", session)] if session else [])]
        return await self._pair.ask(next(self._turns), "POST", body, named, self._path)

    async def said(self, name: str, session: str, **arguments: object) -> str:
        """Call a tool and return its text."""
        seen = await self.post(call(name, **arguments), session)
        assert seen.status_code == 200, seen.text
        return texts(seen.json()["result"])[0]

    async def begun(self) -> str:
        """Open a session and leave its stream; return the id."""
        async with self.stream() as stream:
            return await id_of(stream)

    async def lives(self, session: str) -> bool:
        seen = await self.post(request("ping"), session)
        assert seen.status_code in (200, 404)
        return seen.status_code == 200


def events(stream: Stream) -> list[Event]:
    blocks = stream.text.split("\n\n")[:-1]
    return [Event(block) for block in blocks if not all(line.startswith(":") for line in block.split("\n"))]


def told(stream: Stream, name: str) -> list[Any]:
    return [event.message for event in events(stream) if event.name == name]


async def id_of(stream: Stream) -> str:
    await stream.until("event: endpoint\n")
    await stream.until("/" + stream.text.rpartition("event: endpoint\ndata: /")[2])
    return str(told(stream, "session")[0]["session_id"])


# -- Client session usage


async def test_establishing_a_session(pair: Pair) -> None:
    # M8, M9: `session` with its fields, then `endpoint`
    async with Visitor(pair).stream(mcp_protocol_version="2025-06-18") as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream"
        session = await id_of(stream)
        await stream.until("event: endpoint\ndata: /mcp\n\n")
        assert [event.name for event in events(stream)] == ["session", "endpoint"]
        [data] = told(stream, "session")
    assert data.keys() == {"session_id", "expires_at"}
    ends = datetime.fromisoformat(data["expires_at"])
    assert 0 < (ends - datetime.now(UTC)).total_seconds() <= 1800
    assert len(session) >= 32


async def test_using_the_session_id_in_requests(pair: Pair) -> None:
    # M7, M8: no `initialize`, at either process; `Accept: application/json` alone gets JSON (M28)
    visitor = Visitor(pair)
    async with visitor.stream() as stream:
        session = await id_of(stream)
        for number in range(4):
            assert await visitor.said("echo", session, text=f"{number}") == f"{number}"
        listed = await visitor.post(request("tools/list"), session)
        assert listed.headers["content-type"] == "application/json"
        assert len(listed.json()["result"]["tools"]) == 4


async def test_resuming_a_session(pair: Pair) -> None:
    # M7, M9
    visitor = Visitor(pair)
    session = await visitor.begun()
    for _ in range(2):
        async with visitor.stream(session) as stream:
            await stream.until("session-resumed")
            await stream.until("\n\n")
            await stream.until('"}\n\n')
            assert told(stream, "session-resumed")[0]["session_id"] == session
            assert await visitor.lives(session)


# -- Session id generation


async def test_ids_are_secure_visible_and_safe_in_urls(pair: Pair) -> None:
    visitor = Visitor(pair)
    ids = {await visitor.begun() for _ in range(3)}
    assert len(ids) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", one) for one in ids)  # 256 bits


@pytest.mark.parametrize(
    ("path", "form"),
    [("/custom-id", r"MCP[0-9A-Z]{6,8}[0-9A-F]{24}"), ("/source-id", r"[A-Z0-9]{32}")],
)
async def test_custom_session_id_generation(pair: Pair, path: str, form: str) -> None:
    # M10: the source's own examples; the first has 96 bits and is taken with `lenient` only
    visitor = Visitor(pair, path)
    session = await visitor.begun()
    assert re.fullmatch(form, session)
    assert await visitor.said("echo", session, text="x") == "x"
    for strange in (session.lower(), session[:-1], "x", "-"):
        assert not await visitor.lives(strange)


# -- Session configuration


async def begun_at_path(pair: Pair, path: str, count: int) -> tuple[Visitor, list[str]]:
    """Open sessions of one client, each at another instant of the wall clock."""
    visitor, ids = Visitor(pair, path), []
    for _ in range(count):
        ids.append(await visitor.begun())
        await anyio.sleep(0.01)  # the clock of another process tells which is the oldest
    return visitor, ids


async def test_five_sessions_per_client_of_which_the_oldest_is_replaced(pair: Pair) -> None:
    # M10 max_sessions_per_client, session_replacement_policy
    visitor, ids = await begun_at_path(pair, "/oldest", 5)
    assert await visitor.lives(ids[0])
    sixth = await visitor.begun()
    assert [await visitor.lives(one) for one in (*ids, sixth)] == [False, True, True, True, True, True]


async def test_five_sessions_per_client_of_which_the_least_recently_used_is_replaced(pair: Pair) -> None:
    # M10; a use is recorded once in a while, so the order is that of the last recorded one
    visitor, ids = await begun_at_path(pair, "/least", 6)
    assert sum([await visitor.lives(one) for one in ids]) == 5
    assert await visitor.lives(ids[-1])


async def test_five_sessions_per_client_and_no_sixth(pair: Pair) -> None:
    # M10, E12
    visitor, ids = await begun_at_path(pair, "/reject", 5)
    async with visitor.stream() as refused:
        assert refused.answer.status_code == 429
        assert "limit_reached" in await refused.rest()
    assert (await visitor.post(initialize(), "")).status_code == 429
    assert all([await visitor.lives(one) for one in ids])
    other = Visitor(pair, "/reject")
    assert await other.lives(await other.begun())  # another address is another client


async def test_one_session_per_client_that_the_next_replaces(pair: Pair) -> None:
    # M10: the source's cure for "Multiple Sessions"
    visitor, ids = await begun_at_path(pair, "/one", 2)
    assert [await visitor.lives(one) for one in ids] == [False, True]


async def test_three_connections_per_session(pair: Pair) -> None:
    # M11: the fourth is refused, and the others are told wherever they are
    visitor = Visitor(pair)
    async with visitor.stream() as first, AsyncExitStack() as others:
        session = await id_of(first)
        streams = [first]
        for _ in range(2):
            streams.append(await others.enter_async_context(visitor.stream(session)))
            await streams[-1].until("session-resumed")
        async with visitor.stream(session) as fourth:
            assert (fourth.answer.status_code, "retry-after" in fourth.answer.headers) == (429, True)
            assert "limit_reached" in await fourth.rest()
        for stream in streams:
            await stream.until("Maximum connections per session reached")
            await stream.until("}\n\n")
            assert told(stream, "session-limit")[0]["session_id"] == session
        assert await visitor.lives(session)


async def test_a_session_is_refreshed_when_less_than_the_threshold_remains(pair: Pair) -> None:
    # M10 session_refresh_threshold: of a minute, /always has that of all of it, /late of its last second
    for path, extended in (("/always", True), ("/late", False)):
        visitor = Visitor(pair, path)
        async with visitor.stream() as stream:
            session = await id_of(stream)
            before = told(stream, "session")[0]["expires_at"]
        ends = await _end_after_uses(visitor, session, before, extended)
        assert (ends > before) is extended


async def _end_after_uses(visitor: Visitor, session: str, before: str, extended: bool) -> str:
    """Use a session until its end has moved, or for a second; return its end."""
    ends = before
    with anyio.move_on_after(PATIENCE_S if extended else 1.2):
        while ends <= before:
            assert await visitor.lives(session)
            async with visitor.stream(session) as stream:
                await stream.until('"}\n\n')
                ends = told(stream, "session-resumed")[0]["expires_at"]
    return ends


# -- Server-side session management


async def test_a_session_store_and_a_serializer_of_ones_own(pair: Pair) -> None:
    # M10 session_store, session_serializer; M21
    visitor = Visitor(pair, "/custom-store")
    session = await visitor.begun()
    async with visitor.stream(session) as stream:
        await stream.until("session-resumed")
    assert await visitor.said("echo", session, text="grüß Gott") == "grüß Gott"
    assert sum([int(await visitor.said("added", session)) for _ in range(2)]) >= 1  # at either process
    assert (await visitor.post(initialize(), session)).headers["mcp-session-id"] == session
    assert await visitor.lives(session)


# -- Session events


@asynccontextmanager
async def workers_of(place: Place, timeout: float) -> AsyncIterator[Cluster]:
    """Run two processes that can be killed."""
    env = {**os.environ, "HOLDFAST_KEYS": new_key_text()}
    count = 1 if place.sort == "memory" else 2
    async with cluster(lambda port: command(port, place, timeout), env=env, count=count) as workers:
        yield workers


async def used(url: str, session: str) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=PATIENCE_S, verify=NO_TLS) as client:
        head = {"accept": "application/json", "x-session-id": session}
        return await client.post(url, json=request("ping"), headers=head)


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Stream]:
    async with (
        httpx2.AsyncClient(timeout=PATIENCE_S, verify=NO_TLS) as client,
        client.stream("GET", url, headers={"accept": "text/event-stream"}) as answer,
    ):
        stream = Stream(answer)
        yield stream


async def test_a_session_is_warned_expires_and_is_not_found(place: Place) -> None:
    # M9, M28: "session-warning", "session-expired", and the cure for "Session Not Found"
    with anyio.fail_after(3 * PATIENCE_S):
        async with workers_of(place, 3.0) as workers:
            url = f"{workers.url}/mcp"
            async with reading(url) as stream:
                session = await id_of(stream)
                await stream.rest()
                [warning], [expired] = told(stream, "session-warning"), told(stream, "session-expired")
            assert warning == {"session_id": session, "expires_in_seconds": 1, "message": "Session will expire soon"}
            assert expired["session_id"] == session
            for _ in range(3):
                async with reading(f"{url}?session_id={session}") as stream:
                    assert stream.answer.status_code == 200
                    await stream.rest()
                    assert [event.name for event in events(stream)] == ["session-expired", "error"]
                    assert told(stream, "error")[0]["code"] == "session_not_found"
                refused = await used(url, session)
                assert refused.status_code == 404
                assert refused.json()["error"]["data"]["code"] == "session_not_found"


async def test_a_session_goes_on_after_each_process_was_killed(shared_place: Place) -> None:
    # M6: what the source calls "server restart, storage issues"
    with anyio.fail_after(4 * PATIENCE_S):
        async with workers_of(shared_place, 1800) as workers:
            url = f"{workers.url}/mcp"
            async with reading(url) as stream:
                session = await id_of(stream)
            for victim in (0, 1):
                await workers.kill(victim)
                async with reading(f"{url}?session_id={session}") as stream:
                    await stream.until("session-resumed")
                    assert (await used(url, session)).status_code == 200
                await workers.start(victim)


async def test_custom_session_events(pair: Pair) -> None:
    # M30: from whichever process, and the source's shorthands
    visitor = Visitor(pair)
    async with visitor.stream() as stream:
        session = await id_of(stream)
        for _ in range(4):
            assert await visitor.said("send", session, event="price", session_id=session) == "True"
        assert await visitor.said("warn", session) == "True"
        await stream.until("session-limit")
        assert told(stream, "price") == [{"from": "elsewhere"}] * 4
        assert told(stream, "session-warning")[0]["expires_in_seconds"] == 42
        assert await visitor.said("send", "", event="price", session_id="a" * 43) == "False"
        refused = await visitor.post(call("send", event="message", session_id=session), session)
        assert refused.json()["result"]["isError"]


# -- Clients that know nothing of all this


@pytest.mark.parametrize("name", ["session", "session-resumed", "session-expired", "session-warning", "session-limit"])
async def test_the_python_client_passes_over_each_event_of_the_session(name: str, tmp_path: Path) -> None:
    # M9: unknown names of events are no trouble to it; its own stream began with one already
    place = Place("sqlite", f"sqlite:///{tmp_path / 'sessions.db'}", "t")
    with anyio.fail_after(3 * PATIENCE_S):
        async with workers_of(place, 1800) as workers, Client(f"{workers.url}/mcp", mode="legacy") as client:
            while text_of(await client.call_tool("send", {"event": name})) != "True":
                await anyio.sleep(0.05)  # it opens its stream when it finds the time
            for _ in range(3):
                assert text_of(await client.call_tool("send", {"event": name})) == "True"
                assert text_of(await client.call_tool("echo", {"text": name})) == name


def text_of(result: Any) -> str:
    return str(result.content[0].text)
