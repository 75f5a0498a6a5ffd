"""Orders of events that are rare but must come out right (A2, A4, A11, A16, A23)."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from adt.world import CLASS, GOOD, ME, OTHER, World, open_world
from holdfast.backend.wire import Call, Reply
from holdfast.core.model import Reason
from holdfast.errors import BackendError, LockLostError, ObjectLocked, SessionExpiredError, StoreUnavailable
from holdfast.simulator import Simulator, Switches
from holdfast.testing.clock import Clock


def once(world: World, action: str, answer: Reply | None = None, before: Any = None) -> None:
    """Answer the next request with this action in the system's place, or do something before it is sent."""
    wire = world.systems.get().wire
    send = wire.send

    async def spy(call: Call, headers: Any, **more: Any) -> Reply:
        if action not in (call.query.get("_action", ""), call.path.rpartition("/")[2], call.method):
            return await send(call, headers, **more)
        wire.send = send  # type: ignore[method-assign]
        if before is not None:
            await before()
        return answer or await send(call, headers, **more)

    wire.send = spy  # type: ignore[method-assign]


async def test_workflow_after_workflow_in_one_session_needs_two_logons_in_all(world: World) -> None:
    # A23: the next lock waits for the close-session of the one before
    session_id = await world.created()
    await world.abap.create(ME, "class", "ZCL_OTHER", session_id=session_id)
    for number in range(6):
        name = ("ZCL_OTHER", CLASS)[number % 2]
        handle = await world.lock(session_id, name=name)
        await world.update(session_id, handle, f"{GOOD}\n* {number}", name)
        await world.unlock(session_id, handle, name)
    await world.quiet()
    assert world.sim.sessions.logons == 2


async def test_a_session_that_ends_while_its_lock_logs_on_leaves_no_logon(world: World) -> None:
    # A2, A30
    session_id = await world.created()
    node = await world.manager.load(session_id, kind="workspace")

    async def end() -> None:
        await world.manager.end(node, Reason.ADMIN)

    once(world, "sessions", before=end)
    with pytest.raises(SessionExpiredError):
        await world.lock(session_id)
    with anyio.fail_after(5):
        while world.logons or await world.records("workspace"):
            await anyio.sleep(0.01)


async def test_a_session_that_ends_while_it_is_opened_leaves_nothing(world: World) -> None:
    # A30
    world.fault("cut_before", path="sessions")
    with pytest.raises(BackendError):
        await world.session()
    with anyio.fail_after(5):
        while await world.records("workspace"):
            await anyio.sleep(0.01)
    assert world.logons == 0


async def test_many_calls_that_find_the_shared_logon_gone_end_up_with_one(world: World) -> None:
    # A2: at most one logon for reading
    first = await world.session()
    second = await world.session()
    await world.abap.close_session(ME, first)
    async with anyio.create_task_group() as calls:
        for _ in range(5):
            calls.start_soon(lambda: world.abap.search(ME, "Z*", session_id=second))
    with anyio.fail_after(5):
        while world.logons != 1:
            await anyio.sleep(0.01)
    [info] = (await world.abap.list_sessions(ME))["sessions"]
    assert info["logons"] == 1


async def test_an_unlock_that_sap_refuses_is_closed_all_the_same(world: World) -> None:
    # A4
    session_id, handle = await world.locked()
    once(world, "UNLOCK", Reply(500, {"content-type": "text/html"}, b"<html>dump</html>"))
    answer = await world.unlock(session_id, handle)
    assert (answer["success"], answer["outcome"]) == (True, "applied")
    assert (world.contexts, world.locks) == (0, [])


async def test_a_close_that_proves_nothing_is_followed_by_the_end_of_the_logon(world: World) -> None:
    # A4: 200 without sap-contextid=0 leaves the context (ADT §4.2)
    session_id, handle = await world.locked()
    await world.update(session_id, handle)
    once(world, "sessions", Reply(200, {}))
    before = world.sent
    await world.unlock(session_id, handle)
    await world.quiet()
    assert world.requests(before) == ["POST zcl_new UNLOCK", "GET logoff"]


async def test_a_refused_deletion_is_an_answer(world: World) -> None:
    # A12, ADT §15
    session_id = await world.created()
    world.fault("refuse_deletion")
    refused = await world.abap.delete(ME, "class", CLASS, session_id=session_id)
    assert (refused["success"], refused["messages"][0]["severity"]) == (False, "error")
    handle = await world.lock(session_id)
    locked = await world.abap.delete(ME, "class", CLASS, session_id=session_id)
    assert "DEVELOPER" in locked["messages"][0]["text"]
    await world.unlock(session_id, handle)


async def test_without_the_deletion_service_a_refusal_is_an_answer_too_and_the_lock_goes() -> None:
    # A12, A30
    async with open_world(sim=Simulator("7.50", switches=Switches(stateful_backport=True))) as world:
        session_id = await world.created()
        world.fault("refuse_deletion", method="DELETE")
        refused = await world.abap.delete(ME, "class", CLASS, session_id=session_id)
        assert not refused["success"]
        await world.quiet()
        await world.lock(await world.session(OTHER), OTHER)
        with pytest.raises(ObjectLocked):
            await world.abap.delete(ME, "class", CLASS, session_id=session_id)


async def test_a_store_that_is_down_before_anything_was_sent_sends_nothing(world: World) -> None:
    # A1: what cannot be written down is not done
    session_id, handle = await world.locked()
    leases = world.manager.store.leases
    acquire = leases.acquire

    async def broken(*args: object, **more: object) -> None:
        raise StoreUnavailable("the store is out of reach")

    leases.acquire = broken  # type: ignore[method-assign, assignment]
    before = world.sent
    with pytest.raises(StoreUnavailable):
        await world.update(session_id, handle)
    assert world.sent == before
    leases.acquire = acquire  # type: ignore[method-assign]
    assert (await world.update(session_id, handle))["success"]


async def test_a_lock_that_ends_between_being_found_and_being_used_is_lost(world: World) -> None:
    session_id, handle = await world.locked()
    ticket = await world.ticket(handle)
    leases = world.manager.store.leases
    acquire = leases.acquire

    async def late(ref: Any, **more: Any) -> Any:
        leases.acquire = acquire  # type: ignore[method-assign]
        await world.manager.end(ticket.lock_ref, Reason.ADMIN)
        return await acquire(ref, **more)

    leases.acquire = late  # type: ignore[method-assign]
    before = world.sent
    with pytest.raises(LockLostError, match="admin"):
        await world.update(session_id, handle)
    assert "PUT main" not in world.requests(before)
    await world.quiet()


async def test_two_workers_see_each_others_cookies_and_tokens(tmp_path: Path) -> None:
    # A21: the store is the truth
    clock, store = Clock(), tmp_path / "store.db"
    sim = Simulator(clock=clock)
    async with (
        open_world(sim=sim, clock=clock, store=store, keeper=False) as first,
        open_world(sim=sim, clock=clock, store=store, keeper=False) as second,
    ):
        session_id, handle = await first.locked()
        await second.update(session_id, handle)
        second.fault("rotate_token", method="PUT")
        assert (await first.update(session_id, handle, GOOD + "\n* 1"))["success"]
        before = first.sent
        assert (await second.update(session_id, handle, GOOD + "\n* 2"))["success"]
        assert first.requests(before) == ["PUT main"]
        sim.restart()
        await first.source(session_id)
        before, logons = first.sent, sim.sessions.logons
        await second.source(session_id)
        assert (first.requests(before), sim.sessions.logons) == (["GET main"], logons)


async def test_an_exception_of_the_caller_leaves_as_it_is(world: World) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_world():
            raise ZeroDivisionError
    assert (await world.abap.search(ME, "Z*"))["success"]


async def test_arguments_out_of_range_are_refused(world: World) -> None:
    from holdfast.errors import BadInput

    session_id = await world.session()
    with pytest.raises(BadInput, match="version is 'newest'"):
        await world.abap.read(ME, "class", CLASS, version="newest", session_id=session_id)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="query is empty"):
        await world.abap.search(ME, " ", session_id=session_id)
    with pytest.raises(BadInput, match="less than 1"):
        await world.abap.search(ME, "Z*", max_results=0, session_id=session_id)
    assert (await world.abap.inactive_objects(ME, session_id=session_id))["success"]
