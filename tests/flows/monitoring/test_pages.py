"""Pages of the log on every store: newest first, bounded, sealed, and written by compare-and-set."""

from contextlib import AsyncExitStack
from typing import Any

import anyio
import msgspec
import pytest

from flows.monitoring.test_messagelog import logged, orders, refused
from holdfast.engine import open_engine
from holdfast.errors import Busy
from holdfast.flows import flow_kinds
from holdfast.flows.monitoring import Entry, MessageLog, Retention, Run
from holdfast.flows.monitoring.entries import Failure, Line
from holdfast.flows.runtime import Message, StepFailed
from holdfast.testing.clock import Clock
from stores.stores import Place

KEYS = "c2VhbGluZy1rZXktb2YtMzItYnl0ZXMtZm9yLXRlc3Q"
SECRET = "order of very-secret GmbH"


def entry(name: str, outcome: Any = "done", at: float = 1.0, **more: Any) -> Entry:
    error = Failure("boom", "it broke") if outcome == "failed" else None
    run = Run(worker="w", began_at=at, outcome=outcome, ended_at=at + 1, error=error)
    return Entry(id=name, flow="orders", runs=(run,), **more)


async def test_on_every_store_pages_come_newest_first_and_the_oldest_gives_way(place: Place) -> None:
    # F17
    clock = Clock()
    async with place.open(clock) as store, open_engine(store, kinds=flow_kinds(), keys=KEYS, clock=clock) as engine:
        log = MessageLog(engine.manager, Retention(failed_pages=4, done_pages=2))
        for number in range(6):
            await log.write([entry(f"bad-{number}", "failed"), entry(f"good-{number}"), entry(f"fine-{number}")])
            clock.advance(1)
        failed = [one.id for one in (await log.list("orders", "failed")).entries]
        assert failed == ["bad-5", "bad-4", "bad-3", "bad-2"]
        done = [one.id for one in (await log.list("orders", "done")).entries]
        assert done == ["fine-5", "good-5", "fine-4", "good-4"]
        first = await log.list(count=5)
        rest = await log.list(after=first.after)
        assert len(first.entries) + len(rest.entries) == 8
        assert {one.id for one in (*first.entries, *rest.entries)} == {*failed, *done}
        assert (await log.get("bad-4", "orders")).outcome == "failed"
        clock.advance(2 * 86_400)
        assert [one.id for one in (await log.list()).entries] == failed


async def test_on_every_store_of_many_claims_of_a_message_one_succeeds(place: Place) -> None:
    # F17
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(place.open())
        logs = []
        for _ in range(3):
            engine = await stack.enter_async_context(open_engine(store, kinds=flow_kinds(), keys=KEYS))
            logs.append(MessageLog(engine.manager))
        await logs[0].write([failed := entry("m-1", "failed", kept=b"\x93\xc0\x80\x80")])
        told: list[str] = []

        async def claim(log: MessageLog, number: int) -> None:
            try:
                await log.claim(failed, Run(worker=f"w-{number}", began_at=10.0 + number))
            except Busy:
                told.append("busy")
            else:
                told.append("claimed")

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for number in range(9):
                    tasks.start_soon(claim, logs[number % 3], number)
        assert sorted(told) == ["busy"] * 8 + ["claimed"]
        found = await logs[1].get("m-1", "orders")
        assert [run.outcome for run in found.runs] == ["failed", "running"]


async def test_nothing_of_a_message_can_be_read_in_the_store(shared_place: Place) -> None:
    async with shared_place.open() as store, orders(refused, store=store, keys=KEYS) as flow:
        with pytest.raises(StepFailed):
            await flow.process(Message(id="m-1", body="bad", headers={"x-note": SECRET}))
        await flow.process(Message(id="m-2", body=SECRET))
        await logged(flow, 2)
        assert (await flow.log.get("m-1", "orders")).message().headers == {"x-note": SECRET}
        dump = await shared_place.dump()
    assert b"orders" in dump
    assert SECRET.encode() not in dump
    assert b"call_refused" not in dump


async def test_flows_whose_names_begin_alike_are_told_apart() -> None:
    async with open_engine("memory://", kinds=flow_kinds()) as engine:
        log = MessageLog(engine.manager)
        for name in ("my", "my orders", "my orders 2"):  # flows made in Python may have such names
            await log.write([msgspec.structs.replace(entry(f"m\n{name}", "failed"), flow=name)])
            await log.write([msgspec.structs.replace(entry("m-1"), flow=name)])
        for name in ("my", "my orders", "my orders 2"):
            assert {one.flow for one in (await log.list(name)).entries} == {name}
            assert [one.id for one in (await log.list(name, "failed")).entries] == [f"m\n{name}"]
            assert (await log.get("m-1", name)).flow == name
        assert (await log.list("orders")).entries == []


async def test_messages_that_are_too_much_for_one_page_are_on_several() -> None:
    lines = tuple(Line(0.1, "orders.yaml:7", "call", "done", 0.1, "x" * 1000) for _ in range(100))
    many = [
        Entry(id=f"m-{number}", flow="orders", runs=(Run(worker="w", began_at=1.0, outcome="done", lines=lines),))
        for number in range(25)
    ]
    async with open_engine("memory://", kinds=flow_kinds()) as engine:
        log = MessageLog(engine.manager)
        await log.write([*many, *(entry(f"n-{number}") for number in range(450))])
        pages = [record async for record in engine.manager.each("kind", "flow_log")]
        assert 4 < len(pages) < 9
        assert len((await log.list(count=1000)).entries) == 475
