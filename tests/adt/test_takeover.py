"""A worker dies at any instant and another goes on, or cleans up (A5)."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from adt.world import CLASS, GOOD, ME, World, open_world
from holdfast.adt import calls
from holdfast.adt.desk import LOCK, lock_label, lock_of
from holdfast.adt.types import TYPES
from holdfast.backend.locks import Lock, Operation, Outcome, digest_of
from holdfast.backend.session import BackendSession
from holdfast.backend.wire import Call
from holdfast.core.session import Session, records_of
from holdfast.errors import BackendError, LockLostError, ObjectLocked, SessionExpiredError
from holdfast.simulator import Simulator
from holdfast.testing.clock import Clock

KIND = TYPES["CLAS/OC"]
LEASE_S = 16.0
TEXT = GOOD + "\n* nonce crash"


async def die(world: World, handle: str, operation: Operation, call: Callable[[Lock], Call] | None) -> BackendSession:
    """Leave things as a worker does that is killed right after it has sent `call`; return its driver, still alive."""
    ticket = await world.ticket(handle)
    manager = world.manager
    node = await manager.get(ticket.lock_ref)
    lock = lock_of(node).begun(operation)
    node.content = lock.dump()
    lease = await manager.store.leases.acquire(
        ticket.backend_ref,
        worker="dead",
        now=world.clock(),
        ttl=15.0,
        put=records_of([node], manager.codec),
    )
    assert lease is not None
    backend = driver(world, await manager.get(ticket.backend_ref))
    if call is not None:
        await backend.send(call(lock))
    world.clock.advance(LEASE_S)
    return backend


def driver(world: World, node: Session) -> BackendSession:
    from holdfast.adt.desk import driver_of

    return driver_of(world.systems, node)


def put(text: str = TEXT) -> Operation:
    return Operation(kind="put", at=0, digest=digest_of(text))


def write(lock: Lock) -> Call:
    source = TEXT.encode()
    return calls.write_source(KIND, CLASS, part="main", source=source, handle=lock.handle, transport="")


def unlock(lock: Lock) -> Call:
    return calls.unlock(KIND, CLASS, lock.handle)


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("serialised", [True, False])
async def test_an_update_is_written_once_whether_or_not_the_dead_workers_had_arrived(
    still: World, arrived: bool, serialised: bool
) -> None:
    # A5
    still.switch(serialise_close=serialised)
    session_id, handle = await still.locked()
    await die(still, handle, put(), write if arrived else None)
    answer = await still.update(session_id, handle, TEXT)
    assert answer["outcome"] == "applied"
    assert still.sim.journal.put_by_nonce["crash"] == 1
    assert "nonce crash" in await still.source(session_id)
    assert (await still.unlock(session_id, handle))["success"]
    await still.quiet()
    assert (still.contexts, still.locks) == (0, [])


async def test_the_old_context_is_ended_before_a_new_one_locks_and_the_text_is_read_back(still: World) -> None:
    # A5
    session_id, handle = await still.locked()
    await die(still, handle, put(), write)
    before = still.sent
    await still.update(session_id, handle, TEXT)
    assert still.requests(before) == [
        "GET sessions close-session",
        "GET logoff",
        "GET sessions logon",
        "POST zcl_new LOCK",
        "GET main",
    ]


async def test_a_request_of_the_dead_worker_that_arrives_late_meets_a_dead_session(still: World) -> None:
    # A2, A5
    session_id, handle = await still.locked()
    [entry] = list(still.sim.locks.entries(still.sim.clock()))
    dead = await die(still, handle, put(), None)
    await still.update(session_id, handle, GOOD)
    late = Lock(system="", user="", type=KIND.type, name=CLASS, handle=entry.handle)
    with pytest.raises(SessionExpiredError):
        await dead.send(write(late))
    with pytest.raises(SessionExpiredError):
        await dead.send(calls.lock(KIND, "ZCL_OTHER"))
    assert still.sim.journal.put_by_nonce["crash"] == 0
    assert still.contexts == 1


async def test_the_lock_handle_of_the_agent_outlives_saps(still: World) -> None:
    # A5
    session_id, handle = await still.locked()
    [before] = list(still.sim.locks.entries(still.sim.clock()))
    await die(still, handle, put(), None)
    await still.update(session_id, handle)
    [after] = list(still.sim.locks.entries(still.sim.clock()))
    assert before.handle != after.handle
    assert (await still.unlock(session_id, handle))["success"]


async def test_a_foreign_user_who_was_faster_has_the_lock(still: World) -> None:
    # A5
    session_id, handle = await still.locked()
    await die(still, handle, put(), None)
    still.fault("foreign_lock", action="LOCK", user="ALICE")
    with pytest.raises(LockLostError, match="ALICE"):
        await still.update(session_id, handle)
    await still.quiet()
    assert (still.contexts, still.locks) == (0, [("ALICE", CLASS)])


async def test_an_update_nobody_comes_back_for_is_settled_by_the_keeper_and_the_lock_given_up_at_its_limit(
    still: World,
) -> None:
    # A3, A5
    session_id, handle = await still.locked()
    await die(still, handle, put(), write)
    await still.pass_time(120)
    [record] = await still.records("lock")
    lock = lock_of(await still.manager.read(record))
    assert lock.operation is None
    assert lock.last is not None
    assert lock.last.outcome is Outcome.APPLIED
    await still.pass_time(900)
    assert (still.contexts, still.locks) == (0, [])
    with pytest.raises(LockLostError, match="idle"):
        await still.update(session_id, handle)
    assert "nonce crash" in await still.source(session_id)


async def test_the_keeper_looks_again_five_seconds_later(still: World) -> None:
    # A5: whether a write can still be applied after its context was ended is not known from real systems
    _, handle = await still.locked()
    await die(still, handle, put(), None)
    await still.pass_time(120)
    [record] = await still.records("lock")
    last = lock_of(await still.manager.read(record)).last
    assert last is not None
    assert (last.outcome, last.until) == (Outcome.NOT_APPLIED, still.clock() + 5)
    found = still.sim.repository.at_uri(KIND.path(CLASS))
    assert found is not None
    still.sim.repository.write(found[0], "main", TEXT, user="DEVELOPER", now=still.clock())
    await still.pass_time(5)
    [record] = await still.records("lock")
    last = lock_of(await still.manager.read(record)).last
    assert last is not None
    assert (last.outcome, last.until) == (Outcome.APPLIED, 0)


@pytest.mark.parametrize("arrived", [True, False])
async def test_an_unlock_of_a_dead_worker_is_finished_by_whoever_comes_first(still: World, arrived: bool) -> None:
    # A5, A6
    _, handle = await still.locked()
    await die(still, handle, Operation(kind="unlock", at=0), unlock if arrived else None)
    await still.pass_time(120)
    assert (still.contexts, still.locks) == (0, [])


@pytest.mark.parametrize("arrived", [True, False])
async def test_an_unlock_repeated_after_a_crash_succeeds(arrived: bool) -> None:
    # A5, A6
    async with open_world() as world:
        session_id, handle = await world.locked()
        await die(world, handle, Operation(kind="unlock", at=0), unlock if arrived else None)
        assert (await world.unlock(session_id, handle))["success"]
        assert (world.contexts, world.locks) == (0, [])
        assert (await world.unlock(session_id, handle))["success"]


async def intent(world: World, session_id: str, *, arrived: bool) -> None:
    """Leave things as a worker does that is killed while its LOCK is on its way."""
    handle = await world.lock(session_id)
    ticket = await world.ticket(handle)
    manager = world.manager
    await manager.end(ticket.lock_ref, "client")  # type: ignore[arg-type]
    await world.quiet()
    backend_node = await manager.get(ticket.backend_ref)
    held = lock_of_label(world)
    await manager.store.leases.acquire(ticket.backend_ref, worker="dead", now=world.clock(), ttl=15.0)
    await manager.open(LOCK, held.dump(), parent=backend_node, owner=ME.owner, label=lock_label(held), named=False)
    if arrived:
        await driver(world, backend_node).send(calls.lock(KIND, CLASS))
    world.clock.advance(LEASE_S)


def lock_of_label(world: World) -> Lock:
    lock = Lock(system="simulator", user="DEVELOPER", type=KIND.type, name=CLASS, taken_at=world.clock())
    return lock.begun(Operation(kind="lock", at=world.clock()))


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_lock_nobody_was_told_of_is_undone_by_the_keeper(still: World, arrived: bool) -> None:
    # A1, A5
    session_id = await still.created()
    await intent(still, session_id, arrived=arrived)
    assert len(still.locks) == arrived
    await still.pass_time(120)
    assert (still.contexts, still.locks, await still.records("lock")) == (0, [], [])


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_lock_asked_for_again_after_a_crash_is_had(still: World, arrived: bool) -> None:
    # A1, A5
    session_id = await still.created()
    await intent(still, session_id, arrived=arrived)
    handle = await still.lock(session_id)
    assert still.locks == [("DEVELOPER", CLASS)]
    assert (await still.update(session_id, handle))["success"]
    await still.unlock(session_id, handle)
    await still.quiet()
    assert (still.contexts, still.locks) == (0, [])


async def test_a_lock_asked_for_again_after_a_crash_that_somebody_else_holds_is_refused_as_any(still: World) -> None:
    # A5: it was never had, so it cannot be lost
    session_id = await still.created()
    await intent(still, session_id, arrived=False)
    still.fault("foreign_lock", action="LOCK", user="ALICE")
    with pytest.raises(ObjectLocked, match="ALICE"):
        await still.lock(session_id)
    await still.quiet()
    assert (still.contexts, still.locks, await still.records("lock")) == (0, [("ALICE", CLASS)], [])


async def test_another_worker_goes_on_with_the_same_session_and_handle(tmp_path: Path) -> None:
    # A5: no operation open, the new owner keeps the context
    clock, store = Clock(), tmp_path / "store.db"
    sim = Simulator(clock=clock)
    async with (
        open_world(sim=sim, clock=clock, store=store, keeper=False) as first,
        open_world(sim=sim, clock=clock, store=store, keeper=False) as second,
    ):
        session_id, handle = await first.locked()
        before = second.sent
        assert (await second.update(session_id, handle))["success"]
        assert (await first.update(session_id, handle, GOOD + "\n* again"))["success"]
        assert (await second.unlock(session_id, handle))["success"]
        assert first.requests(before) == ["PUT main", "PUT main", "POST zcl_new UNLOCK"]
        await first.quiet()
        assert (sim.sessions.logons, first.contexts, first.locks) == (2, 0, [])


async def test_a_takeover_that_fails_is_tried_again(still: World) -> None:
    # A5
    session_id, handle = await still.locked()
    await die(still, handle, put(), write)
    still.fault("cut_before", path="sessions|logoff", times=0)
    with pytest.raises(BackendError):
        await still.update(session_id, handle, TEXT)
    still.sim.faults.rules.clear()
    await retry(lambda: still.update(session_id, handle, TEXT))
    assert still.sim.journal.put_by_nonce["crash"] == 1


async def retry(call: Callable[[], Awaitable[object]]) -> None:
    await call()
