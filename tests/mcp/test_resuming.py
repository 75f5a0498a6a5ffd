"""A session's own streams and those of answers, left and come back for at any worker: all of it once, or a clear no."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest

from e2e.mcp_world import META, MODERN, Worker, World, call, handshake, initialize, request, texts, world
from e2e.wire import PATIENCE, Exchange, Wire
from holdfast._asgi import Receive, Scope, Send
from holdfast.core.model import Ref
from holdfast.mcp.journal import OWN, Bounds
from holdfast.mcp.kinds import SESSION, STREAM
from holdfast.mcp.rules import SessionRules
from holdfast.web.bearer import StaticBearer

STREAM_ONLY = {"accept": "text/event-stream"}
OLDER = "2025-06-18"


async def ref_of(made: World, named: dict[str, str]) -> Ref:
    return (await made.workers[0].manager.load(named["mcp-session-id"], kind=SESSION)).ref


def numbers(seen: Exchange) -> list[int]:
    """Return the numbers of the notifications that came."""
    return [message["params"]["n"] for message in seen.messages if message.get("method") == "notifications/n"]


def back(named: dict[str, str], seen: Exchange | str) -> dict[str, str]:
    """Return the headers of a client that comes back after the last event it has seen."""
    last = seen if isinstance(seen, str) else next(e.id for e in reversed(seen.events) if e.id is not None)
    return {**named, **STREAM_ONLY, "last-event-id": str(last)}


async def tell(worker: Worker, session: Ref, *which: int) -> None:
    for number in which:
        await worker.endpoint.tell(session, "notifications/n", {"n": number})


async def gap(wire: Wire, headers: dict[str, str]) -> None:
    """Expect a clear answer: status, code, and what to do."""
    seen = await wire.send("GET", headers=headers)
    assert (seen.status, seen.json["error"]["data"]) == (400, {"code": "unknown_event"})
    assert "leave it out" in seen.json["error"]["message"]


async def connections(made: World, session: Ref) -> int:
    return len(await made.workers[0].manager.children(session, STREAM))


# -- a session's own stream


async def test_a_client_comes_back_at_another_worker_and_gets_exactly_what_came_after_and_what_comes() -> None:
    # M14
    async with world(3) as made:
        first, second, third = made.workers
        named = await handshake(first.wire)
        session = await ref_of(made, named)
        async with first.wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            await tell(third, session, 1, 2)
            await stream.until(lambda seen: numbers(seen) == [1, 2])
        await tell(first, session, 3, 4)
        async with second.wire.open("GET", headers=back(named, stream)) as resumed:
            await tell(third, session, 5)
            await resumed.until(lambda seen: len(numbers(seen)) == 3)
        assert numbers(resumed) == [3, 4, 5]
        async with third.wire.open("GET", headers=back(named, str(stream.events[1].id))) as again:
            await again.until(lambda seen: len(numbers(seen)) == 4)
        assert numbers(again) == [2, 3, 4, 5]
        ids = [event.id for event in [*stream.events, *resumed.events]]
        assert len(set(ids)) == len(ids) == 6
        assert len({str(one).partition(".")[0] for one in ids}) == 1  # they encode their stream


async def test_the_stream_begins_with_a_place_to_come_back_to_since_2025_11_25_and_messages_have_ids_before() -> None:
    # M15
    async with world() as made:
        worker = made.workers[0]
        new, old = await handshake(worker.wire), await handshake(worker.wire, OLDER)
        async with worker.wire.open("GET", headers={**new, **STREAM_ONLY}) as stream:
            await stream.until(lambda seen: seen.events)
            assert (stream.events[0].data, stream.events[0].retry) == ("", "1000")
        await tell(worker, await ref_of(made, new), 1)
        async with worker.wire.open("GET", headers=back(new, stream)) as resumed:
            await resumed.until(lambda seen: numbers(seen) == [1])
        async with worker.wire.open("GET", headers={**old, **STREAM_ONLY}) as stream:
            await tell(worker, await ref_of(made, old), 2)
            await stream.until(lambda seen: numbers(seen) == [2])
            assert [event.data != "" for event in stream.events] == [True]
        await tell(worker, await ref_of(made, old), 3)
        async with worker.wire.open("GET", headers=back(old, stream)) as resumed:
            await resumed.until(lambda seen: numbers(seen) == [3])


async def test_what_is_sent_while_no_stream_is_open_is_for_the_stream_that_was_opened_last_and_no_other() -> None:
    # M14: a message goes out on exactly one stream
    async with world(2) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        session = await ref_of(made, named)
        await tell(second, session, 1)  # there has never been a stream
        async with first.wire.open("GET", headers={**named, **STREAM_ONLY}) as old:
            await tell(second, session, 2)
            await old.until(lambda seen: numbers(seen) == [2])
        await tell(second, session, 3)
        async with second.wire.open("GET", headers={**named, **STREAM_ONLY}) as new:
            await tell(first, session, 4)
            await new.until(lambda seen: numbers(seen) == [4])
        await gap(second.wire, back(named, old))
        async with first.wire.open("GET", headers=back(named, new)) as resumed:
            await tell(first, session, 5)
            await resumed.until(lambda seen: numbers(seen) == [5])


async def test_nothing_of_another_session_or_principal_can_be_had() -> None:
    # M14, T25
    async with world(bearer=StaticBearer("mine")) as made:
        await made.add(bearer=StaticBearer("theirs"))
        mine, theirs = (worker.wire for worker in made.workers)
        named = await handshake(mine, authorization="Bearer mine")
        other = await handshake(mine, authorization="Bearer mine")
        foreign = await handshake(theirs, authorization="Bearer theirs")
        session = await ref_of(made, named)
        async with mine.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            await tell(made.workers[0], session, 1)
            await stream.until(lambda seen: numbers(seen) == [1])
        await gap(mine, back(other, stream))
        await gap(theirs, back(foreign, stream))
        stolen = {**back(named, stream), "authorization": "Bearer theirs"}
        assert (await theirs.send("GET", headers=stolen)).status == 404
        for forged in ("s" + "0" * 16 + ".0", "s" + "0" * 16 + ".1", f"{stream.events[1].id}9", "x", "s.1", "\u00e9.1"):
            await gap(mine, back(named, forged.encode().decode("latin-1")))


async def test_who_comes_back_takes_the_stream_from_the_connection_that_had_it_at_any_worker() -> None:
    # M14: of several the newest has it
    async with world(2, rules=SessionRules(events="on")) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        session = await ref_of(made, named)
        async with first.wire.open("GET", headers={**named, **STREAM_ONLY}) as one:
            await tell(second, session, 1)
            await one.until(lambda seen: numbers(seen) == [1])
            for wire in (second.wire, first.wire, first.wire):
                headers = back(named, str(one.events[0].id))
                async with wire.open("GET", headers=headers) as two:
                    await two.until(lambda seen: numbers(seen) == [1])
                    await one.until(lambda seen: seen.ended)
                    assert await connections(made, session) == 1
                    assert [event.name for event in one.events if event.name == "session-expired"] == []


async def test_of_many_who_come_back_at_once_one_stays_and_gets_everything() -> None:
    # M14
    async with world(3) as made, AsyncExitStack() as open_ones:
        named = await handshake(made.workers[0].wire)
        session = await ref_of(made, named)
        async with made.workers[0].wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            await tell(made.workers[1], session, 1)
            await stream.until(lambda seen: numbers(seen) == [1])
        tasks = await open_ones.enter_async_context(anyio.create_task_group())
        open_ones.callback(tasks.cancel_scope.cancel)
        cursor = back(named, str(stream.events[0].id))
        seen = [made.workers[number % 3].wire.begin(tasks, "GET", headers=cursor) for number in range(9)]
        with anyio.fail_after(PATIENCE):
            while sum(not one.ended for one in seen) != 1:
                await anyio.sleep(0.005)
        [winner] = [one for one in seen if not one.ended]
        assert await connections(made, session) == 1
        await tell(made.workers[2], session, 2)
        await winner.until(lambda stream: numbers(stream) == [1, 2])
        assert [numbers(one) for one in seen if one is not winner and 2 in numbers(one)] == []


async def test_the_stream_of_a_worker_that_was_killed_is_taken_over_without_asking_it() -> None:
    # M14
    async with world(2) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        session = await first.manager.load(named["mcp-session-id"], kind=SESSION)
        name = "s" + "ab" * 8
        await first.manager.merge(session, {OWN: [name]})
        await first.manager.open(STREAM, {"worker": "0" * 16, "stream": name}, parent=session, named=False)
        await tell(second, session.ref, 1)
        async with second.wire.open("GET", headers=back(named, f"{name}.0")) as resumed:
            await resumed.until(lambda seen: numbers(seen) == [1])
            assert await connections(made, session.ref) == 1


async def test_streams_that_end_because_the_server_stops_go_on_elsewhere() -> None:
    # M18, M14
    async with world(2) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        session = await ref_of(made, named)
        async with first.wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            await stream.until(lambda seen: seen.events)
            first.endpoint.stop()
            await stream.until(lambda seen: seen.ended)
        await tell(second, session, 1)
        async with second.wire.open("GET", headers=back(named, stream)) as resumed:
            await resumed.until(lambda seen: numbers(seen) == [1])


# -- bounds


async def kept(made: World, session: Ref, name: str) -> int:
    return len(await made.store.events.read(session, name, count=100_000))


async def test_what_is_kept_of_a_session_is_bounded_by_count_and_a_place_that_is_too_old_is_refused() -> None:
    # M14
    async with world(rules=SessionRules(kept=Bounds(count=20))) as made:
        worker = made.workers[0]
        named = await handshake(worker.wire)
        session = await ref_of(made, named)
        async with worker.wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            await stream.until(lambda seen: seen.events)
        await tell(worker, session, *range(100))
        name = str(stream.events[0].id).partition(".")[0]
        assert 20 <= await kept(made, session, name) <= 23
        await gap(worker.wire, back(named, stream))
        async with worker.wire.open("GET", headers=back(named, f"{name}.85")) as resumed:
            await resumed.until(lambda seen: len(numbers(seen)) == 15)
            assert numbers(resumed) == [*range(85, 100)]


async def test_what_is_kept_of_a_session_is_bounded_by_bytes_over_all_its_streams() -> None:
    # M14
    async with world(rules=SessionRules(kept=Bounds(size=10_000))) as made:
        worker = made.workers[0]
        named = await handshake(worker.wire)
        session = await ref_of(made, named)
        streams = []
        for number in range(20):  # answers that are left, and never come back for
            async with anyio.create_task_group() as tasks:
                made.gate.open = anyio.Event()
                left = worker.wire.begin(tasks, "POST", call("hang_up", number), headers=named)
                await left.until(lambda seen: seen.ended)
                made.gate.open.set()
            streams.append(str(left.events[0].id).partition(".")[0])
        async with worker.wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            await stream.until(lambda seen: seen.events)
        for number in range(100):
            await worker.endpoint.tell(session, "notifications/n", {"n": number, "text": "x" * 500})
        streams.append(str(stream.events[0].id).partition(".")[0])
        left_over = [e for name in streams for e in await made.store.events.read(session, name, count=1000)]
        assert 5_000 < sum(len(entry.data) for entry in left_over) <= 10_000
        await gap(worker.wire, back(named, stream))
        await gap(worker.wire, back(named, left))


async def test_events_that_are_too_old_go_and_a_quiet_stream_can_still_be_come_back_for() -> None:
    # M14
    async with world(rules=SessionRules(kept=Bounds(age=600.0, count=7))) as made:
        worker = made.workers[0]
        named, busy = await handshake(worker.wire), await handshake(worker.wire)
        quiet, old = await ref_of(made, named), await ref_of(made, busy)
        async with worker.wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            await tell(worker, quiet, 1, 2)
            await stream.until(lambda seen: numbers(seen) == [1, 2])
        async with worker.wire.open("GET", headers={**busy, **STREAM_ONLY}) as missed:
            await missed.until(lambda seen: seen.events)
        await tell(worker, old, 1, 2)
        made.clock.advance(601)
        await worker.endpoint._events.prune(quiet, [str(stream.events[0].id).partition(".")[0]])
        await tell(worker, old, 3)
        async with worker.wire.open("GET", headers=back(named, stream)) as resumed:
            await tell(worker, quiet, 3)
            await resumed.until(lambda seen: numbers(seen) == [3])
        await gap(worker.wire, back(named, str(stream.events[0].id)))
        await gap(worker.wire, back(busy, missed))


async def test_a_reader_that_falls_behind_what_is_kept_is_cut_off_and_told_when_it_comes_back() -> None:
    # M14: never a silent gap
    async with world(rules=SessionRules(kept=Bounds(count=8))) as made:
        worker = made.workers[0]
        valve = Valve(worker.endpoint)
        named = await handshake(worker.wire)
        session = await ref_of(made, named)
        async with Wire(valve).open("GET", headers={**named, **STREAM_ONLY}) as stream:
            await stream.until(lambda seen: seen.events)
            valve.shut()
            await tell(worker, session, *range(100))
            valve.open.set()
            await stream.until(lambda seen: seen.ended)
            got = numbers(stream)
            assert got == [*range(len(got))]
            assert len(got) < 100
        await gap(worker.wire, back(named, stream))


# -- readers that take nothing


class Valve:
    """A server whose client takes nothing while the valve is shut, as uvicorn's flow control shows it.

    Its connections can be dropped, unless `aborts` says that this server cannot.
    """

    def __init__(self, app: Any, *, aborts: bool = True) -> None:
        self._app, self._aborts = app, aborts
        self.open, self.aborted = anyio.Event(), anyio.Event()
        self.open.set()

    def shut(self) -> None:
        self.open = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def slowly(message: Any) -> None:
            await self.open.wait()
            if not self.aborted.is_set():
                await send(message)

        async def receiving() -> Any:
            async with anyio.create_task_group() as tasks:
                result: list[Any] = []

                async def first(of: Any) -> None:
                    result.append(await of())
                    tasks.cancel_scope.cancel()

                tasks.start_soon(first, receive)
                tasks.start_soon(first, self._dropped)
            return result[0]

        extensions = {"holdfast.abort": {"call": self.aborted.set}} if self._aborts else {}
        await self._app({**scope, "extensions": extensions}, receiving, slowly)

    async def _dropped(self) -> Any:
        await self.aborted.wait()
        return {"type": "http.disconnect"}


@asynccontextmanager
async def slow(**options: Any) -> AsyncIterator[World]:
    async with world(2, rules=SessionRules(slow_reader=0.05), **options) as made:
        yield made


@pytest.mark.parametrize("aborts", [True, False])
async def test_a_reader_that_takes_nothing_is_cut_off_holds_nobody_up_and_gets_it_all_later(aborts: bool) -> None:
    # M17, T24
    async with slow() as made:
        first, second = made.workers
        valve = Valve(first.endpoint, aborts=aborts)
        named, other = await handshake(first.wire), await handshake(first.wire)
        mine, theirs = await ref_of(made, named), await ref_of(made, other)
        async with (
            Wire(valve).open("GET", headers={**named, **STREAM_ONLY}) as stream,
            first.wire.open("GET", headers={**other, **STREAM_ONLY}) as swift,
        ):
            await stream.until(lambda seen: seen.events)
            valve.shut()
            for number in range(300):
                await tell(second, mine, number)
                await tell(second, theirs, number)
            await swift.until(lambda seen: len(numbers(seen)) == 300)
            await stream.until(lambda seen: seen.ended)
            assert valve.aborted.is_set() == aborts
            assert numbers(stream) == []
        async with second.wire.open("GET", headers=back(named, stream)) as resumed:
            await resumed.until(lambda seen: len(numbers(seen)) == 300)
            assert numbers(resumed) == [*range(300)]


async def test_a_tool_goes_on_while_the_reader_of_its_answer_takes_nothing() -> None:
    # M15, M17
    async with slow() as made:
        first, second = made.workers
        valve = Valve(first.endpoint)
        named = await handshake(first.wire)
        async with anyio.create_task_group() as tasks:
            left = Wire(valve).begin(tasks, "POST", call("wait", 8, token=1), headers=named)
            await made.gate.entered.wait()
            with anyio.fail_after(PATIENCE):
                while not left.status:
                    await first.endpoint._calls._calls.copy().pop().answer.beat()
            valve.shut()
            made.gate.open.set()
        assert valve.aborted.is_set()
        assert [event.data for event in left.events] == [""]
        resumed = await second.wire.send("GET", headers=back(named, left))
    assert texts(resumed.result) == ["opened"]


@pytest.mark.parametrize("aborts", [True, False])
async def test_a_modern_request_whose_reader_takes_nothing_is_withdrawn(aborts: bool) -> None:
    # M17; mcp.md §6.4: a connection that is closed withdraws its request
    async with slow(keep_alive=0.02) as made:
        valve = Valve(made.workers[0].endpoint, aborts=aborts)
        body = call("wait", 8)
        body["params"]["_meta"] = META
        named = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "wait"}
        async with anyio.create_task_group() as tasks:
            left = Wire(valve).begin(tasks, "POST", body, headers=named)
            await left.until(lambda seen: b": keep-alive" in seen.body)
            valve.shut()
            with anyio.fail_after(PATIENCE):
                await made.gate.cancelled.wait()


# -- streams of answers


async def test_who_comes_back_for_an_answer_takes_it_from_the_connection_that_had_it() -> None:
    # M15: the connection may have been lost without a sign
    async with world(2) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        async with anyio.create_task_group() as tasks:
            one = first.wire.begin(tasks, "POST", call("ask", 8, text="say"), headers=named)
            await one.until(lambda seen: seen.messages)
            question, cursor = one.messages[0]["id"], back(named, str(one.events[0].id))
            for worker in (second, first, second):
                two = worker.wire.begin(tasks, "GET", headers=cursor)
                await two.until(lambda seen: seen.messages)
                await one.until(lambda seen: seen.ended)
                one = two
            result = {"action": "accept", "content": {"word": "yes"}}
            await first.wire.post({"jsonrpc": "2.0", "id": question, "result": result}, **named)
            await one.until(lambda seen: seen.ended)
    assert texts(one.result) == ["yes"]


async def test_an_answer_that_was_sent_into_a_connection_that_is_lost_can_be_had_again_for_a_while() -> None:
    # M15
    async with world(2) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        lost = await first.wire.post(call("steps", token=9), **named)
        resumed = await second.wire.send("GET", headers=back(named, str(lost.events[0].id)))
    assert texts(resumed.result) == ["done"]
    assert [event.id for event in resumed.events] == [event.id for event in lost.events[1:]]


async def test_who_waits_for_the_answer_of_a_worker_that_has_died_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # M15
    monkeypatch.setattr("holdfast.mcp.inbox.PROBE_S", 0.02)
    async with world(2, keep_alive=0.02) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        async with anyio.create_task_group() as tasks:
            left = first.wire.begin(tasks, "POST", call("hang_up", 8), headers=named)
            await left.until(lambda seen: seen.ended)
            async with second.wire.open("GET", headers=back(named, str(left.events[0].id))) as resumed:
                before = resumed.body.count(b": keep-alive")
                await resumed.until(lambda seen: seen.body.count(b": keep-alive") > before + 8)
                assert not resumed.ended  # its worker is there
                first.endpoint._inbox.address = "dead" * 4
                first.endpoint._inbox._waiting.clear()
                monkeypatch.setattr(first.endpoint._inbox, "_open_letter", deaf)
                await resumed.until(lambda seen: seen.ended)
            made.gate.open.set()
    error = resumed.messages[-1]
    assert (error["id"], error["error"]["data"]["code"]) == (8, "server_stopping")
    assert "not known" in error["error"]["message"]
    assert resumed.events[-1].id is not None


async def deaf(letter: object) -> None:
    """Hear nothing."""


# -- the source's dialect


async def test_a_browser_gets_its_place_with_the_first_event_and_is_told_of_a_gap_on_a_new_stream() -> None:
    # M8, M14: an EventSource takes any refusal for final
    rules = SessionRules(dialect=True, kept=Bounds(count=8))
    async with world(2, rules=rules) as made:
        first, second = made.workers
        async with first.wire.open("GET", headers=STREAM_ONLY) as stream:
            await stream.until(lambda seen: len(seen.events) == 2)
            begun = stream.events[0]
            assert (begun.name, begun.retry) == ("session", None)
            named = {"x-session-id": begun.message["session_id"]}
        session = await ref_of(made, {"mcp-session-id": named["x-session-id"]})
        await tell(second, session, 1, 2)
        async with second.wire.open("GET", headers=back(named, str(begun.id))) as resumed:
            await resumed.until(lambda seen: numbers(seen) == [1, 2])
            assert resumed.events[0].name == "session-resumed"
        await tell(second, session, *range(30))
        async with first.wire.open("GET", headers=back(named, str(begun.id))) as anew:
            await anew.until(lambda seen: len(seen.events) == 2)
            assert [event.name for event in anew.events] == ["error", "session-resumed"]
            assert anew.events[0].message["code"] == "unknown_event"
            assert str(anew.events[0].id).partition(".")[0] != str(begun.id).partition(".")[0]
            await tell(second, session, 31)
            await anew.until(lambda seen: numbers(seen) == [31])


async def test_each_of_three_streams_has_what_went_out_on_it_and_nothing_else() -> None:
    # M11, M14
    async with world(2, rules=SessionRules(dialect=True)) as made:
        first, second = made.workers
        named = {"x-session-id": (await first.wire.post(initialize())).headers["mcp-session-id"]}
        session = await ref_of(made, {"mcp-session-id": named["x-session-id"]})
        async with AsyncExitStack() as stack:
            streams = []
            for number, worker in enumerate((first, second, first)):
                made.clock.advance(1)
                opened = worker.wire.open("GET", headers={**named, **STREAM_ONLY})
                streams.append(await stack.enter_async_context(opened))
                await tell(second, session, number)
                await streams[-1].until(numbers)
        await tell(first, session, 9)
        for number, stream in enumerate(streams):
            assert numbers(stream) == [number]
            begun = str(stream.events[0].id).partition(".")[0] + ".0"
            expected = [2, 9] if number == 2 else [number]
            async with second.wire.open("GET", headers=back(named, begun)) as resumed:
                await resumed.until(lambda seen, expected=expected: numbers(seen) == expected)
        assert (await first.wire.post(request("ping"), **named)).status == 200
