"""`session_state` and the three mistakes of the source (A10, A11)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adt.world import CLASS, GOOD, ME, OTHER, World, open_world
from holdfast.adt.mistakes import (
    BadLockHandle,
    ForeignSessionState,
    SessionMismatch,
    SessionMissing,
    StaleSessionState,
)
from holdfast.errors import BadInput, LockLostError, SessionExpiredError


@pytest.fixture
async def strict() -> AsyncIterator[World]:
    async with open_world(strict=True) as opened:
        yield opened


def codes(answer: Any) -> list[str]:
    return [warned["code"] for warned in answer.get("warnings", [])]


async def update(world: World, session_id: str | None, handle: str, state: Any, text: str = GOOD) -> Any:
    return await world.abap.update(
        ME, "class", CLASS, text, lock_handle=handle, session_id=session_id, session_state=state
    )


async def test_session_state_has_the_shape_of_the_source_and_no_secret_in_it(world: World) -> None:
    # A10
    answer = await world.abap.get_session(ME)
    [session] = list(world.sim.sessions.sessions())
    shown = json.dumps(answer["session_state"])
    assert list(answer["session_state"]) == ["cookies", "csrf_token", "cookie_store"]
    assert session.cookie not in shown
    assert session.token not in shown


async def test_plain_session_state_is_real_and_off_by_default() -> None:
    # A10
    async with open_world(session_state="plain") as world:
        answer = await world.abap.get_session(ME)
        [session] = list(world.sim.sessions.sessions())
        assert f"SAP_SESSIONID_HFT_001={session.cookie}" in answer["session_state"]["cookies"]
        assert answer["session_state"]["csrf_token"] == session.token
        session_id = answer["session_id"]
        await world.abap.create(ME, "class", CLASS, session_id=session_id, session_state=answer["session_state"])
        locked = await world.abap.lock(ME, "class", CLASS, session_id=session_id)
        assert "sap-contextid=" in locked["session_state"]["cookies"]
        stale = await update(world, session_id, locked["lock_handle"], answer["session_state"])
        assert codes(stale) == ["stale_session_state"]


async def test_the_state_of_the_lock_answer_and_every_later_one_are_current(strict: World) -> None:
    # A11 (1)
    session_id = await strict.created()
    locked = await strict.abap.lock(ME, "class", CLASS, session_id=session_id)
    handle, state = locked["lock_handle"], locked["session_state"]
    for number in range(3):
        answer = await update(strict, session_id, handle, state, f"{GOOD}\n* {number}")
        assert codes(answer) == []
    later = await strict.abap.read(ME, "class", CLASS, session_id=session_id)
    for usable in (state, answer["session_state"], later["session_state"]):
        assert (await update(strict, session_id, handle, usable))["success"]
    checked = await strict.abap.check(
        ME, "class", CLASS, lock_handle=handle, session_id=session_id, session_state=state
    )
    assert checked["success"]
    unlocked = await strict.abap.unlock(
        ME, "class", CLASS, lock_handle=handle, session_id=session_id, session_state=state
    )
    active = await strict.abap.activate(
        ME, "class", CLASS, session_id=session_id, session_state=unlocked["session_state"]
    )
    assert active["success"]


async def test_a_state_from_before_the_lock_is_stale_and_the_newest_is_used(world: World) -> None:
    # A11 (1), mistake 1 of the source
    session_id = await world.session()
    created = await world.abap.create(ME, "class", CLASS, session_id=session_id)
    handle = await world.lock(session_id)
    answer = await update(world, session_id, handle, created["session_state"])
    assert answer["success"]
    assert codes(answer) == ["stale_session_state"]
    assert codes(await update(world, session_id, handle, answer["session_state"])) == []


async def test_strict_refuses_a_stale_state_before_sap_is_asked(strict: World) -> None:
    # A11 (1)
    session_id = await strict.session()
    created = await strict.abap.create(ME, "class", CLASS, session_id=session_id)
    handle = await strict.lock(session_id)
    before = strict.sent
    with pytest.raises(StaleSessionState) as error:
        await update(strict, session_id, handle, created["session_state"])
    assert error.value.code == "stale_session_state"
    assert "last answer" in error.value.hint
    assert strict.sent == before
    assert (await strict.unlock(session_id, handle))["success"]


async def test_a_state_is_stale_when_cookies_or_token_have_changed_since(world: World) -> None:
    # A11: the version counts changes, not answers
    session_id = await world.created()
    old = (await world.abap.read(ME, "class", CLASS, session_id=session_id))["session_state"]
    same = await world.abap.read(ME, "class", CLASS, session_id=session_id, session_state=old)
    assert codes(same) == []
    world.sim.restart()
    await world.source(session_id)
    new = await world.abap.read(ME, "class", CLASS, session_id=session_id, session_state=old)
    assert codes(new) == ["stale_session_state"]


async def test_another_session_than_the_locks_is_refused_while_that_one_lives(world: World) -> None:
    # A11 (2), mistake 2 of the source
    session_id, handle = await world.locked()
    other = await world.session()
    before = world.sent
    for call in (world.update(other, handle), world.unlock(other, handle)):
        with pytest.raises(SessionMismatch) as error:
            await call
        assert "Lock answer" in error.value.hint
    assert world.sent == before
    assert (await world.update(session_id, handle))["success"]


async def test_an_unlock_in_a_new_session_after_the_old_one_has_ended_releases_what_is_held(world: World) -> None:
    # A11 (2), the source's recovery
    session_id, handle = await world.locked()
    world.fault("cut_before", path="zcl_new|sessions", times=1)  # closing does not succeed at once
    node = await world.manager.load(session_id, kind="workspace")
    new = await world.session()
    await world.manager.end(node, "client")  # type: ignore[arg-type]
    assert (await world.unlock(new, handle))["success"]
    assert (world.contexts, world.locks) == (0, [])
    with pytest.raises(LockLostError):
        await world.unlock(new, handle)
    with pytest.raises(LockLostError):
        await world.update(new, handle)


async def test_update_and_unlock_without_a_session_are_refused_with_the_fix(world: World) -> None:
    # A11 (3), mistake 3 of the source
    _, handle = await world.locked()
    before = world.sent
    for call in (
        world.abap.update(ME, "class", CLASS, GOOD, lock_handle=handle),
        world.abap.unlock(ME, "class", CLASS, lock_handle=handle),
    ):
        with pytest.raises(SessionMissing) as error:
            await call
        assert (error.value.code, error.value.hint) == (
            "session_missing",
            "Pass the session_id that the Lock answer gave.",
        )
    assert world.sent == before


@pytest.mark.parametrize("state", [None, {}, {"cookies": "", "csrf_token": "", "cookie_store": {}}])
async def test_the_session_id_alone_is_enough(strict: World, state: Any) -> None:
    # A11
    session_id, handle = await strict.locked()
    assert (await update(strict, session_id, handle, state))["success"]


async def test_a_state_of_another_session_or_principal_or_a_damaged_one_is_refused(world: World) -> None:
    # A10: bound to principal and session
    mine = await world.abap.get_session(ME)
    second = await world.abap.get_session(ME)
    theirs = await world.abap.get_session(OTHER)
    damaged = {**mine["session_state"], "cookies": mine["session_state"]["cookies"][:-4] + "AAAA"}
    for state in (second["session_state"], theirs["session_state"], damaged, {"cookies": "..."}, {"cookies": 5}):
        with pytest.raises(ForeignSessionState) as error:
            await world.abap.search(ME, "Z*", session_id=mine["session_id"], session_state=state)
        assert error.value.code == "foreign_session_state"


async def test_a_lock_handle_of_somebody_else_or_a_damaged_one_is_refused(world: World) -> None:
    session_id, handle = await world.locked()
    theirs = await world.session(OTHER)
    for owner, session, wrong in ((OTHER, theirs, handle), (ME, session_id, handle[:-2] + "zz"), (ME, session_id, "")):
        with pytest.raises(BadLockHandle):
            await world.abap.update(owner, "class", CLASS, GOOD, lock_handle=wrong, session_id=session)
    with pytest.raises(BadInput, match="not of CLAS/OC ZCL_OTHER"):
        await world.update(session_id, handle, name="ZCL_OTHER")


async def test_a_foreign_session_id_is_as_good_as_none(world: World) -> None:
    theirs = await world.session(OTHER)
    with pytest.raises(SessionExpiredError):
        await world.abap.close_session(ME, theirs)
    assert (await world.abap.search(OTHER, "Z*", session_id=theirs))["success"]


async def test_the_complete_workflow_of_the_source_passes_strict(strict: World) -> None:
    # A12: its example keeps the session_state of every answer
    abap = strict.abap
    session = await abap.get_session(ME)
    first, state = session["session_id"], session["session_state"]
    state = (await abap.validate(ME, "class", CLASS, session_id=first, session_state=state))["session_state"]
    state = (await abap.create(ME, "class", CLASS, session_id=first, session_state=state))["session_state"]
    locked = await abap.lock(ME, "class", CLASS, session_id=first, session_state=state)
    handle, lock_id, lock_state = locked["lock_handle"], locked["session_id"], locked["session_state"]
    assert (await update(strict, lock_id, handle, lock_state))["success"]
    unlocked = await abap.unlock(ME, "class", CLASS, lock_handle=handle, session_id=lock_id, session_state=lock_state)
    active = await abap.activate(ME, "class", CLASS, session_id=first, session_state=unlocked["session_state"])
    assert active["success"]


async def test_a_call_without_a_session_gets_one_of_its_own(world: World) -> None:
    answer = await world.abap.search(ME, "Z*")
    assert (await world.abap.search(ME, "Z*", session_id=answer["session_id"]))["success"]
    await world.created()
    locked = await world.abap.lock(ME, "class", CLASS)
    assert (await world.unlock(locked["session_id"], locked["lock_handle"]))["success"]
