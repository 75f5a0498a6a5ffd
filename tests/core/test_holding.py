"""Leases in a process's hands: used no longer than they stand, and given back, whatever the store does (E26)."""

from contextlib import AsyncExitStack
from typing import Any

import anyio
import msgspec
import pytest

from core.outage import Switch, load, opened
from core.world import TUNING, World, manager_on
from holdfast.core.chores import catch_up, renew_held
from holdfast.core.holding import Held
from holdfast.core.manager import Manager
from holdfast.errors import Busy, LeaseLost, StoreUnavailable

QUICK = msgspec.structs.replace(TUNING, lease_ttl=0.2)


# -- a holder stops in time


def quick(manager: Manager, world: World) -> Manager:
    """Return a manager whose leases last 0.2 s."""
    kinds = list(manager.kinds.values())
    return Manager(manager.store, manager.keys, kinds, worker="quick", clock=world, sink=world, tuning=QUICK)


async def test_a_holder_that_cannot_renew_stops_before_others_may_take_the_lease(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    mine = quick(manager, world)
    began = anyio.current_time()
    with anyio.fail_after(5), pytest.raises(LeaseLost):
        async with mine.hold(session.ref):
            switch.set("hanging")
            while True:  # the wall clock stands still: only the event loop's counts
                await renew_held(mine)
                await anyio.sleep(0.01)
    assert anyio.current_time() - began < QUICK.lease_ttl
    assert len(mine.leaving) == 1


async def test_a_slow_answer_does_not_lengthen_the_lease(
    manager: Manager, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await opened(manager)
    mine = quick(manager, world)
    acquire = manager.store.leases.acquire

    async def slowly(*args: Any, **more: Any) -> Any:
        lease = await acquire(*args, **more)
        await anyio.sleep(QUICK.lease_ttl)
        return lease

    monkeypatch.setattr(manager.store.leases, "acquire", slowly, raising=False)
    with pytest.raises(LeaseLost):
        async with mine.hold(session.ref) as held:
            with pytest.raises(LeaseLost, match="time"):
                held.check()
            await anyio.sleep(0)
            pytest.fail("the holder went on")


async def test_a_slow_answer_to_a_renewal_does_not_lengthen_the_lease_either(
    manager: Manager, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await opened(manager)
    mine = quick(manager, world)
    renew = manager.store.leases.renew

    async def slowly(*args: Any, **more: Any) -> Any:
        lease = await renew(*args, **more)
        await anyio.sleep(QUICK.lease_ttl / 4)
        return lease

    monkeypatch.setattr(manager.store.leases, "renew", slowly, raising=False)
    async with mine.hold(session.ref) as held:
        asked_at = anyio.current_time()
        await held.renew()
        assert held.deadline < asked_at + QUICK.lease_use + QUICK.lease_ttl / 8


async def test_the_most_urgent_leases_are_renewed_first(
    manager: Manager, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # few at a time: whose lease runs out soon must not stand behind those that have time
    renewed: list[float] = []
    renew = Held.renew

    async def noted(held: Held) -> None:
        renewed.append(held.deadline)
        await renew(held)

    monkeypatch.setattr(Held, "renew", noted)
    async with AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(manager.hold((await opened(manager)).ref))
        await renew_held(manager)
    assert renewed == sorted(renewed)
    assert len(set(renewed)) == 8


async def test_a_renewal_moves_the_deadline_but_revives_nobody(manager: Manager, world: World) -> None:
    session = await opened(manager)
    async with manager.hold(session.ref) as held:
        held.check()
        first = held.deadline
        await held.renew()
        assert held.deadline > first
    mine = quick(manager, world)
    with pytest.raises(LeaseLost):
        async with mine.hold(session.ref) as late:
            with anyio.CancelScope(shield=True):  # a request that has been sent is not cut off
                await anyio.sleep(QUICK.lease_ttl)
                session.content["answer"] = "kept"
                await late.save(session)  # nobody has taken the lease: what was learnt is written
            await anyio.sleep(0)
            pytest.fail("the holder went on")
    assert (await load(manager, session)).content == {"n": 1, "answer": "kept"}


async def test_the_wall_clock_ends_a_lease_as_well(manager: Manager, world: World, switch: Switch) -> None:
    session = await opened(manager)
    with pytest.raises(LeaseLost):
        async with manager.hold(session.ref) as held:
            world.now += TUNING.lease_use  # the machine slept: its event loop has not noticed
            with pytest.raises(LeaseLost):
                held.check()
            switch.set("down")
            await renew_held(manager)
            await anyio.sleep(0)
            pytest.fail("the holder went on")


async def test_who_has_lost_the_lease_is_told_before_sending(manager: Manager, world: World) -> None:
    session = await opened(manager)
    other = manager_on(manager.store, world, worker="two")
    with pytest.raises(LeaseLost, match="was lost"):
        async with manager.hold(session.ref) as held:
            world.now += TUNING.lease_ttl
            async with other.hold(session.ref):
                await held.renew()
                world.now -= TUNING.lease_ttl
                with pytest.raises(LeaseLost):
                    held.check()


# -- leases that could not be given back


async def test_a_lease_that_could_not_be_given_back_is_given_back_with_what_was_learnt(
    manager: Manager, switch: Switch
) -> None:
    session = await opened(manager)
    with pytest.raises(StoreUnavailable):
        async with manager.hold(session.ref) as held:
            session.content["cookie"] = "new"
            held.put(session)
            switch.set("down")
    await catch_up(manager)
    switch.set("up")
    await catch_up(manager)
    assert not manager.leaving
    async with manager.hold(session.ref, wait=0.01):
        assert (await load(manager, session)).content["cookie"] == "new"


async def test_a_request_that_failed_for_the_store_does_not_wait_for_it_once_more(
    manager: Manager, switch: Switch
) -> None:
    session = await opened(manager)
    switch.refused.clear()
    with pytest.raises(StoreUnavailable):
        async with manager.hold(session.ref) as held:
            switch.set("hanging")
            await held.save(session)
    assert switch.refused == ["renew"]
    switch.set("up")
    await catch_up(manager)
    async with manager.hold(session.ref, wait=0.01):
        pass


async def test_an_error_of_the_block_rules_over_a_release_that_failed(manager: Manager, switch: Switch) -> None:
    session = await opened(manager)
    with pytest.raises(ValueError, match="theirs"):
        async with manager.hold(session.ref):
            switch.set("down")
            raise ValueError("theirs")
    assert len(manager.leaving) == 1


@pytest.mark.parametrize("how", ["run out", "taken", "gone", "too large"])
async def test_giving_back_is_given_up_when_it_has_become_pointless(
    manager: Manager, world: World, switch: Switch, how: str
) -> None:
    session = await opened(manager)
    with pytest.raises(StoreUnavailable):
        async with manager.hold(session.ref) as held:
            held.put(session)
            switch.set("down")
    if how == "run out":
        world.now += TUNING.lease_ttl
        await catch_up(manager)
        assert not manager.leaving
        return
    switch.set("up")
    if how == "taken":
        world.now += TUNING.lease_ttl
        async with manager_on(manager.store, world, worker="two").hold(session.ref):
            await catch_up(manager)
    elif how == "gone":
        await manager.store.sessions.delete([session.ref])
        await catch_up(manager)
    else:
        session.content["cart"] = "x" * 2000
        await catch_up(manager)
        async with manager.hold(session.ref, wait=0.01):
            pass
    assert not manager.leaving


async def test_who_only_reads_waits_for_its_turn_and_takes_no_lease(manager: Manager) -> None:
    session = await opened(manager)
    async with manager.hold(session.ref):
        with pytest.raises(Busy):
            async with manager.turn(session.ref, wait=0.0):
                raise AssertionError("it is another's turn")
    async with manager.turn(session.ref):
        assert not manager.held
        with pytest.raises(Busy):
            async with manager.hold(session.ref, wait=0.0):
                raise AssertionError("it is another's turn")
