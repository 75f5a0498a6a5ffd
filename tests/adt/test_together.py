"""Many calls at once, callers who leave, sessions that end under a call (A2, A30, E18)."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from adt.world import GOOD, ME, World, open_world
from holdfast.adt.desk import Caller
from holdfast.core.model import Reason, Ref
from holdfast.core.session import Session
from holdfast.errors import Busy, LockLostError, SessionConflict, SessionExpiredError
from holdfast.simulator import Simulator, Switches


async def test_agents_in_parallel_lose_no_handle_to_each_others_reads(world: World) -> None:
    # A2: reads between LOCK and PUT
    async def agent(number: int) -> None:
        me, name = Caller(f"agent{number}"), f"ZCL_A{number}"
        session_id = await world.session(me)
        await world.abap.create(me, "class", name, session_id=session_id)
        for round_number in range(3):
            handle = await world.lock(session_id, me, name)
            async with anyio.create_task_group() as reads:
                for _ in range(3):
                    reads.start_soon(lambda: world.abap.read(me, "class", name, session_id=session_id))
            text = f"* {number} {round_number}"
            call = {"lock_handle": handle, "session_id": session_id}
            assert (await world.abap.update(me, "class", name, text, **call))["success"]
            assert (await world.abap.unlock(me, "class", name, **call))["success"]
        await world.abap.close_session(me, session_id)

    world.switch(delay_s=0.001)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as agents:
            for number in range(16):
                agents.start_soon(agent, number)
    assert (world.contexts, world.locks, world.logons) == (0, [], 0)


async def test_updates_at_the_same_time_under_one_lock_go_one_after_another(world: World) -> None:
    # A2
    session_id, handle = await world.locked()
    world.switch(delay_s=0.01)
    async with anyio.create_task_group() as updates:
        for number in range(5):
            updates.start_soon(world.update, session_id, handle, f"{GOOD}\n* nonce n{number}")
    assert set(world.sim.journal.put_by_nonce.values()) == {1}
    assert len(world.sim.journal.put_by_nonce) == 5
    await world.unlock(session_id, handle)
    await world.quiet()


async def test_locks_at_the_same_time_in_one_session_get_a_logon_each(world: World) -> None:
    # A2: one context, one lock
    session_id = await world.session()
    names = [f"ZCL_P{number}" for number in range(4)]
    for name in names:
        await world.abap.create(ME, "class", name, session_id=session_id)
    async with anyio.create_task_group() as locks:
        for name in names:
            locks.start_soon(world.lock, session_id, ME, name)
    assert world.contexts == len(world.locks) == 4
    await world.abap.close_session(ME, session_id)
    assert (world.contexts, world.locks, world.logons) == (0, [], 0)


async def test_a_client_that_goes_away_during_lock_leaves_no_lock(world: World) -> None:
    # A30
    session_id = await world.created()
    world.fault("delay", action="LOCK", seconds=0.2)
    with anyio.move_on_after(0.05) as left:
        await world.lock(session_id)
    assert left.cancelled_caught
    with anyio.fail_after(5):
        while not world.requests()[-1].endswith("close-session"):
            await anyio.sleep(0.02)
    await world.quiet()


async def test_a_client_that_goes_away_during_update_may_come_back(world: World) -> None:
    # E18
    session_id, handle = await world.locked()
    world.fault("delay", method="PUT", seconds=0.2)
    with anyio.move_on_after(0.05):
        await world.update(session_id, handle, GOOD + "\n* nonce gone")
    assert (await world.update(session_id, handle, GOOD + "\n* nonce gone"))["outcome"] == "applied"
    assert world.sim.journal.put_by_nonce["gone"] == 1


async def test_a_call_is_let_go_at_once_when_its_session_ends_and_closing_waits_for_the_request(world: World) -> None:
    # E18
    session_id, handle = await world.locked()
    world.fault("delay", method="PUT", seconds=0.3)
    node = await world.manager.load(session_id, kind="workspace")
    began = anyio.current_time()

    async def administrator() -> None:
        await anyio.sleep(0.05)
        await world.manager.end(node, Reason.ADMIN)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(administrator)
        with pytest.raises(SessionExpiredError, match="has ended"):
            await world.update(session_id, handle)
        assert anyio.current_time() - began < 0.25
    await world.quiet()
    sent = world.requests()
    assert sent.index("PUT main") < sent.index("POST zcl_new UNLOCK")
    with pytest.raises(SessionExpiredError):
        await world.update(session_id, handle)


async def test_unlocks_at_the_same_time_both_succeed(world: World) -> None:
    session_id, handle = await world.locked()
    answers: list[bool] = []

    async def unlock() -> None:
        answers.append((await world.unlock(session_id, handle))["success"])

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(unlock)
    assert answers == [True, True, True]
    await world.quiet()


async def test_updates_after_unlock_say_that_the_lock_is_gone(world: World) -> None:
    session_id, handle = await world.locked()
    await world.unlock(session_id, handle)
    for _ in range(2):
        with pytest.raises(LockLostError, match=r"reason: client"):
            await world.update(session_id, handle)
        await world.quiet()


async def test_stopping_in_memory_leaves_nothing_in_the_system() -> None:
    # A4: server shutdown
    async with open_world() as world:
        await world.locked()
        await world.session(force_new=True)
        sim = world.sim
        assert world.contexts == 1
    assert (list(sim.sessions.contexts()), list(sim.sessions.sessions())) == ([], [])
    assert list(sim.locks.entries(sim.clock())) == []


async def test_a_deletion_under_a_lock_that_cannot_begin_leaves_no_lock() -> None:
    # A30: a release without the deletion service; somebody else writes the lock's node at the wrong moment
    async with open_world(sim=Simulator("7.50", switches=Switches(stateful_backport=True))) as world:
        session_id = await world.created()
        hold = world.manager.hold

        def conflict(ref: Ref, *, put: Sequence[Session] = (), **more: Any) -> Any:
            if any(node.record.kind == "lock" for node in put):
                raise SessionConflict("written by somebody else")
            return hold(ref, put=put, **more)

        world.manager.hold = conflict  # type: ignore[method-assign]
        with pytest.raises(Busy):
            await world.abap.delete(ME, "class", "ZCL_NEW", session_id=session_id)
        await world.quiet()
        assert world.locks == []


async def test_a_session_may_be_opened_on_a_logon_that_ends_at_that_moment(world: World) -> None:
    # A31
    first = await world.manager.load(await world.session(), kind="workspace")
    get = world.manager.get

    async def ended_behind(ref: Ref, **more: Any) -> Session:
        node = await get(ref, **more)
        if node.record.kind == "backend":
            await world.manager.end(first, Reason.CLIENT)
        return node

    world.manager.get = ended_behind  # type: ignore[method-assign]
    second = await world.session()
    world.manager.get = get  # type: ignore[method-assign]
    assert (await world.abap.validate(ME, "class", "ZCL_NEW", session_id=second))["success"]
