"""Turns: never more than allowed, everybody in turn, and a place is never lost (A29)."""

import asyncio
from collections import deque

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from holdfast.core.fairness import FairQueue
from holdfast.core.turns import Turns
from holdfast.errors import Busy

PARTIES = "abcd"


class Queueing(RuleBasedStateMachine):
    """Parties that ask, go and give up in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 2
        self.queue: FairQueue[tuple[str, int]] = FairQueue(self.most)
        self.inside = self.number = 0
        self.lines: dict[str, deque[tuple[str, int]]] = {party: deque() for party in PARTIES}
        self.passed: dict[str, set[str]] = {}  # who was served since a party has been waiting

    @rule(party=st.sampled_from(PARTIES))
    def ask(self, party: str) -> None:
        self.number += 1
        if self.queue.enter():
            assert not any(self.lines.values())  # nobody is overtaken
            self.inside += 1
            return
        assert self.inside == self.most
        self.queue.wait(party, (party, self.number))
        self.passed.setdefault(party, set())
        self.lines[party].append((party, self.number))

    @precondition(lambda self: self.inside)
    @rule()
    def leave(self) -> None:
        following = self.queue.leave()
        if following is None:
            assert not any(self.lines.values())  # nobody waits while there is room
            self.inside -= 1
            return
        party = following[0]
        assert self.lines[party].popleft() == following  # a party's own order
        for other, line in self.lines.items():
            if line and other != party:
                assert party not in self.passed[other], f"{party} was served twice while {other} waited"
                self.passed[other].add(party)
        self.passed[party] = set()
        if not self.lines[party]:
            del self.passed[party]

    @precondition(lambda self: any(self.lines.values()))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        party = data.draw(st.sampled_from([party for party in PARTIES if self.lines[party]]))
        ticket = data.draw(st.sampled_from(list(self.lines[party])))
        self.lines[party].remove(ticket)
        self.queue.withdraw(party, ticket)
        if not self.lines[party]:
            del self.passed[party]

    @invariant()
    def never_above_what_is_allowed(self) -> None:
        assert self.queue.inside == self.inside <= self.most


TestQueueing = Queueing.TestCase


@given(st.integers(1, 5), st.lists(st.sampled_from(PARTIES), max_size=60))
def test_every_party_that_waits_comes_once_in_each_round(most: int, asking: list[str]) -> None:
    queue: FairQueue[str] = FairQueue(most)
    for party in asking:
        if not queue.enter():
            queue.wait(party, party)
    line = asking[most:]
    rounds = [[party for party in dict.fromkeys(line) if line.count(party) > number] for number in range(len(line))]
    served = [ticket for _ in asking if (ticket := queue.leave()) is not None]
    assert served == [party for each in rounds for party in each]
    assert queue.inside == 0


async def test_one_that_asks_a_hundred_times_delays_another_by_one_turn() -> None:
    turns, order = Turns(), []

    async def call(party: str) -> None:
        async with turns.take("sap", party=party, most=2):
            order.append(party)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(call, "greedy")
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(call, "modest")
    assert len(order) == 101
    assert order.index("modest") < 8
    assert turns._queues == {}


async def test_no_more_than_allowed_are_inside_at_once() -> None:
    turns, inside, seen = Turns(), 0, []

    async def call(number: int) -> None:
        nonlocal inside
        async with turns.take("sap", party=number % 3, most=4):
            inside += 1
            seen.append(inside)
            await anyio.lowlevel.checkpoint()
            inside -= 1

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(call, number)
    assert max(seen) == 4


async def test_who_waits_too_long_is_told_and_leaves_the_line() -> None:
    turns = Turns()
    async with turns.take("sap"):
        with pytest.raises(Busy):
            async with turns.take("sap", anyio.current_time() + 0.01):
                pytest.fail("the place was taken")
    with anyio.fail_after(1):
        async with turns.take("sap"):
            assert list(turns._queues) == ["sap"]
    assert turns._queues == {}


async def test_a_cancelled_one_leaves_the_line() -> None:
    turns = Turns()
    async with turns.take("sap"), anyio.create_task_group() as tasks:
        tasks.start_soon(_hold, turns)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert turns._queues == {}


async def test_a_place_that_comes_as_its_owner_is_cancelled_is_handed_on() -> None:
    turns = Turns()
    async with turns.take("sap"):
        doomed = asyncio.create_task(_hold(turns))
        await anyio.wait_all_tasks_blocked()
        third = asyncio.create_task(_hold(turns, 0.0))
        await anyio.wait_all_tasks_blocked()
    doomed.cancel()  # the place has been handed to it already
    with anyio.fail_after(1):
        await third
    assert turns._queues == {}


async def _hold(turns: Turns, seconds: float = 60.0) -> None:
    async with turns.take("sap"):
        await anyio.sleep(seconds)
