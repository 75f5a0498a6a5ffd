"""What streams tell of their session: warned and expired by the clock alone, in the form that was asked for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.mcp_world import LEGACY, World, call, initialize, request, world
from e2e.wire import Exchange
from holdfast.core.kinds import Clocks, Limits
from holdfast.core.model import Record
from holdfast.mcp.kinds import SESSION
from holdfast.mcp.rules import SessionRules
from holdfast.mcp.session_events import ASKED, crossed, quiet_for

STREAM = {"accept": "text/event-stream"}
DIALECT = SessionRules(dialect=True)
SOURCE = Clocks(idle=300.0, sliding=1800.0, slides_after=1500.0)  # session_timeout, session_refresh_threshold 300
QUICK = {"keep_alive": 0.01}


def told(seen: Exchange, name: str) -> list[Any]:
    return [event.message for event in seen.events if event.name == name]


def comments(seen: Exchange) -> int:
    return int(seen.body.count(b": keep-alive\n\n"))


async def looked(stream: Exchange) -> None:
    """Wait until the stream's worker has looked at the clock again."""
    seen = comments(stream)
    await stream.until(lambda stream: comments(stream) >= seen + 2 or stream.ended)


async def opened(made: World, stream: Exchange) -> dict[str, str]:
    await stream.until(lambda seen: told(seen, "session"))
    return {"x-session-id": told(stream, "session")[0]["session_id"]}


def with_clocks(made: World, clocks: Clocks) -> None:
    for worker in made.workers:
        worker.manager._overrides = {("", SESSION): (clocks, Limits())}


async def test_a_session_that_only_listens_is_warned_once_per_threshold_and_then_expires() -> None:
    # M9, R30, E7: idleness is kept off by the open stream, the end of the sliding clock is not
    async with world(rules=DIALECT, **QUICK) as made:
        with_clocks(made, SOURCE)
        async with made.workers[0].wire.open("GET", headers=STREAM) as stream:
            named = await opened(made, stream)
            for _ in range(6):
                made.clock.advance(249)
                await looked(stream)
            assert not told(stream, "session-warning")
            made.clock.advance(11)
            for _ in range(3):
                await looked(stream)
            [warning] = told(stream, "session-warning")
            assert warning == {
                "session_id": named["x-session-id"],
                "expires_in_seconds": 295,
                "message": "Session will expire soon",
            }
            made.clock.advance(240)
            for _ in range(3):
                await looked(stream)
            assert [one["expires_in_seconds"] for one in told(stream, "session-warning")] == [295, 55]
            made.clock.advance(55)
            await stream.until(lambda seen: seen.ended)
            assert told(stream, "session-expired")[0]["session_id"] == named["x-session-id"]
        assert (await made.workers[0].wire.post(request("ping"), **named)).status == 404


async def test_a_request_after_the_warning_prolongs_the_session_and_the_next_end_is_warned_of_again() -> None:
    # M9, session_refresh_threshold
    async with world(2, rules=DIALECT, **QUICK) as made:
        with_clocks(made, SOURCE)
        first, second = (worker.wire for worker in made.workers)
        async with first.open("GET", headers=STREAM) as stream:
            named = await opened(made, stream)
            for _ in range(6):
                made.clock.advance(250.5)
                await looked(stream)
            await stream.until(lambda seen: told(seen, "session-warning"))
            assert (await second.post(request("ping"), **named)).status == 200
            for _ in range(6):
                made.clock.advance(250.5)
                await looked(stream)
            await stream.until(lambda seen: len(told(seen, "session-warning")) == 2)
            assert [one["expires_in_seconds"] for one in told(stream, "session-warning")] == [297, 297]


async def test_a_warning_goes_to_one_stream_and_not_again_to_one_that_comes_later() -> None:
    # M9: once per threshold, whatever the streams
    async with world(2, rules=DIALECT, **QUICK) as made:
        with_clocks(made, Clocks(idle=300.0, sliding=1800.0))
        first, second = (worker.wire for worker in made.workers)
        async with first.open("GET", headers=STREAM) as one:
            named = {**await opened(made, one), **STREAM}
            async with second.open("GET", headers=named) as two:
                for _ in range(6):
                    made.clock.advance(255)
                    await looked(one)
                    await looked(two)
                await one.until(lambda seen: told(one, "session-warning") or told(two, "session-warning"))
                await looked(one)
                await looked(two)
                assert len(told(one, "session-warning") + told(two, "session-warning")) == 1
        async with first.open("GET", headers=named) as later:
            await looked(later)
            assert told(later, "session-resumed")
            assert not told(later, "session-warning")


async def test_a_session_shorter_than_every_threshold_is_warned_once_as_it_begins() -> None:
    async with world(rules=DIALECT, **QUICK) as made:
        with_clocks(made, Clocks(absolute=50.0))
        async with made.workers[0].wire.open("GET", headers=STREAM) as stream:
            await opened(made, stream)
            for _ in range(3):
                await looked(stream)
            assert [one["expires_in_seconds"] for one in told(stream, "session-warning")] == [50]


@pytest.mark.parametrize(
    ("rules", "asked", "form"),
    [
        (SessionRules(), None, None),
        (SessionRules(), {}, "notification"),
        (SessionRules(), {"form": "event"}, "event"),
        (SessionRules(), "yes", None),
        (SessionRules(events="on"), None, "event"),
        (SessionRules(events="off"), {}, None),
        (SessionRules(dialect=True), None, "event"),
        (SessionRules(dialect=True), {}, "notification"),
        (SessionRules(dialect=True, events="off"), {"form": "event"}, None),
    ],
)
async def test_the_form_is_what_the_setting_and_the_client_say(
    rules: SessionRules, asked: object, form: str | None
) -> None:
    # M9
    experimental = {} if asked is None else {"experimental": {ASKED: asked}}
    async with world(rules=rules, **QUICK) as made:
        wire = made.workers[0].wire
        answer = await wire.post(initialize(LEGACY, **experimental))
        named = {"mcp-session-id": answer.headers["mcp-session-id"], **STREAM}
        async with wire.open("GET", headers=named) as stream:
            await looked(stream)
            made.clock.advance(1700)
            await looked(stream)
            await wire.send("DELETE", headers=named)
            await stream.until(lambda seen: seen.ended)
    if form == "event":
        assert [event.name for event in stream.events[1:]] == ["session-resumed", "session-expired"]
    elif form == "notification":
        methods = [message["method"] for message in stream.messages]
        assert methods == ["notifications/holdfast/session-resumed", "notifications/holdfast/session-expired"]
        assert stream.messages[1]["params"]["reason"] == "client"
        assert all(message["jsonrpc"] == "2.0" for message in stream.messages)
    else:
        assert [event.data for event in stream.events] == [""]  # a place to come back to, and nothing else


async def test_events_off_leaves_the_dialect_without_any() -> None:
    rules = SessionRules(dialect=True, events="off")
    async with world(rules=rules, **QUICK) as made, made.workers[0].wire.open("GET", headers=STREAM) as stream:
        await looked(stream)
        assert [event.name for event in stream.events] == ["endpoint"]


async def test_a_call_that_runs_keeps_the_session_and_nothing_is_told_on_its_own_stream() -> None:
    async with world(rules=DIALECT, **QUICK) as made:
        wire = made.workers[0].wire
        async with wire.open("GET", headers=STREAM) as stream:
            named = await opened(made, stream)
            seen = await wire.post(call("steps", token=1), **named)
    assert {event.name for event in seen.events} == {"message"}


def record(now: float, idle: float | None, sliding: float | None, ends_in: float) -> Record:
    return Record(
        key=b"k" * 16, tree=b"k" * 16, kind=SESSION, created_at=now, used_at=now, slid_at=now,
        idle=idle, sliding=sliding, ends_at=now + ends_in,
    )  # fmt: skip


SPAN = st.floats(1, 10_000)


@given(SPAN, st.none() | SPAN, SPAN, st.lists(st.floats(1, 5000), max_size=4))
def test_walking_from_quiet_to_quiet_meets_every_threshold_once_in_order(
    idle: float, sliding: float | None, ends_in: float, thresholds: list[float]
) -> None:
    # M9: nothing is missed between two looks
    session, now, met = record(0.0, idle, sliding, ends_in), 0.0, []
    pending, end = set(thresholds), min(ends_in, sliding or ends_in)
    while now < end:
        now += quiet_for(session, pending, now) + 1e-6
        met += sorted(crossed(session, pending, now), reverse=True)
        pending -= set(met)
    assert met == sorted(set(thresholds), reverse=True)
    assert now == pytest.approx(end, abs=1e-4)
