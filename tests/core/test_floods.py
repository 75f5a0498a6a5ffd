"""What a flood and a backup cannot do: take others' places, and bring back what had ended (T11, T19)."""

import msgspec
import pytest

from core.world import TUNING, World, manager_on
from holdfast.core.events import Fact
from holdfast.core.kinds import Limits
from holdfast.core.model import Policy, Reason
from holdfast.errors import LimitReached, SessionNotFound
from holdfast.stores.memory import memory_store


@pytest.mark.parametrize("policy", list(Policy))
async def test_a_full_total_refuses_whatever_the_policy_and_nobody_loses_a_place(policy: Policy) -> None:  # E11, E12
    world = World()
    manager = manager_on(memory_store(), world)
    limits = Limits(per_client=2, total=3, policy=policy)
    old = await manager.open("http", client="old", limits=limits)
    for number in range(2):
        await manager.open("http", client=f"{number}", limits=limits)
    with pytest.raises(LimitReached):
        await manager.open("http", client="flood", limits=limits)
    assert await manager.load(old.id or "", kind="http") is not None
    assert Fact.REPLACED not in world.facts()


async def test_what_began_before_the_set_instant_is_unknown_and_later_sessions_are_not() -> None:  # R35
    world, store = World(), memory_store()
    before = await manager_on(store, world).open("http", owner="ann")
    world.now += 5
    manager = manager_on(store, world, tuning=msgspec.structs.replace(TUNING, not_before=world.now))
    after = await manager.open("http", owner="ann")
    for owner in ("ann", None):
        with pytest.raises(SessionNotFound, match=r"^there is no such session$"):
            await manager.load(before.id or "", kind="http", owner=owner)
    assert (await manager.load(after.id or "", kind="http", owner="ann")).key == after.key
    assert world.facts().count(Fact.UNKNOWN_ID) == 2
    assert await manager.end(before, Reason.ADMIN), "it is still there, to be ended and closed"


async def test_who_looks_again_as_another_is_told_of_once() -> None:  # E34
    world = World()
    manager = manager_on(memory_store(), world)
    session = await manager.open("http", owner="ann")
    for quietly in (True, False):
        with pytest.raises(SessionNotFound):
            await manager.load(session.id or "", kind="http", owner="bob", quietly=quietly)
        with pytest.raises(SessionNotFound):
            await manager.load("malformed", kind="http", quietly=quietly)
    assert world.facts() == [Fact.OPENED, Fact.FOREIGN_ID, Fact.UNKNOWN_ID]
