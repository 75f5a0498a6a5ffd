"""Events of an application's own, sent to one session from any worker."""

from typing import Any

import pytest

from e2e.mcp_world import LEGACY, handshake, initialize, world
from e2e.wire import Exchange
from holdfast.errors import BadInput
from holdfast.mcp.kinds import SESSION, STREAM
from holdfast.mcp.rules import SessionRules
from holdfast.mcp.session_events import ASKED

STREAM_ONLY = {"accept": "text/event-stream"}


def told(seen: Exchange, name: str) -> list[Any]:
    return [event.message for event in seen.events if event.name == name]


async def test_an_event_reaches_one_stream_of_one_session_from_any_worker() -> None:
    # M30
    async with world(2) as made:
        first, second = made.workers
        named, other = await handshake(first.wire), await handshake(first.wire)
        session_id = named["mcp-session-id"]
        async with (
            first.wire.open("GET", headers={**named, **STREAM_ONLY}) as mine,
            first.wire.open("GET", headers={**other, **STREAM_ONLY}) as theirs,
        ):
            for worker in (first, second):
                assert await worker.endpoint.sessions.send(session_id, "price", {"gold": [1, "grüß\nGott"]})
            await mine.until(lambda seen: len(told(seen, "price")) == 2)
            assert told(mine, "price") == [{"gold": [1, "grüß\nGott"]}] * 2
            assert told(theirs, "price") == []


async def test_it_is_said_when_no_stream_took_it() -> None:
    # M30
    async with world(2) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        session_id = named["mcp-session-id"]
        send = second.endpoint.sessions.send
        assert not await send(session_id, "price", 1)
        assert not await send("a" * 43, "price", 1)
        assert not await send("no id at all", "price", 1)
        async with first.wire.open("GET", headers={**named, **STREAM_ONLY}):
            assert await send(session_id, "price", 1)
        assert not await send(session_id, "price", 1)


async def test_a_stream_whose_worker_is_dead_is_passed_over_for_one_that_lives() -> None:
    # M30, M11
    async with world(2, rules=SessionRules(dialect=True)) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        async with first.wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            session = await first.manager.load(named["mcp-session-id"], kind=SESSION)
            made.clock.advance(1)
            limits = made.workers[0].endpoint._streams._limits
            await first.manager.open(STREAM, {"worker": "0" * 16}, parent=session, named=False, limits=limits)
            assert await second.endpoint.sessions.send(named["mcp-session-id"], "price", 1)
            await stream.until(lambda seen: told(seen, "price") == [1])


async def test_the_sources_shorthands_have_its_names_and_fields() -> None:
    # M30
    async with world(2) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        session_id = named["mcp-session-id"]
        async with first.wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            assert await second.endpoint.sessions.notify_session_warning(session_id, 59.6)
            assert await second.endpoint.sessions.notify_session_limit_reached(session_id)
            warning = {"session_id": session_id, "expires_in_seconds": 60, "message": "Session will expire soon"}
            await stream.until(lambda seen: told(seen, "session-warning") == [warning])
            limit = {"session_id": session_id, "message": "Maximum connections per session reached"}
            await stream.until(lambda seen: told(seen, "session-limit") == [limit])


async def test_a_client_that_asked_for_notifications_gets_one() -> None:
    # M9, M30
    async with world() as made:
        worker = made.workers[0]
        answer = await worker.wire.post(initialize(LEGACY, experimental={ASKED: {}}))
        session_id = answer.headers["mcp-session-id"]
        async with worker.wire.open("GET", headers={"mcp-session-id": session_id, **STREAM_ONLY}) as stream:
            assert await worker.endpoint.sessions.send(session_id, "price", {"gold": 1})
            assert await worker.endpoint.sessions.send(session_id, "bare", 4)
            await stream.until(lambda seen: len(seen.messages) == 3)
            expected = [("notifications/holdfast/price", {"gold": 1}), ("notifications/holdfast/bare", {"data": 4})]
            assert [(one["method"], one["params"]) for one in stream.messages[1:]] == expected


@pytest.mark.parametrize("name", ["message", "endpoint", "error", "open", "", "two\nlines", "a\r", "x" * 101])
async def test_names_of_the_protocols_own_and_no_names_are_refused(name: str) -> None:
    # M30
    async with world() as made:
        named = await handshake(made.workers[0].wire)
        with pytest.raises(BadInput):
            await made.workers[0].endpoint.sessions.send(named["mcp-session-id"], name, {})


async def test_the_id_of_a_session_never_travels_in_plain_between_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    # E4, M30
    async with world() as made:
        worker = made.workers[0]
        named = await handshake(worker.wire)
        session_id = named["mcp-session-id"]
        posted: list[bytes] = []
        publish = made.store.channel.publish

        async def seen(topic: str, data: bytes = b"") -> None:
            posted.append(data)
            await publish(topic, data)

        monkeypatch.setattr(made.store.channel, "publish", seen)
        async with worker.wire.open("GET", headers={**named, **STREAM_ONLY}):
            assert await worker.endpoint.sessions.notify_session_warning(session_id, 60)
    assert posted
    assert not any(session_id.encode() in data for data in posted)
