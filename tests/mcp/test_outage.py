"""What clients meet while the store is out of reach: 503 for what needs it, streams that stay up (E26)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from core.outage import TIMEOUT_S, Mode, Switch, switched
from e2e.mcp_world import Nothing, World, call, handshake, initialize, modern, notification, request, texts, world
from e2e.wire import Exchange
from holdfast.core.model import Reason
from holdfast.errors import StoreUnavailable
from holdfast.mcp import Context, NativeDispatcher, ServerInfo, Tool, tool
from holdfast.mcp.journal import LAST, WAITING_BYTES, sealed
from holdfast.mcp.kinds import SESSION, STREAM
from holdfast.stores.memory import memory_store

STREAM_ONLY = {"accept": "text/event-stream"}
AWAY: list[Mode] = ["down", "hanging"]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("core.together", "mcp.calls", "mcp.answer", "mcp.replay"):
        monkeypatch.setattr(f"holdfast.{module}.STORE_DOWN_S", 0.01)


class Teller:
    """A tool that says what the test tells it to, and notes what it was refused."""

    def __init__(self) -> None:
        self.texts: list[str | None] = []
        self.more = anyio.Event()
        self.refused: list[str] = []

    def say(self, *texts: str | None) -> None:
        self.texts += texts
        self.more.set()

    async def _said(self) -> str | None:
        while not self.texts:
            self.more = anyio.Event()
            await self.more.wait()
        return self.texts.pop(0)

    def tools(self) -> list[Tool]:
        @tool(name="tell")
        async def tell(arguments: Nothing, context: Context) -> str:
            """Say what the test wants until it wants no more."""
            while (text := await self._said()) is not None:
                try:
                    await context.log("info", text)
                except StoreUnavailable as error:
                    self.refused.append(error.code)
                    raise
            return "told"

        @tool(name="need")
        async def need(arguments: Nothing, context: Context) -> str:
            """Need the store."""
            raise StoreUnavailable("the store is out of reach")

        @tool(name="need_now")
        def need_now(arguments: Nothing, context: Context) -> str:
            """Need the store without waiting."""
            raise StoreUnavailable("the store is out of reach")

        return [tell, need, need_now]


class Stormy:
    """Workers on one store that has a switch."""

    def __init__(self, made: World, switch: Switch, teller: Teller) -> None:
        self.made, self.switch, self.teller = made, switch, teller
        self.wire = made.workers[0].wire

        self.say = teller.say


@asynccontextmanager
async def stormy(count: int = 1, **options: Any) -> AsyncIterator[Stormy]:
    teller = Teller()
    async with world(0) as made:
        made.store, switch = switched(memory_store())
        tools = [*made.tools(), *teller.tools()]
        for _ in range(count):
            await made.add(NativeDispatcher(tools, ServerInfo(name="t")), **{"keep_alive": 0.02, **options})
        yield Stormy(made, switch, teller)
        switch.set("up")


def refused(seen: Exchange) -> None:
    assert (seen.status, seen.headers["retry-after"]) == (503, "2")
    assert seen.json["error"]["data"]["code"] == "store_unavailable"
    assert seen.json["error"]["code"] == 503


def said(seen: Exchange) -> list[str]:
    return [m["params"]["data"] for m in seen.messages if m.get("method") == "notifications/message"]


def comments(seen: Exchange) -> int:
    return seen.body.count(b": keep-alive")


# -- requests


@pytest.mark.parametrize("mode", AWAY)
@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("POST", initialize()),
        ("POST", request("tools/list")),
        ("POST", call("echo", text="x")),
        ("POST", notification("notifications/initialized")),
        ("POST", notification("notifications/cancelled", {"requestId": 1})),
        ("GET", None),
        ("DELETE", None),
    ],
)
async def test_a_legacy_request_gets_503_with_a_code_in_time_and_is_served_when_the_store_is_back(
    method: str, body: Any, mode: Mode
) -> None:
    async with stormy() as storm:
        named = await handshake(storm.wire)
        if body is not None and body["method"] == "initialize":
            named = {}
        accept = STREAM_ONLY if method == "GET" else {}
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream", **named}
        storm.switch.set(mode)
        began = anyio.current_time()
        seen = await storm.wire.send(method, body, headers={**headers, **accept})
        assert anyio.current_time() - began < 5 * TIMEOUT_S
        refused(seen)
        assert seen.json.get("id") == (body or {}).get("id")
        storm.switch.set("up")
        if method == "GET":
            async with storm.wire.open(method, body, headers={**headers, **accept}) as stream:
                assert stream.status == 200
        else:
            assert (await storm.wire.send(method, body, headers=headers)).status in (200, 202, 204)


@pytest.mark.parametrize("name", ["need", "need_now"])
async def test_a_tool_that_needs_the_store_is_answered_with_503_in_both_eras(name: str) -> None:
    async with stormy() as storm:
        named = await handshake(storm.wire)
        refused(await storm.wire.post(call(name), **named))
        refused(await modern(storm.wire, call(name)))


@pytest.mark.parametrize("mode", AWAY)
async def test_what_does_not_need_the_store_is_served_without_it(mode: Mode) -> None:
    async with stormy() as storm:
        storm.switch.set(mode)
        assert texts((await modern(storm.wire, call("echo", text="still here"))).result) == ["still here"]


async def test_clients_go_on_with_their_sessions_after_an_outage_longer_than_their_idle_clock() -> None:
    async with stormy() as storm:
        used, unused = [await handshake(storm.wire) for _ in range(2)]
        storm.switch.set("down")
        for _ in range(4):
            storm.made.clock.advance(600.0)
            refused(await storm.wire.post(request("ping"), **used))
        storm.switch.set("up")
        assert (await storm.wire.post(request("ping"), **used)).status == 200
        assert (await storm.wire.post(request("ping"), **unused)).status == 404


# -- streams


@pytest.mark.parametrize("mode", AWAY)
async def test_a_session_stream_stays_up_with_comments_and_takes_messages_again_afterwards(mode: Mode) -> None:
    async with stormy(2) as storm:
        named = await handshake(storm.wire)
        session = await storm.made.workers[1].manager.load(named["mcp-session-id"], kind=SESSION)
        async with storm.wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            storm.switch.set(mode)
            before = comments(stream)
            await stream.until(lambda seen: comments(seen) >= before + 4)
            with pytest.raises(StoreUnavailable):
                await storm.made.workers[1].endpoint.tell(session.ref, "notifications/message", {"data": "lost"})
            storm.switch.set("up")
            with anyio.fail_after(5):
                while not said(stream):
                    await storm.made.workers[1].endpoint.tell(session.ref, "notifications/message", {"data": "here"})
                    await anyio.sleep(0.01)
            assert not stream.ended


async def test_a_stream_that_is_left_during_an_outage_gives_its_place_to_the_next() -> None:
    async with stormy(2) as storm:
        named = await handshake(storm.wire)
        async with storm.wire.open("GET", headers={**named, **STREAM_ONLY}):
            storm.switch.set("down")
        storm.switch.set("up")
        [record] = await storm.made.store.sessions.find("kind", STREAM)
        assert record.reason is None
        async with storm.made.workers[1].wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            assert stream.status == 200
        [record] = [r for r in await storm.made.store.sessions.find("kind", STREAM) if r.key == record.key]
        assert record.reason is Reason.BACKEND_GONE


@pytest.mark.parametrize("mode", [*AWAY, "mute"])
async def test_events_wait_for_the_store_and_go_out_in_order_once_and_can_be_had_again(mode: Mode) -> None:
    async with stormy(2) as storm:
        named = await handshake(storm.wire)
        async with storm.wire.open("POST", call("tell", 5), headers=named) as stream:
            storm.say("1")
            await stream.until(lambda seen: said(seen) == ["1"])
            storm.switch.set(mode)
            storm.say("2", "3", "4")
            before = comments(stream)
            await stream.until(lambda seen: comments(seen) >= before + 4)
            assert said(stream) == ["1"], "nothing goes out that cannot be had again"
            storm.switch.set("up")
            await stream.until(lambda seen: len(said(seen)) == 4)
            storm.say("5")
            await stream.until(lambda seen: len(said(seen)) == 5)
            assert said(stream) == ["1", "2", "3", "4", "5"]
            ids = [str(event.id) for event in stream.events]
            assert [int(cursor.partition(".")[2]) for cursor in ids] == [1, 2, 3, 4, 5, 6]
            for place, cursor in enumerate(ids):
                headers = {**named, **STREAM_ONLY, "last-event-id": cursor}
                async with storm.made.workers[1].wire.open("GET", headers=headers) as resumed:
                    await resumed.until(lambda seen, left=5 - place: len(said(seen)) == left)
                    assert [event.id for event in resumed.events] == ids[place + 1 :]
            await stream.until(lambda seen: seen.ended)  # its client has come back
            headers = {**named, **STREAM_ONLY, "last-event-id": ids[0]}
            async with storm.made.workers[1].wire.open("GET", headers=headers) as resumed:
                storm.say(None)
                await resumed.until(lambda seen: seen.ended)
        assert texts(resumed.result) == ["told"]


async def test_a_stream_that_was_taken_over_while_its_worker_heard_nothing_is_closed_when_it_hears_again() -> None:
    async with stormy(2) as storm:
        named = await handshake(storm.wire)
        async with storm.wire.open("POST", call("tell", 5), headers=named) as stream:
            storm.say("1")
            await stream.until(lambda seen: said(seen) == ["1"])
            storm.switch.set("down")
            await anyio.wait_all_tasks_blocked()
            storm.switch.set("up")  # the worker subscribes again a second later
            headers = {**named, **STREAM_ONLY, "last-event-id": str(stream.events[0].id)}
            async with storm.made.workers[1].wire.open("GET", headers=headers) as resumed:
                await resumed.until(lambda seen: said(seen) == ["1"])
                await stream.until(lambda seen: seen.ended)
                storm.say(None)
                await resumed.until(lambda seen: seen.ended)
        assert texts(resumed.result) == ["told"]


@pytest.mark.parametrize("mode", AWAY)
async def test_a_call_that_ends_during_the_outage_is_answered_after_it(mode: Mode) -> None:
    async with stormy() as storm:
        named = await handshake(storm.wire)
        async with storm.wire.open("POST", call("tell", 5), headers=named) as stream:
            storm.say("1")
            await stream.until(lambda seen: said(seen) == ["1"])
            storm.switch.set(mode)
            storm.say("2", None)
            before = comments(stream)
            await stream.until(lambda seen: comments(seen) >= before + 4)
            storm.switch.set("up")
            await stream.until(lambda seen: seen.ended)
        assert (said(stream), texts(stream.result)) == (["1", "2"], ["told"])


async def test_a_stream_that_begins_during_the_outage_begins_with_its_first_event_after_it() -> None:
    async with stormy() as storm:
        named = await handshake(storm.wire)
        async with storm.wire.open("POST", call("tell", 5), headers=named) as stream:
            await stream.until(lambda seen: seen.status == 200)  # it was silent for long enough
            await stream.until(comments)
            assert [event.data for event in stream.events] == [""]
            storm.say(None)
        async with anyio.create_task_group() as tasks:
            late = storm.wire.begin(tasks, "POST", call("wait", 6), headers=named)
            await storm.made.gate.entered.wait()
            storm.switch.set("down")
            await late.until(lambda seen: comments(seen) >= 3)
            assert late.events == []
            storm.switch.set("up")
            await late.until(lambda seen: len(seen.events) == 1)
            assert late.events[0].retry == "1000"
            storm.made.gate.open.set()


async def test_a_result_that_cannot_be_kept_goes_out_in_the_end_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.mcp.answer.LOG_PATIENCE_S", 0.05)
    async with stormy() as storm:
        named = await handshake(storm.wire)
        async with storm.wire.open("POST", call("tell", 5), headers=named) as stream:
            storm.say("1")
            await stream.until(lambda seen: said(seen) == ["1"])
            storm.switch.set("down")
            storm.say("2", None)
            await stream.until(lambda seen: seen.ended)
        assert (said(stream), texts(stream.result)) == (["1", "2"], ["told"])
        assert [event.id is None for event in stream.events] == [False, False, True, True]


async def test_a_stream_of_which_too_much_waits_ends_with_an_error_in_its_order() -> None:
    async with stormy() as storm:
        named = await handshake(storm.wire)
        async with storm.wire.open("POST", call("tell", 5), headers=named) as stream:
            storm.say("first")
            await stream.until(lambda seen: said(seen) == ["first"])
            storm.switch.set("down")
            texts_ = [f"{number:04}" + "x" * 1000 for number in range(300)]
            storm.say(*texts_)
            with anyio.fail_after(5):
                while not storm.teller.refused:
                    await anyio.sleep(0.001)
            storm.switch.set("up")
            await stream.until(lambda seen: seen.ended)
        kept = said(stream)[1:]
        assert kept == texts_[: len(kept)]
        assert WAITING_BYTES * 0.9 < sum(map(len, kept)) <= WAITING_BYTES
        assert stream.messages[-1]["id"] == 5
        assert stream.messages[-1]["error"]["data"]["code"] == "store_unavailable"
        assert stream.events[-1].id is not None


@pytest.mark.parametrize("mode", AWAY)
async def test_a_resumed_stream_stays_up_through_an_outage_and_goes_on_after_it(mode: Mode) -> None:
    async with stormy(2) as storm:
        named = await handshake(storm.wire)
        async with storm.wire.open("POST", call("tell", 5), headers=named) as stream:
            storm.say("1")
            await stream.until(lambda seen: said(seen) == ["1"])
            headers = {**named, **STREAM_ONLY, "last-event-id": str(stream.events[0].id)}
            async with storm.made.workers[1].wire.open("GET", headers=headers) as resumed:
                await resumed.until(lambda seen: said(seen) == ["1"])
                storm.switch.set(mode)
                storm.say("2")
                before = comments(resumed)
                await resumed.until(lambda seen: comments(seen) >= before + 4)
                storm.switch.set("up")
                await resumed.until(lambda seen: said(seen) == ["1", "2"])
            storm.say(None)
            await stream.until(lambda seen: seen.ended)


async def test_an_event_that_the_store_took_twice_is_shown_once_and_the_stream_ends_at_its_last() -> None:
    async with stormy() as storm:
        named = await handshake(storm.wire)
        manager = storm.made.workers[0].manager
        session = await manager.load(named["mcp-session-id"], kind=SESSION)

        async def log(number: int, text: str, sort: bytes = b"m") -> None:
            data = json.dumps({"method": "notifications/message", "params": {"data": text}}).encode() if text else b""
            entry = sealed(manager, session.ref, "0" * 16, sort + number.to_bytes(4, "big"), data)
            await storm.made.store.events.append(session.ref, "0" * 16, entry, now=storm.made.clock())

        for number, text in ((1, ""), (2, "a"), (2, "a"), (3, "b"), (2, "a"), (3, "b")):
            await log(number, text)
        await log(4, "end", LAST)
        await log(4, "end", LAST)
        for cursor, rest in ((1, ["a", "b", "end"]), (2, ["b", "end"]), (3, ["end"]), (4, [])):
            headers = {**named, **STREAM_ONLY, "last-event-id": f"{'0' * 16}.{cursor}"}
            resumed = await storm.wire.send("GET", headers=headers)
            assert (said(resumed), resumed.ended) == (rest, True)


async def test_what_is_kept_of_a_stream_is_sealed_and_nothing_is_shown_that_no_key_opens() -> None:  # E5
    async with stormy() as storm:
        named = await handshake(storm.wire)
        manager = storm.made.workers[0].manager
        ref = (await manager.load(named["mcp-session-id"], kind=SESSION)).ref
        async with storm.wire.open("POST", call("tell", 5), headers=named) as stream:
            storm.say("a secret")
            await stream.until(lambda seen: said(seen) == ["a secret"])
            name = str(stream.events[0].id).partition(".")[0]
            kept = await storm.made.store.events.read(ref, name)
            assert len(kept) == 2
            assert not any(b"secret" in entry.data for entry in kept)
            for entry in kept:  # as if it had been kept by somebody with other keys
                await storm.made.store.events.append(ref, "1" * 16, entry.data, now=storm.made.clock())
            headers = {**named, **STREAM_ONLY, "last-event-id": f"{'1' * 16}.1"}
            resumed = await storm.wire.send("GET", headers=headers)
            assert (resumed.status, said(resumed)) == (400, [])
            storm.say(None)
            await stream.until(lambda seen: seen.ended)


async def test_what_workers_tell_each_other_is_heard_again_after_an_outage() -> None:
    async with stormy(2) as storm:
        named = await handshake(storm.wire)
        storm.switch.set("down")
        await anyio.wait_all_tasks_blocked()
        storm.switch.set("up")
        await anyio.sleep(0.05)
        async with anyio.create_task_group() as tasks:
            exchange = storm.wire.begin(tasks, "POST", call("wait", 8), headers=named)
            with anyio.fail_after(5):
                await storm.made.gate.entered.wait()
                away = notification("notifications/cancelled", {"requestId": 8})
                assert (await storm.made.workers[1].wire.post(away, **named)).status == 202
                await storm.made.gate.cancelled.wait()
        assert exchange.status in (200, 202)
