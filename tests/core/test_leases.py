"""Requests one at a time: waiting for a lease, writing under it, losing it, giving it back."""

from typing import Any

import anyio
import pytest

from core.world import TUNING, World, manager_on, opened
from holdfast.core.chores import renew_held
from holdfast.core.manager import Manager
from holdfast.core.model import Lease, Reason, Ref
from holdfast.errors import (
    Busy,
    LeaseLost,
    PayloadTooLarge,
    SessionConflict,
    StoreUnavailable,
)


async def test_requests_of_one_node_go_one_at_a_time_in_order_of_asking(manager: Manager) -> None:  # A2
    session = await opened(manager)
    order: list[int] = []

    async def request(number: int) -> None:
        async with manager.hold(session.ref):
            order.append(number)
            await anyio.sleep(0)
            order.append(number)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(request, number)
    assert order == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


async def test_another_worker_is_waited_for_and_then_the_request_is_refused_as_busy(
    manager: Manager, world: World
) -> None:  # E15
    session = await opened(manager)
    other = manager_on(manager.store, world, worker="two")

    async def too_late(who: Manager) -> None:
        with pytest.raises(Busy):
            async with who.hold(session.ref, wait=0.02):
                pytest.fail("two holders")

    async with manager.hold(session.ref), anyio.create_task_group() as tasks:
        tasks.start_soon(too_late, other)
        tasks.start_soon(too_late, manager)
    async with other.hold(session.ref) as held:
        assert held.lease.fence == 2


async def test_content_is_written_with_the_lease_and_with_its_release(manager: Manager) -> None:  # A1
    session = await opened(manager)
    below = await manager.open("backend", {}, parent=session, named=False)
    below.content["operation"] = "put"
    async with manager.hold(session.ref, put=[below]) as held:
        assert (await manager.get(below.ref)).content == {"operation": "put"}
        below.content["step"] = 1
        await held.save(below)
        assert (await manager.get(below.ref)).content["step"] == 1
        below.content = {"done": True}
        held.put(below)
    assert (await manager.get(below.ref)).content == {"done": True}
    below.content = {}
    await manager.save(below)


async def test_saving_one_session_forgets_no_other_that_waits_for_the_release(manager: Manager) -> None:  # A1
    session = await opened(manager)
    below = await manager.open("backend", {}, parent=session, named=False)
    async with manager.hold(session.ref) as held:
        session.content["cookie"] = "new"
        held.put(session)
        await held.save(below)
    assert (await manager.get(session.ref)).content["cookie"] == "new"


async def test_what_a_holder_has_learnt_is_written_even_if_the_node_was_ended_meanwhile(
    manager: Manager,
) -> None:  # E18
    session = await opened(manager)
    below = await manager.open("backend", {}, parent=session, named=False)
    async with manager.hold(below.ref) as held:
        await manager.end(below, Reason.ADMIN)
        below.content["cookie"] = "new"
        held.put(below)
    record = await manager.current(below.ref)
    assert record is not None
    assert record.reason is Reason.ADMIN
    assert (await manager.read(record)).content == {"cookie": "new"}


async def test_a_holder_rules_over_content_that_others_wrote(manager: Manager) -> None:  # A1
    session = await opened(manager)
    stale = await manager.get(session.ref)
    async with manager.hold(session.ref) as held:
        await manager.save(session, label="newer")
        stale.content = {"mine": 1}
        held.put(stale)
    assert (await manager.get(session.ref)).content == {"mine": 1}


async def test_a_node_that_has_gone_is_not_written_again(manager: Manager) -> None:  # E18
    session = await opened(manager)
    below = await manager.open("backend", parent=session, named=False)
    async with manager.hold(session.ref) as held:
        await manager.store.sessions.delete([below.ref])
        held.put(below)
    assert await manager.current(below.ref) is None


async def test_content_over_the_limit_keeps_neither_the_lease_nor_the_old_content_from_the_next(
    manager: Manager,
) -> None:  # E6, E15
    session = await opened(manager)
    with pytest.raises(PayloadTooLarge):
        async with manager.hold(session.ref) as held:
            session.content["cart"] = "x" * 2000
            held.put(session)
    async with manager.hold(session.ref, wait=0.01):
        assert (await manager.get(session.ref)).content == {"cart": 1}


async def test_a_lost_lease_cancels_its_holder_and_its_late_write_is_refused(
    manager: Manager, world: World
) -> None:  # E15, E18
    session = await opened(manager)
    other = manager_on(manager.store, world, worker="two")
    reached = False
    with pytest.raises(LeaseLost):
        async with manager.hold(session.ref) as held:
            world.now += TUNING.lease_ttl
            async with other.hold(session.ref):
                session.content["late"] = True
                held.put(session)
                await renew_held(manager)
                await anyio.sleep(1)
                reached = True
    assert not reached
    assert (await manager.get(session.ref)).content == {"cart": 1}


async def test_a_release_after_another_took_the_lease_is_refused(manager: Manager, world: World) -> None:  # E18
    session = await opened(manager)
    other = manager_on(manager.store, world, worker="two")
    with pytest.raises(LeaseLost):
        async with manager.hold(session.ref) as held:
            session.content["late"] = True
            held.put(session)
            world.now += TUNING.lease_ttl
            async with other.hold(session.ref):
                pass
    world.now -= TUNING.lease_ttl
    assert (await manager.get(session.ref)).content == {"cart": 1}


async def test_an_error_in_the_block_rules_over_a_lease_that_was_lost_too(manager: Manager, world: World) -> None:
    session = await opened(manager)
    other = manager_on(manager.store, world, worker="two")
    with pytest.raises(ValueError, match="theirs"):
        async with manager.hold(session.ref):
            world.now += TUNING.lease_ttl
            async with other.hold(session.ref):
                pass
            raise ValueError("theirs")


async def test_a_lease_is_renewed_while_its_block_runs(manager: Manager, world: World) -> None:  # E15
    session = await opened(manager)
    async with manager.hold(session.ref) as held:
        world.now += 10.0
        await renew_held(manager)
        assert held.lease.until == world.now + TUNING.lease_ttl


async def test_who_is_cancelled_while_a_lease_is_on_its_way_gives_it_back(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:  # E18
    session = await opened(manager)
    acquire = manager.store.leases.acquire

    async def slowly(*args: Any, **more: Any) -> Lease | None:
        lease = await acquire(*args, **more)
        scope.cancel()
        await anyio.sleep(0)
        return lease

    with anyio.CancelScope() as scope, monkeypatch.context() as patch:
        patch.setattr(manager.store.leases, "acquire", slowly)
        async with manager.hold(session.ref):
            await anyio.sleep_forever()
    async with manager.hold(session.ref, wait=0.01) as held:
        assert held.lease.fence == 2


@pytest.fixture
def slow_renewals(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Ref], anyio.Event]:
    """Renewals wait at the store until the event is set; the list says whose have arrived there."""
    renew, arrived, go_on = manager.store.leases.renew, list[Ref](), anyio.Event()

    async def slowly(lease: Lease, **more: Any) -> Lease:
        arrived.append(lease.ref)
        await go_on.wait()
        return await renew(lease, **more)

    monkeypatch.setattr(manager.store.leases, "renew", slowly)
    return arrived, go_on


async def test_a_lease_is_given_back_only_after_its_renewal_so_that_nobody_is_left_with_it(
    manager: Manager, slow_renewals: tuple[list[Ref], anyio.Event]
) -> None:  # E15
    session, (arrived, go_on) = await opened(manager), slow_renewals
    leave = anyio.Event()

    async def request() -> None:
        async with manager.hold(session.ref):
            await leave.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(request)
            while not manager.held:
                await anyio.sleep(0)
            tasks.start_soon(renew_held, manager)
            while not arrived:
                await anyio.sleep(0)
            leave.set()
            await anyio.wait_all_tasks_blocked()
            go_on.set()
    async with manager.hold(session.ref, wait=0.01):
        pass


async def test_one_renewal_that_hangs_delays_no_other_and_what_was_given_back_is_not_renewed(
    manager: Manager, slow_renewals: tuple[list[Ref], anyio.Event], monkeypatch: pytest.MonkeyPatch
) -> None:  # E15, E26
    monkeypatch.setattr("holdfast.core.together.AT_ONCE", 2)
    nodes, (arrived, go_on) = [await opened(manager) for _ in range(3)], slow_renewals
    leave = anyio.Event()

    async def request(ref: Ref) -> None:
        async with manager.hold(ref):
            await leave.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for node in nodes:
                tasks.start_soon(request, node.ref)
            while len(manager.held) < 3:
                await anyio.sleep(0)
            tasks.start_soon(renew_held, manager)
            await anyio.wait_all_tasks_blocked()
            assert len(arrived) == 2, "two at a time, none waits for the one before it"
            [third] = {node.ref for node in nodes} - set(arrived)
            leave.set()
            async with manager.hold(third):  # the third is given back, and taken anew, before it was its turn
                go_on.set()
                while len(manager.held) > 1:
                    await anyio.sleep(0)
    assert third not in arrived
    for node in nodes:
        async with manager.hold(node.ref, wait=0.01):
            pass


async def test_a_holder_that_cannot_renew_stops_when_the_lease_has_run_out(
    manager: Manager, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # E26
    session = await opened(manager)

    async def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("down")

    with pytest.raises(LeaseLost):
        async with manager.hold(session.ref):
            with monkeypatch.context() as patch:
                patch.setattr(type(manager.store.leases), "renew", down)
                await renew_held(manager)
                await anyio.sleep(0)
                world.now += TUNING.lease_ttl
                await renew_held(manager)
            await anyio.sleep(1)
            pytest.fail("the holder went on")


async def test_writers_without_end_are_given_up_on(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await opened(manager)

    async def refused(*_: object, **__: object) -> None:
        raise SessionConflict("always")

    with pytest.raises(SessionConflict, match="without end"):
        async with manager.hold(session.ref) as held:
            held.put(session)
            monkeypatch.setattr(type(manager.store.leases), "release", refused)
