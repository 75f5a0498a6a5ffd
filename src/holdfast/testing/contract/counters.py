"""Counters: token buckets, replay caches and plain sums, each exact under parallel use."""

# ruff: noqa: S101 - a test asserts

import math

from holdfast.errors import BadInput
from holdfast.testing.contract.base import NOW, Contract, all_at_once, refused


class CounterContract(Contract):
    """`Counters`."""

    async def test_a_burst_is_granted_and_what_is_over_waits(self) -> None:  # E13
        async with self.open() as store:
            waits = [await store.counters.take("c", rate=2.0, burst=3.0, now=NOW) for _ in range(4)]
            assert waits[:3] == [0.0, 0.0, 0.0]
            assert math.isclose(waits[3], 0.5, abs_tol=1e-5)

    async def test_a_refused_take_takes_nothing(self) -> None:  # E13
        async with self.open() as store:
            for _ in range(5):
                await store.counters.take("c", rate=1.0, burst=1.0, now=NOW)
            assert await store.counters.take("c", rate=1.0, burst=1.0, now=NOW + 1) == 0.0

    async def test_a_bucket_fills_up_to_its_burst_and_no_further(self) -> None:  # E13
        async with self.open() as store:
            await store.counters.take("c", rate=1.0, burst=2.0, now=NOW)
            waits = [await store.counters.take("c", rate=1.0, burst=2.0, now=NOW + 1000) for _ in range(3)]
            assert waits[:2] == [0.0, 0.0]
            assert waits[2] > 0.0

    async def test_waiting_as_told_is_long_enough(self) -> None:  # E13
        async with self.open() as store:
            await store.counters.take("c", rate=3.0, burst=1.0, now=NOW)
            wait = await store.counters.take("c", rate=3.0, burst=1.0, now=NOW)
            assert wait > 0.0
            assert await store.counters.take("c", rate=3.0, burst=1.0, now=NOW + wait) == 0.0

    async def test_a_take_costs_what_it_says(self) -> None:  # E13
        async with self.open() as store:
            assert await store.counters.take("c", rate=1.0, burst=10.0, now=NOW, cost=8.0) == 0.0
            wait = await store.counters.take("c", rate=1.0, burst=10.0, now=NOW, cost=5.0)
            assert math.isclose(wait, 3.0, abs_tol=1e-5)
            assert await store.counters.take("c", rate=1.0, burst=10.0, now=NOW, cost=11.0) == math.inf

    async def test_of_parallel_takes_the_burst_succeeds(self) -> None:  # E13
        async with self.open() as store:
            calls = [store.counters.take("c", rate=1.0, burst=5.0, now=NOW) for _ in range(40)]
            assert (await all_at_once(*calls)).count(0.0) == 5

    async def test_a_bucket_that_never_fills_is_refused(self) -> None:  # E13
        async with self.open() as store:
            with refused(BadInput):
                await store.counters.take("c", rate=0.0, burst=1.0, now=NOW)

    async def test_a_replay_is_noticed_until_its_time_is_over(self) -> None:  # E21
        async with self.open() as store:
            assert await store.counters.once("n", now=NOW, ttl=60)
            assert not await store.counters.once("n", now=NOW + 59.9, ttl=60)
            assert await store.counters.once("n", now=NOW + 60, ttl=60)
            assert await store.counters.once("m", now=NOW, ttl=60)

    async def test_of_parallel_firsts_one_is_the_first(self) -> None:  # E21
        async with self.open() as store:
            results = await all_at_once(*(store.counters.once("n", now=NOW, ttl=60) for _ in range(20)))
            assert results.count(True) == 1

    async def test_fifty_parallel_additions_are_all_counted(self) -> None:  # E24
        async with self.open() as store:
            values = await all_at_once(*(store.counters.add("n", now=NOW) for _ in range(50)))
            assert {value for value in values if isinstance(value, int)} == set(range(1, 51))
            assert await store.counters.read(["n"], now=NOW) == [50]

    async def test_amounts_add_up(self) -> None:  # E21
        async with self.open() as store:
            assert await store.counters.add("n", 5, now=NOW) == 5
            assert await store.counters.add("n", -7, now=NOW) == -2
            assert await store.counters.read(["unknown", "n", "n"], now=NOW + 1e9) == [0, -2, -2]
            assert await store.counters.read([], now=NOW) == []

    async def test_a_counter_is_raised_and_never_lowered(self) -> None:  # R35
        async with self.open() as store:
            far = 1_800_000_000_000
            raised = [await store.counters.lift("n", to, now=NOW) for to in (-3, 7, 5, far, 1)]
            assert raised == [0, 7, 7, far, far]
            assert await store.counters.add("n", 1, now=NOW) == far + 1
            assert await store.counters.read(["n"], now=NOW + 1e9) == [far + 1]
            assert await store.counters.lift("m", 3, now=NOW, ttl=60) == 3
            assert await store.counters.lift("m", 2, now=NOW + 60, ttl=60) == 2

    async def test_of_parallel_raises_the_highest_stays(self) -> None:  # R35
        async with self.open() as store:
            await all_at_once(*(store.counters.lift("n", to, now=NOW) for to in (5, 30, 1, 29, 12)))
            assert await store.counters.read(["n"], now=NOW) == [30]

    async def test_a_counter_starts_anew_after_its_time(self) -> None:  # E21
        async with self.open() as store:
            await store.counters.add("n", 3, now=NOW, ttl=60)
            assert await store.counters.add("n", 1, now=NOW + 59, ttl=60) == 4
            assert await store.counters.read(["n"], now=NOW + 60) == [0]
            assert await store.counters.add("n", 1, now=NOW + 60, ttl=60) == 1

    async def test_buckets_replays_and_sums_of_one_name_are_apart(self) -> None:  # E21
        async with self.open() as store:
            await store.counters.add("n", 9, now=NOW)
            assert await store.counters.once("n", now=NOW, ttl=60)
            assert await store.counters.take("n", rate=1.0, burst=1.0, now=NOW) == 0.0
            assert await store.counters.read(["n"], now=NOW) == [9]

    async def test_thousands_of_names_that_ran_out_do_no_harm(self) -> None:  # E13
        async with self.open() as store:
            await store.counters.add("kept", 7, now=NOW)
            await all_at_once(*(store.counters.once(f"n{i}", now=NOW, ttl=1) for i in range(1_500)))
            await all_at_once(*(store.counters.once(f"m{i}", now=NOW + 2, ttl=1) for i in range(1_500)))
            assert await store.counters.read(["kept"], now=NOW + 2) == [7]
            assert not await store.counters.once("m3", now=NOW + 2, ttl=1)

    async def test_names_are_any_text(self) -> None:  # E21
        async with self.open() as store:
            names = ["a b", "\u00e4", "{x}", "a:b", "a'b\"", "*", "n" * 300]
            for place, name in enumerate(names, 1):
                assert await store.counters.add(name, place, now=NOW) == place
                assert await store.counters.once(name, now=NOW, ttl=60)
            assert await store.counters.read(names, now=NOW) == [1, 2, 3, 4, 5, 6, 7]
