"""How many sessions there are: right over several workers and after a worker was killed; at the cost of a counter."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.kinds import Clocks, Kind
from holdfast.mcp.kinds import SESSION, STREAM
from holdfast.observe.census import ACTIVE, COUNT_EVERY_S, correction
from holdfast.observe.ledger import Ledger
from holdfast.stores.memory import memory_store
from observe.workers import VIRTUAL, clock, workers


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL


async def test_every_worker_shows_the_sessions_of_all() -> None:
    # M24
    async with workers(2) as made:
        first, second = made.all
        sessions = await first.open(3)
        await second.open(2)
        await second.connect(sessions[0])
        await anyio.sleep(7)
        assert [worker.gauge for worker in made.all] == [5, 5]
        assert first.shown.gauges["mcp.session.connection.active_count"] == 1
        await second.end(*sessions)
        await anyio.sleep(7)
        assert [worker.gauge for worker in made.all] == [2, 2]
        assert second.shown.gauges["mcp.session.connection.active_count"] == 0
        assert first.shown.gauges["holdfast.session.active_count handle"] == 0


@pytest.mark.slow
async def test_sessions_that_ran_out_are_counted_out_when_they_are_swept() -> None:
    # M24
    async with workers(2) as made:
        await made.all[0].open(4)
        await anyio.sleep(1_000)
        await made.all[0].open(1)
        await anyio.sleep(1_000)
        await made.all[1].keeper.sweep()
        await anyio.sleep(7)
        assert [worker.gauge for worker in made.all] == [1, 1]
        assert made.all[1].shown.counts["mcp.session.expired idle"] == 4
        assert made.all[1].shown.times["mcp.session.duration idle"] == [pytest.approx(1800)] * 4


async def test_opening_a_session_asks_the_store_for_nothing_more() -> None:
    # M24: never counting at a creation
    async with workers(1) as made:
        [worker] = made.all
        made.switch.calls.clear()
        await worker.open(500)
        assert set(made.switch.calls) == {"create"}
        made.switch.calls.clear()
        await anyio.sleep(1.5)
        assert await made.counter() == 500
        assert made.switch.calls.count("add") <= 5  # and for all of them together not much
        assert "find" not in made.switch.calls


async def test_what_a_killed_worker_took_with_it_is_counted_by_its_successor() -> None:
    # M24
    async with workers(2) as made:
        first, second = made.all
        await first.open(5)
        await anyio.sleep(7)
        await first.open(3)
        first.kill()
        await anyio.sleep(7)
        assert second.gauge == 5  # wrong, since nobody knows of three
        made.add()
        await anyio.sleep(20)
        assert [worker.gauge for worker in made.all[1:]] == [8, 8]


async def test_a_worker_that_is_killed_and_replaced_at_once_is_made_up_for() -> None:
    # M24: also where somebody has counted just before
    async with workers(2) as made:
        made.add()
        await anyio.sleep(1)
        first, second, _ = made.all
        await first.open(3)
        first.kill()
        made.add()
        await anyio.sleep(30)
        assert second.gauge == 3


async def test_without_a_successor_the_count_is_put_right_within_ten_minutes() -> None:
    # M24
    async with workers(2) as made:
        first, second = made.all
        sessions = await first.open(6)
        await anyio.sleep(7)
        await first.end(*sessions[:4])
        first.kill()
        await anyio.sleep(7)
        assert second.gauge == 6
        await anyio.sleep(1.3 * COUNT_EVERY_S)
        assert second.gauge == 2


async def test_a_store_of_this_process_alone_needs_no_recount() -> None:
    async with workers(1, shared=False) as made:
        await made.store.counters.add(ACTIVE + SESSION, 99, now=clock())
        await made.all[0].open(1)
        await anyio.sleep(3 * COUNT_EVERY_S)
        assert await made.counter() == 100


async def test_an_outage_loses_nothing_that_was_counted() -> None:
    # M24, E26
    async with workers(1) as made:
        [worker] = made.all
        await worker.open(2)
        made.switch.set("down")
        await anyio.sleep(30)
        made.switch.set("up")
        await worker.open(1)
        await anyio.sleep(7)
        assert (await made.counter(), worker.gauge) == (3, 3)
        assert worker.shown.counts["holdfast.store.unavailable"] >= 10
        assert worker.shown.times["holdfast.store.latency"]


async def test_a_server_that_goes_down_writes_what_it_has_counted() -> None:
    # M24
    async with workers(2) as made:
        first, second = made.all
        await first.open(4)
        first.scope.cancel()
        await anyio.sleep(7)
        assert second.gauge == 4


@pytest.mark.slow
async def test_a_count_reads_on_while_sessions_come_and_go() -> None:
    # M24: what changes meanwhile is never taken for a mistake
    plain = Kind(name=SESSION, clocks=Clocks(idle=1e6))
    async with workers(2, kinds=(plain, Kind(name=STREAM))) as made:
        first, second = made.all
        await first.open(900)
        for _ in range(12):
            opened = await second.open(40)
            await anyio.sleep(60)
            await first.end(*opened[:20])
        await anyio.sleep(COUNT_EVERY_S)
        assert (await made.counter(), first.gauge, second.gauge) == (1140, 1140, 1140)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 50))
def test_a_correction_never_makes_a_count_worse(true: int, drift: int, changed: int) -> None:
    # M24: whatever of the changes the count of the rows has seen, or not
    counter = true + drift
    for seen in (true - changed, true, true + changed):
        after = counter + correction(counter, seen, changed)
        assert abs(after - true) <= max(abs(drift), changed)
        if changed == 0:
            assert after == true


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 5), st.booleans())))
def test_what_the_store_does_not_take_is_written_later(steps: list[tuple[str, int, bool]]) -> None:
    # M24, E26
    class Fails(Exception):
        """The store is away."""

    class Sometimes:
        def __init__(self, works: bool) -> None:
            self._works = works

        async def add(self, name: str, amount: int = 1, *, now: float, ttl: float | None = None) -> int:
            if not self._works:
                raise Fails
            return await counters.add(name, amount, now=now, ttl=ttl)

    counters, ledger, sums = memory_store().counters, Ledger(), dict.fromkeys("abc", 0)

    async def run() -> None:
        for name, amount, works in steps:
            ledger.add(name, amount)
            sums[name] += amount
            try:
                await ledger.write(Sometimes(works), 1.0)  # type: ignore[arg-type]
            except Fails:
                assert any(ledger.pending(one) for one in "abc") or not works
        await ledger.write(counters, 1.0)
        assert await counters.read(list("abc"), now=1.0) == list(sums.values())

    anyio.run(run)
