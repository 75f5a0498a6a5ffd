"""Nobody is logged out for an outage: uses that could not be recorded are, once the store is back (E26)."""

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.outage import AWAY, TIMEOUT_S, Mode, Switch, load, opened, switched
from core.world import TUNING, World, manager_on
from holdfast.core.chores import catch_up, touch_running
from holdfast.core.keeper import Keeper
from holdfast.core.manager import Manager
from holdfast.core.missed import Missed, Use
from holdfast.core.session import Session
from holdfast.errors import SessionNotFound, StoreUnavailable
from holdfast.stores.memory import memory_store


@pytest.mark.parametrize("mode", AWAY)
async def test_a_use_that_could_not_be_recorded_is_recorded_when_the_store_is_back(
    manager: Manager, world: World, switch: Switch, mode: Mode
) -> None:
    session = await opened(manager)
    world.now += 95.0
    switch.set(mode)
    with pytest.raises(StoreUnavailable):
        await load(manager, session)
    world.now += 10.0  # its idle clock has run out during the outage
    switch.set("up")
    assert (await load(manager, session)).record.used_at == world.now
    assert not manager.missed


async def test_uses_during_a_long_outage_count_one_after_the_other(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    switch.set("down")
    for _ in range(10):
        world.now += 60.0
        with pytest.raises(StoreUnavailable):
            await load(manager, session)
    switch.set("up")
    world.now += 60.0
    await catch_up(manager)
    assert not manager.missed
    stored = await manager.current(session.ref)
    assert stored is not None
    assert stored.used_at == world.now - 60.0
    assert (await load(manager, session)).record.used_at == world.now


async def test_who_did_not_use_a_session_during_the_outage_finds_it_ended_as_ever(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    switch.set("down")
    world.now += 50.0
    with pytest.raises(StoreUnavailable):
        await load(manager, session, owner="bob")  # an attempt of somebody else is no use
    world.now += 50.0
    switch.set("up")
    await catch_up(manager)
    with pytest.raises(SessionNotFound):
        await load(manager, session)


async def test_the_absolute_clock_does_not_wait_for_the_store(manager: Manager, world: World, switch: Switch) -> None:
    session = await opened(manager)
    world.now += 95.0
    switch.set("down")
    with pytest.raises(StoreUnavailable):
        await load(manager, session)
    world.now = session.record.ends_at
    switch.set("up")
    with pytest.raises(SessionNotFound):
        await load(manager, session)


async def test_a_running_call_keeps_its_session_through_an_outage_longer_than_the_idle_clock(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    async with manager.running(session):
        switch.set("down")
        for _ in range(30):
            world.now += 5.0
            await touch_running(manager)
        switch.set("up")
        world.now += 5.0
        await touch_running(manager)
        await anyio.sleep(0)  # it would be cancelled here
    assert (await load(manager, session)).record.used_at == world.now


async def test_a_call_in_a_session_whose_uses_are_not_recorded_goes_on_through_an_outage(
    manager: Manager, switch: Switch
) -> None:
    session = await manager.open("security")
    async with manager.running(session):
        switch.set("down")
        await touch_running(manager)
        await anyio.sleep(0)
    assert not manager.missed


async def test_a_sign_of_life_that_could_not_be_recorded_is_recorded_later(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    world.now += 95.0
    switch.set("down")
    with pytest.raises(StoreUnavailable):
        await manager.get(session.ref, touch=True)
    with pytest.raises(StoreUnavailable):
        await manager.get(session.ref)
    world.now += 10.0
    switch.set("up")
    await catch_up(manager)
    assert (await manager.get(session.ref)).record.used_at == world.now - 10.0


async def test_uses_wait_on_if_the_store_goes_again_while_they_are_written(
    manager: Manager, world: World, switch: Switch
) -> None:
    sessions = [await opened(manager) for _ in range(2)]
    world.now += 95.0
    switch.set("down")
    for session in sessions:
        with pytest.raises(StoreUnavailable):
            await load(manager, session)
    await catch_up(manager)
    assert len(manager.missed) == 2
    switch.set("mute")  # this time it is written, but not answered
    await catch_up(manager)
    assert len(manager.missed) == 2
    world.now += 10.0
    switch.set("up")
    for session in sessions:
        await load(manager, session)
    assert not manager.missed


async def test_a_use_outlives_the_request_that_was_cancelled_while_it_recorded_it(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    world.now += 95.0
    switch.set("down")
    with pytest.raises(StoreUnavailable):
        await load(manager, session)
    switch.set("hanging")
    with anyio.move_on_after(TIMEOUT_S / 5) as request:
        await load(manager, session)
    assert request.cancelled_caught
    assert len(manager.missed) == 1
    world.now += 10.0
    switch.set("up")
    await load(manager, session)
    assert not manager.missed


async def test_a_request_does_not_overtake_the_use_that_is_just_being_recorded(
    manager: Manager, world: World, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await opened(manager)
    world.now += 95.0
    switch.set("down")
    with pytest.raises(StoreUnavailable):
        await load(manager, session)
    switch.set("up")
    world.now += 10.0
    write, begun, go_on = manager.store.sessions.load, anyio.Event(), anyio.Event()

    async def slowly(*args: Any, **more: Any) -> Any:
        if not begun.is_set():
            begun.set()
            await go_on.wait()
        return await write(*args, **more)

    monkeypatch.setattr(manager.store.sessions, "load", slowly, raising=False)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(catch_up, manager)
            await begun.wait()
            assert (await load(manager, session)).record.used_at == world.now
            go_on.set()
    assert not manager.missed


async def test_leases_are_given_back_before_uses_are_recorded(
    manager: Manager, world: World, switch: Switch
) -> None:  # many uses take their time, and somebody waits for the lease
    session = await opened(manager)
    world.now += 95.0
    with pytest.raises(StoreUnavailable):
        async with manager.hold(session.ref):
            switch.set("down")
            await load(manager, session)
    switch.set("up")
    switch.calls.clear()
    await catch_up(manager)
    assert switch.calls == ["release", "load"]


async def test_nothing_is_swept_while_uses_wait_to_be_recorded(manager: Manager, world: World, switch: Switch) -> None:
    session, keeper = await opened(manager), Keeper(manager)
    world.now += 95.0
    switch.set("down")
    with pytest.raises(StoreUnavailable):
        await load(manager, session)
    switch.set("up")  # the keeper has noticed nothing of it
    world.now += TUNING.cleanup_interval
    await keeper._sweep_if_due()
    assert await manager.current(session.ref) is not None
    await catch_up(manager)
    await keeper._sweep_if_due()
    assert await manager.current(session.ref) is None


async def test_what_is_kept_is_bounded_and_no_more_than_would_have_been_written() -> None:  # E8
    missed, ann, bob = Missed(most=3), Use(b"a", "ann"), Use(b"a", "bob")
    for now in (0.0, 5.0, 10.0, 15.0, 20.0, 30.0):
        missed.add(ann, now=now, touch_after=10.0)
        missed.add(bob, now=now, touch_after=100.0)
    assert missed.uses(b"a") == missed.uses() == [ann, bob]
    assert missed.uses(b"b") == []
    assert missed.instants(ann) == [(0.0, 10.0), (10.0, 10.0)]
    assert missed.instants(bob) == [(0.0, 100.0)]
    for use in (ann, bob):
        await missed.write(use, memory_store().sessions)
    assert (len(missed), missed.uses()) == (0, [])
    missed.add(ann, now=40.0, touch_after=10.0)
    assert missed.instants(ann) == [(40.0, 10.0)]  # there is room again


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["load", "down", "up", "catch up"]), st.floats(0.0, 120.0)), max_size=40))
def test_a_session_in_use_outlives_any_weather_exactly_as_it_would_have_outlived_none(
    steps: list[tuple[str, float]],
) -> None:
    async def play() -> None:
        world, calm_world = World(), World()
        store, switch = switched(memory_store())
        stormy, calm = manager_on(store, world), manager_on(memory_store(), calm_world)
        session, other = await opened(stormy), await opened(calm)
        alive = True
        for step, wait in [*steps, ("up", 0.0), ("load", 0.0)]:
            world.now += wait
            calm_world.now += wait
            if step in ("up", "down"):
                switch.set("up" if step == "up" else "down")
            elif step == "catch up":
                await catch_up(stormy)
            else:
                alive = alive and await _loads(calm, other)
                there = await _loads(stormy, session)
                assert there in (alive, None)

    anyio.run(play)


async def _loads(manager: Manager, session: Session) -> bool | None:
    """Whether the session is there; None if nobody can say."""
    try:
        await load(manager, session)
    except SessionNotFound:
        return False
    except StoreUnavailable:
        return None
    return True
