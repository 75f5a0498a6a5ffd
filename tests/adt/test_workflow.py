"""The workflow of the source, and how many requests it takes (A1, A2, A4, A9, A16, A23, A30, A31)."""

import pytest

from adt.world import CLASS, GOOD, ME, OTHER, World
from holdfast.adt.desk import Caller, lock_of
from holdfast.backend.locks import Phase
from holdfast.errors import BadInput, NotFound, ObjectLocked


async def test_an_agent_validates_creates_locks_updates_unlocks_and_activates(world: World) -> None:
    # A9, A16
    session_id = await world.session()
    assert (await world.abap.validate(ME, "class", CLASS, session_id=session_id))["success"]
    assert (await world.abap.create(ME, "class", CLASS, session_id=session_id))["success"]
    handle = await world.lock(session_id)
    assert world.locks == [("DEVELOPER", CLASS)]
    assert (await world.update(session_id, handle))["outcome"] == "applied"
    assert (await world.unlock(session_id, handle))["success"]
    assert (await world.abap.activate(ME, "class", CLASS, session_id=session_id))["success"]
    read = await world.abap.read(ME, "class", CLASS, version="active", properties=True, session_id=session_id)
    assert read["source_code"] == GOOD
    assert (read["properties"]["version"], read["properties"]["package"]) == ("active", "$TMP")
    await world.quiet()


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("CLAS/OC", "zcl_new", GOOD),
        ("INTF/OI", "zif_new", "INTERFACE zif_new PUBLIC.\nENDINTERFACE."),
        ("PROG/P", "znew", "REPORT znew.\nWRITE 'x'."),
    ],
)
async def test_every_type_goes_the_whole_way(world: World, kind: str, name: str, text: str) -> None:
    # A15, A16
    abap, session_id = world.abap, await world.session()
    assert (await abap.validate(ME, kind, name, session_id=session_id))["success"]
    assert (await abap.create(ME, kind, name, description="made by a test", session_id=session_id))["success"]
    locked = await abap.lock(ME, kind, name, session_id=session_id)
    handle = locked["lock_handle"]
    await abap.update(ME, kind, name, text, lock_handle=handle, session_id=session_id)
    assert (await abap.check(ME, kind, name, session_id=session_id))["success"]
    assert not (await abap.check(ME, kind, name, source_code="nonsense", session_id=session_id))["success"]
    await abap.unlock(ME, kind, name, lock_handle=handle, session_id=session_id)
    assert (await abap.activate(ME, kind, name, session_id=session_id))["success"]
    found = await abap.search(ME, name[:5] + "*", session_id=session_id)
    assert name.upper() in [entry["name"] for entry in found["objects"]]
    assert (await abap.delete(ME, kind, name, session_id=session_id))["success"]
    with pytest.raises(NotFound):
        await abap.read(ME, kind, name, session_id=session_id)
    await world.quiet()


async def test_lock_put_unlock_activate_are_four_requests_and_one_close_afterwards(world: World) -> None:
    # A23
    session_id = await world.created()
    handle = await world.lock(session_id)
    await world.unlock(session_id, handle)
    await world.quiet()
    before, logons = world.sent, world.sim.sessions.logons
    handle = await world.lock(session_id)
    await world.update(session_id, handle)
    await world.unlock(session_id, handle)
    await world.abap.activate(ME, "class", CLASS, session_id=session_id)
    await world.quiet()
    sent = world.requests(before)
    assert sorted(sent) == sorted(
        ["POST zcl_new LOCK", "PUT main", "POST zcl_new UNLOCK", "POST activation", "GET sessions close-session"]
    )
    assert sent[:3] == ["POST zcl_new LOCK", "PUT main", "POST zcl_new UNLOCK"]
    assert world.sim.sessions.logons == logons


async def test_a_read_is_one_request_and_the_first_read_and_the_first_lock_cost_one_logon_each(world: World) -> None:
    # A23
    session_id = await world.session()
    assert world.requests() == ["GET sessions logon"]
    await world.abap.create(ME, "class", CLASS, session_id=session_id)
    await world.source(session_id)
    assert world.requests(1) == ["POST classes", "GET main"]
    await world.lock(session_id)
    assert world.requests(3) == ["GET sessions logon", "POST zcl_new LOCK"]
    assert world.sim.sessions.logons == 2


async def test_only_a_logon_request_carries_credentials(world: World) -> None:
    # A2
    session_id, handle = await world.locked()
    await world.update(session_id, handle)
    await world.unlock(session_id, handle)
    await world.abap.close_session(ME, session_id)
    with_credentials = [r for r in world.sim.journal.requests if r["credentials"]]
    assert {request["purpose"] for request in with_credentials} == {"logon"}
    assert len(with_credentials) == world.sim.sessions.logons == 2


async def test_the_intent_is_stored_before_lock_goes_out_and_the_handle_after(world: World) -> None:
    # A1
    seen: list[str] = []
    session_id = await world.created()
    gate = world.sim.app
    send = world.systems.get().wire.send

    async def spy(call: object, headers: object, **more: object) -> object:
        if getattr(call, "query", {}).get("_action") == "LOCK":
            [record] = await world.records("lock")
            lock = lock_of(await world.manager.read(record))
            seen.append(f"{lock.phase} {lock.operation.kind if lock.operation else ''} {bool(lock.handle)}")
        return await send(call, headers, **more)  # type: ignore[arg-type]

    world.systems.get().wire.send = spy  # type: ignore[method-assign, assignment]
    await world.lock(session_id)
    [record] = await world.records("lock")
    lock = lock_of(await world.manager.read(record))
    assert seen == ["intent lock False"]
    assert (lock.phase, lock.operation, bool(lock.handle)) == (Phase.HELD, None, True)
    assert gate is world.sim.app


async def test_the_open_put_is_stored_while_it_is_on_its_way(world: World) -> None:
    # A1
    seen: list[str] = []
    session_id, handle = await world.locked()
    send = world.systems.get().wire.send

    async def spy(call: object, headers: object, **more: object) -> object:
        if getattr(call, "method", "") == "PUT":
            [record] = await world.records("lock")
            operation = lock_of(await world.manager.read(record)).operation
            assert operation is not None
            seen.append(f"{operation.kind} {len(operation.digest)}")
        return await send(call, headers, **more)  # type: ignore[arg-type]

    world.systems.get().wire.send = spy  # type: ignore[method-assign, assignment]
    await world.update(session_id, handle)
    assert seen == ["put 32"]


async def test_a_read_a_search_and_another_lock_between_lock_and_update_leave_the_lock_alone(world: World) -> None:
    # A2: the most reported defect of all (ADT §3.1)
    session_id, handle = await world.locked()
    await world.source(session_id)
    await world.abap.search(ME, "Z*", session_id=session_id)
    await world.abap.create(ME, "class", "zcl_two", session_id=session_id)
    second = await world.lock(session_id, name="ZCL_TWO")
    assert (await world.update(session_id, handle))["success"]
    assert (await world.unlock(session_id, handle))["success"]
    assert (await world.unlock(session_id, second, "ZCL_TWO"))["success"]
    await world.quiet()
    assert world.sim.sessions.logons == 3


async def test_the_released_lock_counts_only_when_its_context_has_ended(still: World) -> None:
    # A4
    session_id, handle = await still.locked()
    await still.unlock(session_id, handle)
    assert still.locks == []
    assert still.contexts == 1
    assert len(await still.records("lock")) == 1
    await still.quiet()
    assert (still.contexts, await still.records("lock")) == (0, [])


async def test_closing_a_session_unlocks_closes_the_context_and_logs_off(world: World) -> None:
    # A4
    session_id, _ = await world.locked()
    before = world.sent
    assert (await world.abap.close_session(ME, session_id))["success"]
    assert (world.locks, world.contexts, world.logons) == ([], 0, 0)
    assert world.requests(before)[:2] == ["POST zcl_new UNLOCK", "GET sessions close-session"]
    assert world.requests(before)[2:] == ["GET logoff", "GET logoff"]


async def test_another_user_is_told_who_holds_the_object(world: World) -> None:
    await world.locked()
    other = await world.session(OTHER)
    before = world.sent
    with pytest.raises(ObjectLocked, match="DEVELOPER"):
        await world.lock(other, OTHER)
    assert world.requests(before).count("POST zcl_new LOCK") == 1  # A6: another lock node of ours: no waiting
    await world.abap.close_session(OTHER, other)
    assert world.locks == [("DEVELOPER", CLASS)]


async def test_locking_again_in_the_same_session_answers_the_same_lock(world: World) -> None:
    session_id, handle = await world.locked()
    before = world.sent
    again = await world.abap.lock(ME, "class", CLASS.lower(), session_id=session_id)
    assert [warned["code"] for warned in again["warnings"]] == ["already_locked"]
    assert await world.ticket(again["lock_handle"]) == await world.ticket(handle)
    assert world.sent == before


async def test_get_session_shares_the_living_logon_and_force_new_logs_on_afresh(world: World) -> None:
    # A31
    first = await world.session()
    assert await world.session() != first
    assert world.sim.sessions.logons == 1
    await world.session(force_new=True)
    assert world.sim.sessions.logons == 2
    await world.session(OTHER)
    assert world.sim.sessions.logons == 3


async def test_a_shared_logon_that_ended_with_its_session_is_replaced(world: World) -> None:
    # A31
    first = await world.session()
    second = await world.session()
    await world.abap.close_session(ME, first)
    assert (await world.abap.search(ME, "Z*", session_id=second))["objects"]
    assert world.sim.sessions.logons == 2


async def test_what_a_caller_has_is_listed_and_nothing_of_others(world: World) -> None:
    session_id, _ = await world.locked()
    sessions = await world.abap.list_sessions(ME)
    locks = await world.abap.list_locks(ME)
    assert [(info["session"], info["locks"], info["logons"]) for info in sessions["sessions"]] == [
        (session_id[:8], 1, 2)
    ]
    assert [(info["object"], info["user"], info["state"]) for info in locks["locks"]] == [
        (f"CLAS/OC {CLASS}", "DEVELOPER", "live")
    ]
    assert (await world.abap.list_locks(OTHER))["locks"] == []
    assert (await world.abap.list_sessions(Caller()))["sessions"] == []


async def test_findings_are_answers(world: World) -> None:
    # A12
    session_id = await world.created()
    again = await world.abap.create(ME, "class", CLASS, session_id=session_id)
    invalid = await world.abap.validate(ME, "class", CLASS, session_id=session_id)
    assert not again["success"]
    assert not invalid["success"]
    assert CLASS in again["messages"][0]["text"]
    handle = await world.lock(session_id)
    await world.update(session_id, handle, "...")
    await world.unlock(session_id, handle)
    refused = await world.abap.activate(ME, "class", CLASS, session_id=session_id)
    assert (refused["success"], refused["outcome"]) == (False, "not_applied")
    assert refused["messages"][0]["severity"] == "error"


@pytest.mark.parametrize(
    ("name", "says"),
    [("Z" * 31, "31 characters"), ("1abc", "not an ABAP name"), ("", "empty"), ("Z CL", "not an ABAP name")],
)
async def test_a_name_is_checked_before_anything_is_sent(world: World, name: str, says: str) -> None:
    session_id = await world.session()
    before = world.sent
    with pytest.raises(BadInput, match=says):
        await world.abap.lock(ME, "class", name, session_id=session_id)
    assert world.sent == before


async def test_bad_arguments_name_what_would_be_right(world: World) -> None:
    session_id = await world.session()
    with pytest.raises(BadInput, match="no object type") as kind:
        await world.abap.read(ME, "TABL", "ZT", session_id=session_id)
    assert "CLAS/OC" in kind.value.hint
    with pytest.raises(BadInput, match="no include"):
        await world.abap.read(ME, "class", CLASS, include="nope", session_id=session_id)
    with pytest.raises(BadInput, match="bytes"):
        await world.abap.check(ME, "class", CLASS, source_code="x" * 5_000_000, session_id=session_id)
    with pytest.raises(BadInput, match="Unicode"):
        await world.abap.check(ME, "class", CLASS, source_code="\ud800", session_id=session_id)
    with pytest.raises(BadInput, match="no system"):
        await world.abap.get_session(ME, system="nope")


async def test_n_writes_by_any_path_leave_nothing_behind(world: World) -> None:
    # A30
    session_id = await world.created()
    for number in range(3):
        handle = await world.lock(session_id)
        await world.update(session_id, handle, f"{GOOD}\n* {number}")
        await world.unlock(session_id, handle)
    for effect in ("cut_after", "expire_context", "unauthorized", "delete_lock"):
        handle = await world.lock(session_id)
        world.fault(effect, method="PUT")
        try:
            await world.update(session_id, handle, f"{GOOD}\n* {effect}")
            await world.unlock(session_id, handle)
        except Exception:  # noqa: BLE001 - what is left behind is what counts
            pass
    await world.quiet()
    await world.abap.close_session(ME, session_id)
    assert (world.contexts, world.locks, world.logons) == (0, [], 0)
