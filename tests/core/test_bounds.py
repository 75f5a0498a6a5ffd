"""What keeps one process from doing too much at once, too often, or the same thing again."""

import math
from typing import Any

import anyio
import msgspec
import pytest

from core.outage import Switch, switched
from core.samples import record
from core.world import TUNING, World, manager_on
from holdfast.core.chores import touch_running
from holdfast.core.duty import Duty
from holdfast.core.events import Fact
from holdfast.core.keeper import REMOVED_AT_ONCE, Keeper
from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.remembered import Remembered
from holdfast.core.together import AT_ONCE, together
from holdfast.errors import SessionEnded, SessionNotFound
from holdfast.stores.memory import memory_store


def tuned(manager: Manager, world: World, kinds: list[Kind] | None = None, **values: Any) -> Manager:
    """Return a manager on the same store with other tuning."""
    return Manager(
        manager.store,
        manager.keys,
        list(manager.kinds.values()) if kinds is None else kinds,
        worker="tuned",
        clock=world,
        sink=world,
        tuning=msgspec.structs.replace(TUNING, **values),
    )


# -- how many errands at once


async def test_of_many_errands_sixteen_are_run_at_a_time_and_each_of_them_once() -> None:
    running, most, done = 0, 0, []

    async def errand(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        done.append(number)

    await together(errand, range(40))
    assert sorted(done) == list(range(40))
    assert most == AT_ONCE


# -- how many nodes at once


class Hanging:
    """A closer that hangs until it is told to go on."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go_on = anyio.Event()

    async def __call__(self, duty: Duty) -> None:
        self.begun.append(duty.session.record.label)
        if duty.session.record.label.startswith("slow"):
            await self.go_on.wait()


async def test_a_keeper_looks_after_so_many_nodes_at_once_and_takes_the_next_when_one_is_done(
    manager: Manager, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # E10
    monkeypatch.setattr(
        "holdfast.core.keeper.SLOW_S", 60.0
    )  # whoever is done wakes it: it does not look again by itself
    hanging = Hanging()
    mine = tuned(manager, world, [Kind(name="backend", closer=hanging, outside=True)], at_once=3, closer_timeout=60.0)
    for number in range(7):
        node = await mine.open("backend", label=f"slow {number}", named=False)
        await mine.end(node, Reason.CLIENT)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Keeper(mine).run)
            await anyio.wait_all_tasks_blocked()
            assert len(hanging.begun) == 3
            hanging.go_on.set()
            while len(hanging.begun) < 7:
                await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()


async def test_nodes_that_take_long_do_not_keep_others_waiting_but_they_are_bounded_too(
    manager: Manager, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # E10
    monkeypatch.setattr("holdfast.core.keeper.SLOW_S", 0.02)
    hanging = Hanging()
    mine = tuned(manager, world, [Kind(name="backend", closer=hanging, outside=True)], at_once=1, closer_timeout=60.0)
    for label in ("slow 1", "slow 2", "quick 1", "slow 3", "slow 4", "quick 2"):
        node = await mine.open("backend", label=label, named=False)
        await mine.end(node, Reason.CLIENT)
        world.now += 0.001
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Keeper(mine).run)
            while len(hanging.begun) < 5:
                await anyio.sleep(0.001)
            await anyio.sleep(0.1)
            assert hanging.begun == ["slow 1", "slow 2", "quick 1", "slow 3", "slow 4"], "one, and three that hang"
            hanging.go_on.set()
            while len(hanging.begun) < 6:
                await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()


# -- sweeping


async def test_a_sweep_reads_past_what_others_have_to_remove(manager: Manager, world: World) -> None:  # E10, E30
    foreign = manager_on(manager.store, world, kinds=[Kind(name="other", clocks=Clocks(idle=1.0))])
    mine = tuned(manager, world, gc_threshold=3)
    for _ in range(10):
        await foreign.open("other")
    for number in range(10):
        await mine.open("http", client=str(number))
    world.now += 200.0
    keeper = Keeper(mine)
    assert await keeper.sweep() == 10
    assert {r.kind async for r in manager.each("all", b"")} == {"other"}
    assert await keeper.sweep() == 0


async def test_rows_that_have_to_stay_do_not_call_for_a_sweep_before_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # E10
    monkeypatch.setattr("holdfast.core.keeper.SWEEPER_TURN_S", 0.001)
    store, switch = switched(memory_store())
    mine = tuned(manager_on(store, world), world, gc_threshold=3)
    foreign = manager_on(store, world, kinds=[Kind(name="other", clocks=Clocks(idle=1.0))])
    for _ in range(10):
        await foreign.open("other")
    world.now += 2.0
    keeper = Keeper(mine)
    await keeper.sweep()
    for _ in range(4):
        await mine.open("http")
    world.now += 100.0
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run_sweeper)
            while await store.sessions.find("kind", "http"):
                await anyio.sleep(0.001)  # four more than those that stay: swept at once
            await swept_nothing(switch)
            tasks.cancel_scope.cancel()


async def swept_nothing(switch: Switch) -> None:
    """See the sweeper take some turns in which it only looks: at what has expired, and at what is due."""
    await anyio.sleep(0.01)
    switch.calls.clear()
    while len(switch.calls) < 10:
        await anyio.sleep(0.001)
    assert set(switch.calls) == {"find"}


async def test_what_nobody_here_can_close_is_told_of_once_for_as_long_as_it_is_due(
    manager: Manager, world: World
) -> None:  # E30
    node = await manager.open("lock", named=False, label="L", due_at=world.now)
    blind = Keeper(manager_on(manager.store, world, kinds=[Kind(name="http")]))
    world.now += 60.0
    assert [await blind.note_unclaimed() for _ in range(3)] == [1, 1, 1]
    assert world.facts().count(Fact.UNCLAIMED) == 1
    await manager.save(await manager.get(node.ref), due_at=None)
    assert await blind.note_unclaimed() == 0
    await manager.save(await manager.get(node.ref), due_at=world.now - 60.0)
    assert await blind.note_unclaimed() == 1
    assert world.facts().count(Fact.UNCLAIMED) == 2


# -- closing many


async def test_a_thousand_nodes_without_effect_outside_go_in_few_trips(world: World) -> None:  # E14
    store, switch = switched(memory_store())
    kinds = [Kind(name="http", clocks=Clocks(idle=100.0), limits=Limits())]
    mine = manager_on(store, world, kinds=kinds)
    top = await mine.open("http")
    for _ in range(1000):
        await mine.open("http", parent=top, named=False)
    switch.calls.clear()
    await mine.end(top, Reason.LOGOUT)
    assert switch.calls == ["end", "publish"]
    switch.calls.clear()
    await Keeper(mine).turn()
    assert await store.sessions.find("all", b"") == []
    removals = math.ceil(1001 / REMOVED_AT_ONCE)
    assert switch.calls.count("delete") == removals
    assert len(switch.calls) <= 3 + removals, switch.calls


# -- clocks


async def test_a_use_is_recorded_as_often_as_the_clocks_of_the_node_itself_ask_for(
    manager: Manager, world: World
) -> None:  # E7, E31
    overrides = {("shop", "http"): (Clocks(idle=8.0), Limits())}
    mine = Manager(
        manager.store, manager.keys, world.kinds(), worker="one", clock=world, tuning=TUNING, overrides=overrides
    )
    session = await mine.open("http", app="shop")
    for _ in range(10):
        world.now += 5.0
        await mine.get(session.ref, touch=True)
    async with mine.running(session):
        for _ in range(10):
            world.now += 5.0
            await touch_running(mine)
            await anyio.sleep(0)
    assert (await mine.get(session.ref)).record.used_at == world.now


async def test_background_traffic_is_no_use_of_its_session_and_ends_with_it(manager: Manager, world: World) -> None:
    session = await manager.open("http")  # R25
    until = session.record.used_at + (session.record.idle or 0.0)
    with pytest.raises(SessionEnded):
        async with manager.running(session, counts=False):
            world.now = until - 1.0
            await touch_running(manager)
            await anyio.sleep(0)
            assert (await manager.get(session.ref)).record.used_at == session.record.used_at
            world.now = until
            await touch_running(manager)
            await anyio.sleep(0)


async def test_a_running_call_is_cancelled_at_the_instant_the_absolute_clock_of_its_session_runs_out(
    manager: Manager, world: World
) -> None:  # E18
    session = await manager.open("http")
    world.now = session.record.ends_at - 0.05
    began = anyio.current_time()
    with pytest.raises(SessionEnded):
        async with manager.running(session):
            await anyio.sleep(5.0)
    assert 0.04 < anyio.current_time() - began < 1.0


async def test_a_call_that_has_run_for_long_is_cancelled_in_time_as_well(manager: Manager, world: World) -> None:  # E18
    session = await manager.open("security")
    began = anyio.current_time()
    with pytest.raises(SessionEnded):
        async with manager.running(session):
            world.now = session.record.ends_at - 0.05
            await touch_running(manager)
            await anyio.sleep(5.0)
    assert 0.04 < anyio.current_time() - began < 1.0
    with pytest.raises(SessionEnded):
        async with manager.running(session):
            world.now = session.record.ends_at + 1.0
            await touch_running(manager)
            await anyio.sleep(5.0)


# -- what is told


async def test_a_foreign_id_is_told_apart_from_an_unknown_one_unless_the_store_goes_meanwhile(world: World) -> None:
    # E34
    store, switch = switched(memory_store())
    mine = manager_on(store, world)
    session = await mine.open("http", owner="ann")
    find_out = mine._is_foreign

    async def gone(*args: Any) -> bool:
        switch.set("down")
        return await find_out(*args)

    mine._is_foreign = gone  # type: ignore[method-assign]
    with pytest.raises(SessionNotFound):
        await mine.load(session.id or "", kind="http", owner="bob")
    assert world.facts()[-1] is Fact.UNKNOWN_ID


async def test_nodes_that_were_told_of_as_unreadable_are_remembered_up_to_a_bound(
    manager: Manager, world: World
) -> None:  # E6
    manager._unreadable = Remembered(2)
    for number in (1, 2, 3, 1, 1):
        await manager.store.sessions.delete([record(number).ref])
        await manager.store.sessions.create(record(number, payload=b"?", ends_at=9999.0), now=world.now)
        with pytest.raises(SessionNotFound):
            await manager.get(record(number).ref)
    assert world.facts().count(Fact.UNREADABLE) == 4
