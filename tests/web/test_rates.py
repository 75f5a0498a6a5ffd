"""How many requests a key may send, counted by several workers over one store (E13)."""

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.outage import Switch, switched
from holdfast.config import Settings
from holdfast.core.ports import Counters
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.web.rates import AWAY_S, LAPSE_S, SHARE, RateLimit, RateLimited, Rates


def limits(
    count: int, *, per_minute: float = 60.0, burst: float = 10.0
) -> tuple[list[RateLimit], Clock, Switch, Counters]:
    """Return the same limit at several workers."""
    clock = Clock()
    store, switch = switched(memory_store())
    made = [RateLimit(store.counters, "t", per_minute=per_minute, burst=burst, clock=clock) for _ in range(count)]
    return made, clock, switch, store.counters


async def granted(limit: RateLimit, key: str = "k", cost: float = 1.0) -> float:
    """Return 0.0 if a request is served, else in how many seconds the next will be."""
    try:
        await limit.take(key, cost)
    except RateLimited as error:
        return error.retry_after
    return 0.0


async def test_a_burst_is_served_and_then_one_request_at_a_time() -> None:
    [limit], clock, _, _ = limits(1)
    assert [await granted(limit) for _ in range(10)] == [0.0] * 10
    with pytest.raises(RateLimited, match="too many requests of one t") as refused:
        await limit.take("k")
    assert (refused.value.code, refused.value.status) == ("rate_limited", 429)
    assert refused.value.retry_after == pytest.approx(1.0)
    clock.advance(1.0)
    assert await granted(limit) == 0.0
    assert await granted(limit) == pytest.approx(1.0)


async def test_all_workers_count_together_and_each_key_by_itself() -> None:
    workers, _, _, _ = limits(4)
    served = [await granted(workers[n % 4], key) for n in range(40) for key in ("a", "b")]
    assert served.count(0.0) == 20


async def test_of_requests_at_once_as_many_are_served_as_are_allowed() -> None:
    workers, _, switch, _ = limits(4, burst=64.0)
    served: list[float] = []

    async def one(limit: RateLimit) -> None:
        served.append(await granted(limit))

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(one, workers[number % 4])
    assert served.count(0.0) == 64
    assert switch.calls.count("take") <= 64 / (64 / SHARE) + 4 * 4


async def test_of_many_requests_few_cost_a_trip_to_the_store_and_those_refused_cost_none() -> None:
    [limit], clock, switch, _ = limits(1, burst=1000.0)
    for _ in range(1000):
        assert await granted(limit) == 0.0
    assert len(switch.calls) <= SHARE + 2
    before = len(switch.calls)
    for _ in range(100):
        assert await granted(limit) > 0.0
    assert len(switch.calls) <= before + 2
    for before in range(len(switch.calls), len(switch.calls) + 10):
        clock.advance(1.0)
        assert await granted(limit) == 0.0
        assert len(switch.calls) == before + 1, "who lives from hand to mouth does not ask for a share"


async def test_who_waits_while_another_asks_the_store_takes_of_what_it_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    [limit], _, switch, counters = limits(1, burst=160.0)
    take = counters.take

    async def slowly(*args: Any, **more: Any) -> float:
        await anyio.lowlevel.checkpoint()
        return await take(*args, **more)

    monkeypatch.setattr(counters, "take", slowly, raising=False)
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(limit.take, "k")
    assert switch.calls.count("take") == 10


async def test_a_batch_counts_as_what_is_in_it_and_bars_no_smaller_one() -> None:
    [limit], _, _, _ = limits(1, burst=100.0)
    assert await granted(limit, cost=60.0) == 0.0
    assert await granted(limit, cost=60.0) > 0.0
    assert await granted(limit, cost=30.0) == 0.0
    assert await granted(limit) == 0.0


async def test_a_batch_larger_than_the_burst_counts_as_the_burst() -> None:
    [limit], clock, _, _ = limits(1)
    assert await granted(limit, cost=1000.0) == 0.0
    assert await granted(limit) > 0.0
    clock.advance(10.0)
    assert await granted(limit, cost=1000.0) == 0.0


async def test_what_a_worker_has_taken_and_not_used_lapses() -> None:
    [limit], clock, _, _ = limits(1, burst=160.0, per_minute=1.0)
    for _ in range(145):
        assert await granted(limit) == 0.0
    clock.advance(LAPSE_S)  # one token has come, ten were left in the bucket, and five with the worker
    served = [await granted(limit) for _ in range(20)]
    assert served.count(0.0) == 11


@pytest.mark.parametrize("outage", [False, True])
async def test_a_clock_that_is_set_back_shuts_nobody_out_and_lifts_no_limit(outage: bool) -> None:  # R31
    [limit], clock, switch, _ = limits(1)
    switch.set("down" if outage else "up")
    for jump in (0.0, -86_400.0, -30.0):  # what the clocks of workers differ by is no jump
        clock.now += jump
        waits = [await granted(limit) for _ in range(12)]
        assert waits[:10] == [0.0 if jump != -30.0 else pytest.approx(31.0)] * 10
        assert 0.0 < waits[10] <= 31.1
    clock.advance(31.0)
    assert await granted(limit) == 0.0
    assert await granted(limit) > 0.0


async def test_while_the_store_is_away_each_worker_counts_by_itself_and_does_not_wait_for_it() -> None:
    workers, clock, switch, _ = limits(2)
    switch.set("hanging")
    for limit in workers:
        assert [await granted(limit) for _ in range(10)] == [0.0] * 10
        assert await granted(limit) > 0.0
    assert switch.refused == ["take"] * 2
    switch.set("up")
    clock.advance(AWAY_S)
    assert await granted(workers[0]) == 0.0
    assert switch.calls.count("take") == 3


async def test_no_limit_asks_nobody() -> None:
    [limit], _, switch, _ = limits(1, per_minute=0.0)
    for _ in range(1000):
        assert await granted(limit) == 0.0
    assert switch.calls == []


async def test_the_keys_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.web.rates.PURSES", 2)
    [limit], _, switch, _ = limits(1, burst=160.0)
    for key in ("a", "b", "a", "c", "a", "b"):
        await granted(limit, key)
    assert switch.calls.count("take") == 4, "b was forgotten for c, a was used in between"


async def test_names_of_clients_are_not_seen_in_the_store() -> None:
    names: list[str] = []

    class Spy:
        async def take(self, name: str, **_: float) -> float:
            names.append(name)
            return 0.0

    await RateLimit(Spy(), "client", per_minute=1.0, burst=1.0, clock=Clock()).take("ann@example")  # type: ignore[arg-type]
    assert "ann" not in names[0]


def test_what_is_set_is_what_holds() -> None:
    rates = Rates(
        memory_store().counters, Settings(rate_limit_per_session=120, rate_limit_per_client=60), clock=Clock()
    )
    assert (rates.session._rate, rates.client._rate) == (2.0, 1.0)
    with pytest.raises(ValueError, match="rate_burst"):
        Settings(rate_burst=0)


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.01, 0.3, 5.0, 70.0]), st.integers(1, 5)), max_size=80
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sampled_from([1.0, 8.0, 40.0, 160.0]), st.sampled_from([30.0, 600.0]))
def test_in_no_span_more_is_granted_than_the_limit_and_a_share_for_each_worker(
    steps: list[tuple[int, float, int]], burst: float, per_minute: float
) -> None:
    async def play() -> None:
        workers, clock, _, _ = limits(3, per_minute=per_minute, burst=burst)
        history: list[tuple[float, float]] = []
        for number, wait, cost in steps:
            clock.advance(wait)
            refusals = [await granted(workers[number], cost=float(cost)) for _ in range(10)]
            history += [(clock.now, min(cost, burst))] * refusals.count(0.0)
        slack = 3 * max(burst // SHARE, 1.0) + 0.01
        for place, (begin, _) in enumerate(history):
            total = 0.0
            for at, cost in history[place:]:
                total += cost
                assert total <= burst + (at - begin) * per_minute / 60.0 + slack

    anyio.run(play)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.01, 0.3, 2.0]), max_size=60), st.sampled_from([1.0, 8.0, 64.0]))
def test_who_comes_back_when_told_to_is_served(waits: list[float], burst: float) -> None:
    async def play() -> None:
        [limit], clock, _, _ = limits(1, burst=burst)
        for wait in waits:
            clock.advance(wait)
            refused = await granted(limit)
            if refused:
                clock.advance(refused + 1e-3)
                assert await granted(limit) == 0.0

    anyio.run(play)
