"""How often the store is asked on the hot paths."""

from collections.abc import AsyncIterator

import anyio
import pytest

from core.counted import counting
from core.world import World, manager_on
from holdfast.core.keeper import Keeper
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.stores import open_store


@pytest.fixture
async def counted() -> AsyncIterator[tuple[Manager, World, list[str]]]:
    world, calls = World(), list[str]()
    async with open_store("memory://", clock=world) as store:
        yield manager_on(counting(store, calls), world), world, calls


async def test_load_and_touch_is_one_trip(counted: tuple[Manager, World, list[str]]) -> None:  # E25
    manager, world, calls = counted
    session = await manager.open("http", owner="ann", client="c")
    assert calls == ["create"], "create with limits is one"
    calls.clear()
    world.now += 60.0
    found = await manager.load(session.id or "", kind="http", owner="ann")
    assert calls == ["load"]
    assert found.record.used_at == world.now


async def test_load_run_and_save_is_two_trips(counted: tuple[Manager, World, list[str]]) -> None:  # E25
    manager, _, calls = counted
    session = await manager.open("http")
    calls.clear()
    found = await manager.load(session.id or "", kind="http")
    async with manager.running(found):
        found.content["n"] = 1
    await manager.save(found)
    assert calls == ["load", "replace"]


async def test_an_operation_under_a_lease_is_written_ahead_and_settled_in_two_trips(
    counted: tuple[Manager, World, list[str]],
) -> None:  # A1
    manager, _, calls = counted
    backend = await manager.open("backend", named=False)
    lock = await manager.open("lock", parent=backend, named=False)
    calls.clear()
    lock.content["operation"] = "put"
    async with manager.hold(backend.ref, put=[lock]) as held:
        lock.content["operation"] = None
        held.put(lock)
    assert calls == ["acquire", "release"]


async def test_marking_a_node_is_one_trip_whatever_hangs_below_it(
    counted: tuple[Manager, World, list[str]],
) -> None:  # E14
    manager, _, calls = counted
    session = await manager.open("http")
    for _ in range(20):
        await manager.open("backend", parent=session, named=False)
    calls.clear()
    await manager.end(session, Reason.LOGOUT)
    assert calls == ["end"]


async def test_reading_repeatedly_costs_one_read_each_and_no_write(
    counted: tuple[Manager, World, list[str]],
) -> None:  # E8
    manager, world, calls = counted
    session = await manager.open("http")
    calls.clear()
    for _ in range(9):
        world.now += 1.0
        found = await manager.load(session.id or "", kind="http")
        assert found.record.used_at == session.record.used_at
    assert calls == ["load"] * 9


async def test_a_quiet_keeper_only_reads_and_claims_once_for_what_is_due(
    counted: tuple[Manager, World, list[str]],
) -> None:  # E10
    manager, _, calls = counted
    session = await manager.open("http")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Keeper(manager).run)
            for _ in range(3):
                manager.due.set()
                await anyio.sleep(0.01)
            assert "claim" not in calls
            await manager.end(session, Reason.LOGOUT)
            assert await manager.gone(session.ref, timeout=4)
            await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    assert calls.count("claim") == 1
