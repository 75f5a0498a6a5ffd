"""How sessions were used: the source's figures over any window, from a few counters an hour, over several workers."""

import hashlib

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.samples import record
from holdfast.core.model import Reason
from holdfast.core.ports import Store
from holdfast.errors import BadInput
from holdfast.mcp.kinds import SESSION
from holdfast.observe import stats
from holdfast.observe.analytics import HOUR_S, KEPT_S, PARTS, SAMPLE, Analytics
from holdfast.observe.census import ACTIVE
from holdfast.observe.ledger import Ledger
from holdfast.stores.memory import memory_store
from observe.meters import gone, opened
from observe.workers import VIRTUAL, clock, workers
from stores.stores import Place


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL


async def test_the_sources_figures_over_several_workers() -> None:
    # M25
    async with workers(2) as made:
        first, second = made.all
        mine, yours = await first.open(3), await second.open(2)
        await first.connect(mine[0])
        await second.connect(mine[1])
        await anyio.sleep(100)
        await second.end(mine[0])  # lived about 100 s
        await anyio.sleep(200)
        await first.end(yours[0])  # about 300 s
        await anyio.sleep(7)
        seen = await made.stats(HOUR_S)
    assert (seen.total_sessions, seen.peak_concurrent) == (5, 5)
    assert seen.average_duration == pytest.approx(200, abs=0.5)
    assert seen.active_sessions == 0  # the others were last used more than five minutes ago
    assert not seen.active_estimated
    [_, hour] = seen.connection_patterns
    assert (hour.begins, hour.sessions, hour.connections, hour.peak_concurrent) == ("2025-06-15T16:00:00Z", 5, 2, 5)


async def test_active_are_those_used_in_the_last_five_minutes() -> None:
    # M25
    async with workers(1) as made:
        [worker] = made.all
        sessions = await worker.open(3)
        await anyio.sleep(290)
        assert (await made.stats(60)).active_sessions == 3
        await worker.manager.get(sessions[0].ref, touch=True)
        await anyio.sleep(20)
        assert (await made.stats(60)).active_sessions == 1


async def test_the_duration_is_the_real_one_and_not_what_a_session_was_allowed() -> None:
    # M25: the source's query takes the time until the session would have expired
    async with workers(1) as made:
        [worker] = made.all
        [session] = await worker.open()
        await anyio.sleep(10)
        await worker.end(session)
        await anyio.sleep(2)
        assert (await made.stats(60)).average_duration == pytest.approx(10, abs=0.5)


@pytest.mark.slow
async def test_a_window_begins_with_a_full_hour_and_says_so() -> None:
    # M25
    async with workers(1) as made:
        [worker] = made.all
        await worker.open(1)
        await anyio.sleep(2 * HOUR_S)
        await worker.open(2)
        await anyio.sleep(600)
        near, far = await made.stats(300), await made.stats(3 * HOUR_S)
    assert (near.since, near.resolution, near.total_sessions) == ("2025-06-15T18:00:00Z", 3600, 2)
    assert (far.since, far.total_sessions, len(far.connection_patterns)) == ("2025-06-15T15:00:00Z", 3, 4)
    assert [hour.sessions for hour in far.connection_patterns] == [0, 1, 0, 2]


@pytest.mark.slow
async def test_a_peak_between_two_looks_is_seen_and_one_that_lasts_is_seen_in_every_hour() -> None:
    # M25
    async with workers(2) as made:
        first, second = made.all
        many = await first.open(7)
        await first.end(*many)  # within the same second
        await anyio.sleep(3)
        await second.open(2)
        await anyio.sleep(20)
        assert (await made.stats(60)).peak_concurrent == 7
        await anyio.sleep(HOUR_S + 100)
        later = await made.stats(60)
        assert (later.total_sessions, later.peak_concurrent) == (0, 2)


async def test_a_peak_that_two_workers_raise_at_once_is_not_added_up() -> None:
    # M25
    store = memory_store()
    first, second = Analytics(Ledger()), Analytics(Ledger())
    assert await first.reach(store.counters, 10, 0.0)
    assert not await second.reach(store.counters, 12, 0.5)  # not its turn
    assert await second.reach(store.counters, 12, 1.0)
    assert await first.reach(store.counters, 11, 2.0)
    assert (await stats(store, now=3.0)).peak_concurrent == 12


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), min_size=1, max_size=30))
def test_the_peak_of_an_hour_is_the_most_that_any_worker_told(told: list[tuple[int, int]]) -> None:
    # M25
    async def run() -> None:
        store, all_workers = memory_store(), [Analytics(Ledger()) for _ in range(3)]
        for second, (worker, number) in enumerate(told):
            assert await all_workers[worker].reach(store.counters, number, float(second))
        assert (await stats(store, now=100.0)).peak_concurrent == max(number for _, number in told)

    anyio.run(run)


@pytest.mark.slow
async def test_a_sessions_life_costs_a_constant_number_of_counters() -> None:
    # M25
    ledger, store = Ledger(), memory_store()
    analytics = Analytics(ledger)
    for number in range(100_000):
        analytics.emit(opened(mark=f"{number:08x}", at=10.0))
        analytics.emit(opened("stream", mark=f"{number:08x}", at=10.0))
        analytics.emit(gone(mark=f"{number:08x}", at=20.0, reason=Reason.CLIENT))
    analytics.settle()
    assert await ledger.write(store.counters, 30.0) < len(PARTS)
    assert (await stats(store, now=30.0)).total_sessions == 100_000


async def test_hours_that_are_long_past_are_forgotten() -> None:
    # M25: a bounded number of counters, trimmed by age
    store, ledger = memory_store(), Ledger()
    analytics = Analytics(ledger)
    for hour in range(3 * 31 * 24):
        analytics.emit(opened(at=hour * HOUR_S))
        analytics.settle()
        await ledger.write(store.counters, hour * HOUR_S)
    assert len(store.counters._entries) <= 2 * 31 * 24 + 1
    seen = await stats(store, window=KEPT_S, now=hour * HOUR_S)
    assert seen.total_sessions == 31 * 24


async def _filled(store: Store, number: int, *, used: int) -> None:
    await store.counters.add(ACTIVE + SESSION, number, now=clock())
    for place in range(number):
        await store.sessions.create(
            record(key=_spread(place), tree=_spread(place), kind=SESSION, created_at=0.0, ends_at=1e12,
                   used_at=clock() - (10 if place < used else 1_000)),
            now=clock(),
        )  # fmt: skip


def _spread(number: int) -> int:
    """Return a key that is as good as drawn by lot."""
    return int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:16], "big")


async def test_of_very_many_sessions_the_active_ones_are_estimated() -> None:
    # M25: at a constant cost
    store = memory_store()
    await _filled(store, 3 * SAMPLE, used=SAMPLE)
    seen = await stats(store, now=clock())
    assert seen.active_estimated
    assert abs(seen.active_sessions - SAMPLE) < 0.05 * 3 * SAMPLE


@pytest.mark.parametrize("window", [0, -1, KEPT_S + 1, float("nan")])
async def test_a_window_that_is_none_is_refused(window: float) -> None:
    with pytest.raises(BadInput):
        await stats(memory_store(), window=window)


class TestOnEveryStore:
    """With the clocks and event loop of real stores."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    async def test_counters_of_every_store_add_up(self, place: Place) -> None:
        # M25
        now = 1_750_000_000.0
        async with place.open() as store, place.open() as other:
            ledgers = [Ledger(), Ledger()]
            for ledger, at in zip(ledgers, (store, other), strict=True):
                analytics = Analytics(ledger)
                for hour in range(30):
                    analytics.emit(opened(at=now - hour * HOUR_S))
                    analytics.emit(gone(at=now - hour * HOUR_S, lived=3.0))
                analytics.settle()
                await ledger.write(at.counters, now)
                await analytics.reach(at.counters, 4, now)
            seen = await stats(store, window=24 * HOUR_S, now=now)
            assert await stats(other, window=24 * HOUR_S, now=now) == seen
        assert (seen.total_sessions, seen.average_duration, seen.peak_concurrent) == (50, 3.0, 4)
        assert sum(hour.sessions for hour in seen.connection_patterns) == 50
