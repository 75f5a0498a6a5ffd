"""Keeping alive what is due, sweeping what has expired, and the loops that do either."""

import anyio
import msgspec
import pytest

from core.world import World, empty, manager_on, tree
from holdfast.core.chores import catch_up
from holdfast.core.duty import Duty
from holdfast.core.events import Fact
from holdfast.core.keeper import Keeper
from holdfast.core.kinds import Kind
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Record, Ref, State
from holdfast.errors import SessionEnded, StoreUnavailable

# -- keeping alive


async def test_a_live_node_is_kept_when_due_and_due_again_as_it_says(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # A3
    backend = await manager.open("backend", label="B", named=False)
    lock = await manager.open("lock", parent=backend, label="L", named=False, due_at=world.now + 30.0)
    assert await keeper.turn() == 0
    world.now += 30.0
    assert await keeper.turn() == 1
    assert world.kept == ["L"]
    assert (await manager.get(lock.ref)).record.due_at == world.now + 50.0


async def test_an_upkeep_that_fails_is_due_again_soon(manager: Manager, keeper: Keeper, world: World) -> None:  # E10
    lock = await manager.open("lock", label="L", named=False, due_at=world.now)
    world.refuses = {"L"}
    await keeper.turn()
    assert (await manager.get(lock.ref)).record.due_at == world.now + 10.0
    assert world.facts()[-1] is Fact.CLOSING_FAILED


@pytest.mark.parametrize("ends", [False, True])
async def test_what_a_duty_cannot_write_harms_neither_the_keeper_nor_what_was_stored(
    manager: Manager, world: World, ends: bool
) -> None:  # E6, E10
    async def learn_too_much(duty: Duty) -> float:
        duty.session.content = {"cookies": "x" * 2000}
        duty.held.put(duty.session)
        if ends:
            raise RuntimeError("not closed")
        return duty.now + 50.0

    kinds = [Kind(name="lock", upkeep=learn_too_much, closer=learn_too_much, outside=True)]  # type: ignore[arg-type]
    mine = manager_on(manager.store, world, kinds=kinds)
    lock = await mine.open("lock", {"handle": "old"}, due_at=world.now, named=False)
    if ends:
        await mine.end(lock, Reason.CLIENT)
    assert await Keeper(mine).turn() == 1
    stored = await mine.current(lock.ref)
    assert stored is not None
    assert (await mine.read(stored)).content == {"handle": "old"}
    assert stored.due_at == world.now + (1.0 if ends else 50.0), "else it would be tried again without a pause"
    assert "PayloadTooLarge" in [event.detail for event in world.events if event.fact is Fact.CLOSING_FAILED]
    async with mine.hold(lock.ref, wait=0.01, closing=True):
        pass


async def test_a_closer_that_meets_an_ended_session_has_not_closed(manager: Manager, world: World) -> None:  # E14, E16
    async def reach_elsewhere(duty: Duty) -> None:
        raise SessionEnded("another session has ended")

    kinds = [Kind(name="lock", closer=reach_elsewhere, outside=True)]
    mine = manager_on(manager.store, world, kinds=kinds)
    lock = await mine.open("lock", named=False)
    await mine.end(lock, Reason.CLIENT)
    await Keeper(mine).turn()
    stored = await mine.current(lock.ref)
    assert stored is not None
    assert stored.attempts == 1


async def test_an_upkeep_may_end_its_node(manager: Manager, world: World) -> None:  # A3
    async def give_up(duty: Duty) -> float | None:
        await duty.manager.end(duty.session, Reason.IDLE)
        duty.held.put(duty.session)
        return None

    kinds = [Kind(name="lock", upkeep=give_up, closer=world.close, outside=True)]
    mine = manager_on(manager.store, world, kinds=kinds)
    lock = await mine.open("lock", label="L", named=False, due_at=world.now)
    await Keeper(mine).turn()
    record = await mine.current(lock.ref)
    assert record is not None
    assert (record.state, record.due_at) == (State.ENDING, world.now)
    await Keeper(mine).turn()
    assert world.order == ["L"]


async def test_an_upkeep_below_a_node_that_is_ending_waits_for_the_closing(
    manager: Manager, world: World
) -> None:  # E17
    async def reach_up(duty: Duty) -> float | None:
        parent = await duty.parent()
        assert parent is not None
        async with duty.manager.hold(parent.ref):
            pytest.fail("the parent is ending")

    kinds = [Kind(name="http"), Kind(name="lock", upkeep=reach_up, outside=True)]
    mine = manager_on(manager.store, world, kinds=kinds)
    parent = await mine.open("http")
    lock = await mine.open("lock", parent=parent, named=False, due_at=world.now)
    [claim] = await Keeper(mine).claim()
    await mine.end(parent, Reason.CLIENT)
    await Keeper(mine).look_after(claim, anyio.current_time())
    record = await mine.current(lock.ref)
    assert record is not None
    assert record.due_at == world.now + 10.0


async def test_who_loses_the_store_costs_no_attempt_and_is_due_again(manager: Manager, world: World) -> None:  # E26
    async def unplugged(duty: Duty) -> float | None:
        raise StoreUnavailable("down")

    kinds = [Kind(name="lock", upkeep=unplugged, closer=unplugged, outside=True)]  # type: ignore[arg-type]
    mine = manager_on(manager.store, world, kinds=kinds)
    lock = await mine.open("lock", named=False, due_at=world.now)
    await Keeper(mine).turn()
    record = await mine.current(lock.ref)
    assert record is not None
    assert record.due_at == world.now
    await catch_up(mine)
    await mine.end(lock, Reason.CLIENT)
    await Keeper(mine).turn()
    record = await mine.current(lock.ref)
    assert record is not None
    assert (record.attempts, record.due_at) == (0, world.now + 0.5)


async def test_a_logon_ends_when_it_has_had_no_child_for_its_linger(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E7
    logon = await manager.open("security")
    child = await manager.open("http", parent=logon)
    for _ in range(6):
        world.now += 10.0
        await keeper.turn()
    assert (await manager.get(logon.ref)).key == logon.key
    await manager.end(child, Reason.LOGOUT)
    for _ in range(4):
        await keeper.turn()
        assert await manager.current(logon.ref) is not None
        world.now += 10.0
    for _ in range(3):
        await keeper.turn()
        world.now += 10.0
    assert await empty(manager)


async def test_after_its_last_child_a_logon_ends_at_once_if_it_is_told_to(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E7, S4, S21
    logon = await manager.open("logon")
    first, second = [await manager.open("http", parent=logon) for _ in range(2)]
    world.now += 1.0
    await manager.end(first, Reason.LOGOUT)
    for _ in range(2):  # it is closed, and then the logon looked at
        await keeper.turn()
    assert (await manager.get(logon.ref)).key == logon.key
    await manager.end(second, Reason.LOGOUT)
    for _ in range(3):
        await keeper.turn()
    assert await empty(manager)


async def test_children_that_have_expired_keep_no_logon_alive_though_their_rows_are_there(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E9, S4
    logon = await manager.open("logon")
    child = await manager.open("http", parent=logon)
    world.now += 40.0
    await keeper.turn()
    world.now = child.record.used_at + 100.0
    assert await manager.current(child.ref) is not None
    for _ in range(2):
        await keeper.turn()
    assert await empty(manager)


async def test_a_logon_without_a_child_has_its_whole_time(manager: Manager, keeper: Keeper, world: World) -> None:
    # S21
    await manager.open("logon")
    world.now += 39.0
    await keeper.turn()
    assert not await empty(manager)
    world.now += 1.0
    for _ in range(2):
        await keeper.turn()
    assert await empty(manager)


async def test_a_logon_that_is_written_while_its_last_child_goes_is_looked_at_all_the_same(
    manager: Manager, keeper: Keeper, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # S4
    logon = await manager.open("logon")
    child = await manager.open("http", parent=logon)
    world.now += 1.0
    await manager.end(child, Reason.LOGOUT)
    current = manager.current

    async def current_and_then_written(ref: Ref) -> Record | None:
        record = await current(ref)
        if ref == logon.ref:
            monkeypatch.setattr(manager, "current", current)
            await manager.save(logon)
        return record

    monkeypatch.setattr(manager, "current", current_and_then_written)
    for _ in range(3):
        await keeper.turn()
    assert await empty(manager)


async def test_a_logon_that_ends_while_its_last_child_goes_is_left_to_its_end(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # S4
    logon = await manager.open("logon")
    child = await manager.open("http", parent=logon)
    await manager.end(child, Reason.LOGOUT)
    [claim] = await keeper.claim()
    await manager.end(logon, Reason.LOGOUT)
    await keeper.look_after(claim, anyio.current_time())
    record = await manager.current(logon.ref)
    assert record is None or record.reason is Reason.LOGOUT
    await keeper.turn()
    assert await empty(manager)


async def test_a_due_node_without_upkeep_or_linger_is_due_no_more(
    manager: Manager, keeper: Keeper, world: World
) -> None:
    node = await manager.open("http", due_at=world.now)
    await keeper.turn()
    assert (await manager.get(node.ref)).record.due_at is None


# -- sweeping


async def test_sweeping_removes_what_has_expired_and_closes_what_hung_on_it(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E9, E10
    for _ in range(3):
        await manager.open("http")
    session = await manager.open("http")
    await manager.open("backend", parent=session, label="B", named=False)
    world.open = {"B"}
    world.now += 100.0
    fresh = await manager.open("http")
    assert await keeper.sweep() == 4
    assert world.open == {"B"}
    await keeper.turn()
    assert world.open == set()
    assert [record.key async for record in manager.each("all", b"")] == [fresh.key]
    assert {event.reason for event in world.events if event.fact is Fact.ENDED} == {Reason.IDLE}


async def test_sweeping_ends_by_the_absolute_clock_even_what_is_held(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E7
    session, *_ = await tree(manager, world)
    world.now += 999.0
    assert await keeper.sweep() == 0
    world.now += 1.0
    await keeper.sweep()
    await keeper.turn()
    assert world.open == set()
    assert next(e.reason for e in world.events if e.fact is Fact.ENDED) is Reason.EXPIRED
    assert await manager.current(session.ref) is None


async def test_sweeping_goes_on_page_by_page(manager: Manager, world: World) -> None:  # E10, R76
    manager.tuning = msgspec.structs.replace(manager.tuning, gc_threshold=2)
    for _ in range(5):
        await manager.open("http")
    world.now += 100.0
    assert await Keeper(manager).sweep() == 5
    assert await empty(manager)


async def test_sweeping_leaves_kinds_of_others_alone(manager: Manager, world: World) -> None:  # E30
    await manager.open("http")
    mine = Keeper(manager_on(manager.store, world, kinds=[Kind(name="other")]))
    world.now += 100.0
    assert await mine.sweep() == 0
    assert not await empty(manager)


async def test_what_is_long_due_without_a_capable_worker_is_told(manager: Manager, world: World) -> None:  # E30
    _, _, lock = await tree(manager, world)
    await manager.end(lock, Reason.CLIENT)
    mine = Keeper(manager_on(manager.store, world, kinds=[Kind(name="other")]))
    assert await mine.turn() == 0
    world.now += 59.0
    assert await mine.note_unclaimed() == 0
    world.now += 1.0
    assert await mine.note_unclaimed() == 1
    assert world.events[-1].fact is Fact.UNCLAIMED
    assert world.events[-1].detail == "L"


async def test_what_cannot_be_closed_for_what_hangs_below_it_is_told(manager: Manager, world: World) -> None:  # E30
    session, *_ = await tree(manager, world)
    await manager.end(session, Reason.LOGOUT)
    blind = Keeper(manager_on(manager.store, world, kinds=world.kinds()[:2]))
    world.now += 60.0
    assert await blind.turn() == 0
    assert await blind.note_unclaimed() == 1
    assert [event.kind for event in world.events if event.fact is Fact.UNCLAIMED] == ["http"]
    assert await Keeper(manager).note_unclaimed() == 0, "late, but this one can"


async def test_the_loop_does_what_is_due_as_soon_as_it_is_told(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E10
    session, *_ = await tree(manager, world)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            await anyio.sleep(0)
            await manager.end(session, Reason.LOGOUT)
            assert await manager.gone(session.ref, timeout=4)
            tasks.cancel_scope.cancel()
    assert world.open == set()


async def test_the_loops_survive_a_store_that_is_down(
    manager: Manager, keeper: Keeper, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # E26
    calls = anyio.Event()

    async def down(*_: object, **__: object) -> None:
        calls.set()
        raise StoreUnavailable("down")

    monkeypatch.setattr(type(manager.store.sessions), "claim", down)
    monkeypatch.setattr(type(manager.store.sessions), "find", down)
    monkeypatch.setattr("holdfast.core.keeper.SWEEPER_TURN_S", 0.001)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            tasks.start_soon(keeper.run_sweeper)
            await calls.wait()
            await anyio.sleep(0.02)
            manager.due.set()
            await anyio.sleep(0)
            tasks.cancel_scope.cancel()


async def test_the_sweeper_sweeps_at_its_interval_and_sooner_when_much_has_expired(
    manager: Manager, keeper: Keeper, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # E10
    monkeypatch.setattr("holdfast.core.keeper.SWEEPER_TURN_S", 0.001)
    session = await manager.open("http")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run_sweeper)
            world.now += 200.0
            await anyio.sleep(0.02)
            assert await manager.current(session.ref) is not None
            world.now += 100.0
            assert await manager.gone(session.ref, timeout=4)
            tasks.cancel_scope.cancel()
