"""Every store under real parallelism: four processes that do the same to it at the same moment.

On the store in memory, which one process has for itself, they are four tasks.
"""

from collections.abc import Iterator
from itertools import chain as joined
from itertools import pairwise

import pytest

from holdfast.core.kinds import Kind
from holdfast.core.manager import Manager
from holdfast.core.model import Policy, Reason, State
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.testing.contract.base import NOW, all_at_once, below, chain, root, stored
from stores.rivals import Team, rivals
from stores.stores import Place
from stores.test_alike import check


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    with rivals(4) as started:
        yield started


async def test_64_creations_with_a_limit_of_5_leave_exactly_5(place: Place, team: Team) -> None:  # E12
    answers = await team(place, "create", times=16, policy=Policy.REJECT)
    outcomes = [tuple(outcome) for answer in answers for outcome in answer]
    assert (outcomes.count(()), outcomes.count(("LimitReached",))) == (5, 59)
    async with place.open() as store:
        assert len(await store.sessions.find("client", "c")) == 5


@pytest.mark.parametrize("policy", [Policy.OLDEST, Policy.LEAST_RECENT])
async def test_64_creations_that_replace_are_never_more_than_5(
    place: Place, team: Team, policy: Policy
) -> None:  # E12, E14
    answers = await team(place, "create", times=16, policy=policy)
    replaced = [key for answer in answers for outcome in answer for key in outcome]
    assert max(len(outcome) for answer in answers for outcome in answer) == 1, "there were more than five"
    assert len(replaced) == len(set(replaced)) == 59
    async with place.open() as store:
        found = await store.sessions.find("client", "c")
    assert {row.key.hex() for row in found if row.reason is Reason.REPLACED} == set(replaced)
    assert {row.key.hex() for row in found if row.state is State.LIVE}.isdisjoint(replaced)
    assert sum(row.state is State.LIVE for row in found) == 5


async def test_an_id_is_given_once(place: Place, team: Team) -> None:  # E4
    answers = await team(place, "name", names=20)
    assert sorted(joined.from_iterable(answers)) == list(range(20))


async def test_of_50_increments_none_is_lost(place: Place, team: Team) -> None:  # E24
    keys = new_key_text()
    async with place.open() as store:
        manager = Manager(store, KeyRing.parse(keys), [Kind(name="mcp")], worker="test", clock=lambda: NOW)
        session = await manager.open("mcp", {"n": 0})
        await team(place, "increment", node=session.key.hex(), keys=keys, times=[13, 13, 12, 12])
        found = await manager.get(session.ref)
        assert (found.content["n"], found.record.version) == (50, 50)


async def test_two_keys_that_are_written_at_once_both_stay(place: Place, team: Team) -> None:  # E24
    keys = new_key_text()
    async with place.open() as store:
        manager = Manager(store, KeyRing.parse(keys), [Kind(name="mcp")], worker="test", clock=lambda: NOW)
        session = await manager.open("mcp", {"n": 0})
        await team(place, "merge", node=session.key.hex(), keys=keys, times=10)
        assert (await manager.get(session.ref)).content == {"n": 0, "k0": 10, "k1": 10, "k2": 10, "k3": 10}


async def test_what_is_due_is_in_the_hands_of_one_worker_at_a_time(place: Place, team: Team) -> None:  # E15
    async with place.open() as store:
        await chain(store, root(due_at=0.0))
    answers = await team(place, "work", times=6)
    spans = sorted((fence, since, until) for answer in answers for fence, since, until in answer)
    assert all(until <= since for (_, _, until), (_, since, _) in pairwise(spans)), "two workers at once"
    assert [fence for fence, _, _ in spans] == list(range(1, 25))


async def test_each_due_node_goes_to_one_process(place: Place, team: Team) -> None:  # E10, E15
    nodes = [root(due_at=NOW) for _ in range(60)]
    async with place.open() as store:
        await all_at_once(*(store.sessions.create(node, now=NOW) for node in nodes))
    keys = list(joined.from_iterable(await team(place, "share", nodes=60)))
    assert sorted(keys) == sorted(node.key.hex() for node in nodes)


async def test_a_bucket_gives_as_much_as_flows_in(place: Place, team: Team) -> None:  # E13
    assert sum(await team(place, "take", steps=200)) == 49  # 10 and 20 a second for 1.99 seconds


async def test_a_name_is_new_once(place: Place, team: Team) -> None:  # E21
    answers = await team(place, "once", names=20)
    assert sorted(joined.from_iterable(answers)) == list(range(20))


async def test_events_are_numbered_without_gap(place: Place, team: Team) -> None:  # E21
    async with place.open() as store:
        node = await chain(store, root())
        answers = await team(place, "append", node=node.key.hex(), times=25)
        assert sorted(joined.from_iterable(answers)) == list(range(1, 101))
        assert all(answer == sorted(answer) for answer in answers)
        assert [entry.seq for entry in await store.events.read(node.ref, "s", count=200)] == list(range(1, 101))


async def test_once_an_end_is_acknowledged_nothing_opens_below(place: Place, team: Team) -> None:  # E14, E17
    async with place.open() as store:
        top = await chain(store, root())
        [*_, ended_at], *others = await team(place, "hang", node=top.key.hex(), after=30)
        assert all(begun < ended_at for others_begun in others for begun in others_begun)
        rows = [row for row in await store.sessions.find("tree", top.key, count=9_999) if row.key != top.key]
        assert len(rows) == 30 + sum(len(begun) for begun in others)
        check([*rows, await stored(store, top) or top])


async def test_a_node_that_is_moved_by_many_hangs_whole_in_one_place(place: Place, team: Team) -> None:  # E7, E20
    one, two = root(), root()
    node = below(one)
    async with place.open() as store:
        await chain(store, one, two, node)
        await team(place, "move", node=node.key.hex(), parents=[one.key.hex(), two.key.hex()], times=8)
        rows = await store.sessions.find("all", b"", count=999)
        check(rows)
        assert {row.key for row in rows if row.parent is None} == {one.key, two.key}
        assert {row.parent for row in rows if row.key == node.key} <= {one.key, two.key}
        assert any(row.holds for row in rows)
