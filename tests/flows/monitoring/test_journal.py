"""What a worker's journal says: after whatever went wrong with the store, and to whoever finds it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.model import Reason
from holdfast.engine import Engine, open_engine
from holdfast.errors import SessionEnded, StoreUnavailable
from holdfast.flows import flow_kinds
from holdfast.flows.message import Message
from holdfast.flows.monitoring import book
from holdfast.flows.monitoring.entries import DEBUG, Entry, Line, Run, merged
from holdfast.flows.monitoring.folding import Batch, folded
from holdfast.flows.monitoring.journal import SIBLINGS, Journal, open_journal
from holdfast.flows.monitoring.messagelog import MessageLog
from holdfast.flows.monitoring.recording import Recording
from holdfast.testing.clock import Clock


class Faulty:
    """A method of a store that works, or fails as it is told: `before` it has written, or `after`."""

    def __init__(self, port: Any, name: str) -> None:
        self._works: Callable[..., Awaitable[Any]] = getattr(port, name)
        self.fails = ""
        setattr(port, name, self)

    async def __call__(self, *args: Any, **more: Any) -> Any:
        result = await self._works(*args, **more) if self.fails != "before" else None
        if self.fails:
            raise StoreUnavailable("gone")
        return result


@asynccontextmanager
async def engine(**more: Any) -> AsyncIterator[Engine]:
    async with open_engine("memory://", kinds=flow_kinds(), **more) as opened:
        yield opened


def journal(opened: Engine) -> Journal:
    return Journal(MessageLog(opened.manager), "orders", "orders.yaml", "all")


def lines(entry: Entry) -> list[str]:
    return [line.place for line in entry.last.lines]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "line", "line", "end", "write", "write", "before", "after", "no log", "taken"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_a_journal_says_what_is_going_on_whatever_went_wrong_before(steps: list[tuple[str, int]]) -> None:
    # F17
    anyio.run(_said_what_is_going_on, steps)


async def _said_what_is_going_on(steps: list[tuple[str, int]]) -> None:
    going: dict[str, tuple[Recording, list[str]]] = {}
    async with engine(keeper=False) as opened:
        made = journal(opened)
        events, pages = Faulty(opened.store.events, "append"), Faulty(opened.store.sessions, "create")
        for number, (step, which) in enumerate(steps):
            name = list(going)[which % len(going)] if going else ""
            if step == "begin":
                recording = made.begin(Message(id=f"m-{number}", body=number))
                going[f"m-{number}"] = recording, []
                made._ask(recording)
            elif step == "line" and name:
                recording, told = going[name]
                recording.step(f"line {number}", "call", "done", 0.0)
                told.append(f"line {number}")
            elif step == "end" and name:
                await made.end(going.pop(name)[0], "done")
            elif step in ("before", "after", "no log"):
                events.fails, pages.fails = ("", "before") if step == "no log" else (step, "")
                with pytest.raises(StoreUnavailable):
                    await made._write(last=True)
                    await made._write(last=True)  # there may have been nothing to say
                    raise StoreUnavailable("nothing to say")
                events.fails = pages.fails = ""
            elif step == "taken" and made._book.session is not None:
                await opened.manager.end(made._book.session, Reason.IDLE)
                await opened.keeper.turn()  # which puts what was going on into the log
                with pytest.raises(SessionEnded):
                    await made._write(last=True)
                    raise SessionEnded("nothing to say")
                made._taken_for_dead()
            await made._write(last=True) if step == "write" else None
        await made._write(last=True)
        said = {entry.id: entry for entry in await book.running(opened.manager)}
        assert {name: lines(entry) for name, entry in said.items()} == {n: told for n, (_, told) in going.items()}
        assert all(entry.message().body == int(name[2:]) for name, entry in said.items())
        ended = {entry.id: entry.outcome for entry in (await made.messages.list(count=1000)).entries}
        begun = {f"m-{number}" for number, (step, _) in enumerate(steps) if step == "begin"}
        assert begun - set(going) <= {name for name, outcome in ended.items() if outcome == "done"}


def entry(name: str, *told: str, began_at: float = 1.0, worker: str = "w", **run: Any) -> Entry:
    noted = tuple(Line(0.0, place, "call", "done") for place in told)
    return Entry(
        id=name,
        flow="orders",
        kept=b"\x93\xc0\x80\x80",
        runs=(Run(worker=worker, began_at=began_at, lines=noted, count=len(told), **run),),
    )


def test_a_fresh_batch_stands_for_all_that_came_before_it() -> None:
    batches = [
        Batch(True, [(1, entry("a")), (2, entry("b", "x"))]),
        Batch(False, [(3, entry("c"))], [(1, [Line(0.0, "y", "call", "done")]), (9, [])], [2]),
        Batch(True, [(4, entry("d", "z"))]),
    ]
    assert [(one.id, lines(one)) for one in folded(batches[:2])] == [("a", ["y"]), ("c", [])]
    assert [(one.id, lines(one)) for one in folded(batches)] == [("d", ["z"])]


RUN = st.builds(
    partial(entry, "a"),
    began_at=st.integers(1, 4).map(float),
    worker=st.sampled_from(["one", "two"]),
    outcome=st.sampled_from(["running", "done", "failed"]),
)


@settings(max_examples=100)
@given(RUN, st.lists(RUN, max_size=14))
def test_whatever_becomes_known_of_a_message_in_whatever_order_no_run_is_told_twice(
    first: Entry, others: list[Entry]
) -> None:
    known = first
    for other in others:
        known = merged(known, other)
        assert known.runs[-1].id >= known.runs[0].id or known.runs[-1].began_at >= known.runs[0].began_at
        assert len({run.id for run in known.runs}) == len(known.runs) <= 10
        assert merged(known, other) == known  # told twice, it is no news
        assert any(run.outcome == "running" for run in known.runs) == (known.outcome == "running")


async def test_where_many_messages_are_going_a_batch_waits_for_more_of_them_and_else_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # F17
    url = f"sqlite:///{tmp_path}/flows.db"
    async with (
        open_engine(url, kinds=flow_kinds(), keeper=False) as opened,
        open_journal(MessageLog(opened.manager), "orders") as made,
    ):
        written = 0
        append = opened.store.events.append

        async def counted(*args: Any, **more: Any) -> Any:
            nonlocal written
            written += 1
            return await append(*args, **more)

        async def begin(number: int) -> None:
            for _ in range(5 * number):
                await anyio.lowlevel.checkpoint()
            await made.secure(made.begin(Message(id=f"m-{number}")))

        monkeypatch.setattr(opened.store.events, "append", counted)
        monkeypatch.setattr("holdfast.flows.monitoring.journal.GATHER_S", 3600.0)
        with anyio.fail_after(20):
            for number in range(SIBLINGS - 1):
                await begin(number)
        assert written == SIBLINGS - 1
        monkeypatch.setattr("holdfast.flows.monitoring.journal.GATHER_S", 0.5)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for number in range(10, 20):
                    tasks.start_soon(begin, number)
        assert written == SIBLINGS


async def test_a_worker_that_was_taken_for_dead_says_later_how_its_message_ended() -> None:
    # F17
    async with engine() as opened, open_journal(MessageLog(opened.manager), "orders") as made:
        recording = made.begin(Message(id="m-1", body=1))
        with anyio.fail_after(5):
            await recording.secure()
            [record] = [record async for record in book.journals(opened.manager)]
            await opened.manager.end(record.ref, Reason.IDLE)
            while not (found := (await made.messages.list()).entries):
                await anyio.sleep(0.02)
            assert (found[0].outcome, found[0].error and found[0].error.code) == ("failed", "worker_died")
            await made.end(recording, "done")
            while (again := (await made.messages.list()).entries)[0].outcome != "done":
                await anyio.sleep(0.02)
        assert [len(one.runs) for one in again] == [1]


async def test_a_worker_that_does_not_show_itself_for_half_a_minute_has_died() -> None:
    # F17
    clock = Clock()
    async with engine(clock=clock, keeper=False) as opened:
        made = journal(opened)
        recording = made.begin(Message(id="m-1", body=1))
        made._ask(recording)
        await made._write()
        recording.step("orders.yaml:7", "call", "done", 0.1)
        await made._write(last=True)
        clock.advance(29)
        await opened.keeper.turn()
        assert (await made.messages.list()).entries == []
        clock.advance(2)
        await opened.keeper.turn()  # it ends the journal,
        await opened.keeper.turn()  # and closes it
        [found] = (await made.messages.list()).entries
        assert (found.outcome, lines(found), found.last.ended_at) == ("failed", ["orders.yaml:7"], clock())
        assert not [record async for record in opened.manager.each("kind", book.JOURNAL)]


async def test_a_journal_that_grows_is_begun_anew() -> None:
    async with engine(keeper=False) as opened:
        made = journal(opened)
        long = made.begin(Message(id="long", body="x"), DEBUG)
        made._ask(long)
        for number in range(30):
            other = made.begin(Message(id=f"m-{number}", body="y" * 100_000))
            made._ask(other)
            await made._write()
            await made.end(other, "done")
            await made._write(last=True)
        assert made._book.session is not None
        kept = await opened.store.events.read(made._book.session.ref, book.STREAM, count=500)
        assert sum(len(event.data) for event in kept) < 1_500_000
        assert [one.id for one in await book.running(opened.manager)] == ["long"]


async def test_what_is_known_of_a_message_and_too_much_for_the_store_is_told_in_less_words() -> None:
    async with engine() as opened, open_journal(MessageLog(opened.manager), "orders") as made:
        recording = made.begin(Message(id="m-1", body="x" * 200_000), DEBUG)
        for number in range(1200):
            recording.step(f"orders.yaml:{number}", "call", "failed", 0.0, "e" * 1500)
        await made.end(recording, "failed", ValueError("boom"))
        found = await made.messages.get("m-1", "orders")
        assert found.error is not None
        assert (found.error.code, "boom" in found.error.text) == ("internal", False)
        assert (len(found.last.lines), found.last.count, found.message().body) == (20, 1200, "x" * 200_000)
