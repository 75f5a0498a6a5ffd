"""Connections that break, and what becomes of the change that was on its way (A6)."""

import anyio
import pytest

from adt.world import CLASS, GOOD, ME, World, open_world
from holdfast.errors import BackendUnavailable, LockLostError, ObjectLocked


@pytest.mark.parametrize(("effect", "written"), [("cut_after", 1), ("cut_before", 0)])
async def test_a_put_whose_answer_was_lost_is_read_back_and_never_sent_twice(
    world: World, effect: str, written: int
) -> None:
    # A6
    session_id, handle = await world.locked()
    world.fault(effect, method="PUT")
    answer = await world.update(session_id, handle, GOOD + "\n* nonce one")
    assert answer["outcome"] == ("applied" if written else "not_applied")
    assert world.sim.journal.put_by_nonce["one"] == written
    again = await world.update(session_id, handle, GOOD + "\n* nonce one")
    assert again["outcome"] == "applied"
    assert world.sim.journal.put_by_nonce["one"] == 1
    assert "nonce one" in await world.source(session_id)
    await world.unlock(session_id, handle)
    await world.quiet()


async def test_a_put_that_cannot_be_read_back_is_unknown_and_settled_by_the_next_call(world: World) -> None:
    # A6
    session_id, handle = await world.locked()
    world.fault("cut_after", method="PUT")
    world.fault("cut_before", times=0, path="zcl_new|sessions")
    answer = await world.update(session_id, handle, GOOD + "\n* nonce two")
    assert (answer["success"], answer["outcome"]) == (False, "unknown")
    assert "no answer to PUT" in answer["message"]
    world.sim.faults.rules.clear()
    assert (await world.update(session_id, handle, GOOD + "\n* nonce two"))["outcome"] == "applied"
    assert world.sim.journal.put_by_nonce["two"] == 1
    await world.unlock(session_id, handle)
    await world.quiet()


@pytest.mark.parametrize("effect", ["cut_after", "cut_before"])
async def test_a_lock_whose_answer_was_lost_is_undone_by_ending_its_logon_and_asked_for_again(
    world: World, effect: str
) -> None:
    # A6
    session_id = await world.created()
    world.fault(effect, action="LOCK")
    before = world.sent
    handle = await world.lock(session_id)
    assert world.requests(before) == [
        "GET sessions logon",
        "POST zcl_new LOCK",
        "GET logoff",
        "GET sessions logon",
        "POST zcl_new LOCK",
    ]
    assert (world.locks, world.contexts) == ([("DEVELOPER", CLASS)], 1)
    assert (await world.update(session_id, handle))["success"]
    await world.unlock(session_id, handle)
    await world.quiet()


async def test_a_lock_that_cannot_be_had_is_released_in_the_background(world: World) -> None:
    # A6
    session_id = await world.created()
    world.fault("cut_after", action="LOCK")
    world.fault("cut_before", path="logoff", times=2)
    with pytest.raises(BackendUnavailable):
        await world.lock(session_id)
    await world.quiet()
    await world.lock(session_id)


@pytest.mark.parametrize("effect", ["unavailable", "icm_unreachable", "icm_session", "not_authorized"])
async def test_a_lock_whose_answer_was_lost_is_undone_even_if_its_log_off_was_refused_at_first(
    world: World, effect: str
) -> None:
    # A6: neither handle nor context is known, so only the end of the logon releases what was taken
    session_id = await world.created()
    world.fault("cut_after", action="LOCK")
    world.fault(effect, path="logoff")
    with pytest.raises(BackendUnavailable):
        await world.lock(session_id)
    with anyio.fail_after(5):
        while await world.records("lock"):
            await anyio.sleep(0.01)
    assert (world.contexts, world.locks) == (0, [])


async def test_a_lock_lost_on_the_way_back_while_a_write_was_settled_is_released_with_its_logon(world: World) -> None:
    # A4, A6: the object was locked again in a context we were never told of
    session_id, handle = await world.locked()
    world.fault("cut_before", method="PUT")
    world.fault("cut_after", action="LOCK", times=2)
    assert (await world.update(session_id, handle))["outcome"] == "unknown"
    assert (await world.unlock(session_id, handle))["outcome"] == "applied"
    assert (world.contexts, world.locks) == (0, [])


@pytest.mark.parametrize("effect", ["cut_after", "cut_before", "unavailable"])
async def test_an_unlock_whose_answer_was_lost_is_settled_by_the_end_of_its_context(world: World, effect: str) -> None:
    # A6
    session_id, handle = await world.locked()
    world.fault(effect, action="UNLOCK")
    answer = await world.unlock(session_id, handle)
    assert answer["outcome"] == "applied"
    assert (world.locks, world.contexts) == ([], 0)
    assert (await world.unlock(session_id, handle))["success"]  # the same call again, as after a lost answer


@pytest.mark.parametrize(("effect", "outcome"), [("cut_after", "applied"), ("cut_before", "not_applied")])
async def test_an_activation_whose_answer_was_lost_is_looked_up(world: World, effect: str, outcome: str) -> None:
    # A6
    session_id, handle = await world.locked()
    await world.update(session_id, handle)
    await world.unlock(session_id, handle)
    world.fault(effect, path="activation$")
    answer = await world.abap.activate(ME, "class", CLASS, session_id=session_id)
    assert (answer["success"], answer["outcome"]) == (outcome == "applied", outcome)
    assert sum(request == "POST activation" for request in world.requests()) == 1


async def test_an_activation_that_cannot_be_looked_up_is_unknown(world: World) -> None:
    # A6
    session_id = await world.created()
    world.fault("cut_after", path="activation$")
    world.fault("cut_before", path="inactiveobjects")
    answer = await world.abap.activate(ME, "class", CLASS, session_id=session_id)
    assert (answer["success"], answer["outcome"]) == (False, "unknown")


async def test_the_release_of_our_own_lock_is_waited_for(world: World) -> None:
    # A6: release is asynchronous (ADT §6)
    world.switch(release_delay_s=2)
    session_id, _ = await world.locked()
    world.fault("cut_before", action="UNLOCK")
    await world.abap.close_session(ME, session_id)
    assert world.locks == [("DEVELOPER", CLASS)]
    before = world.sent
    await world.lock(await world.session())
    assert world.requests(before).count("POST zcl_new LOCK") > 1


async def test_a_lock_of_the_same_user_elsewhere_is_waited_for_five_seconds_only(world: World) -> None:
    # A6
    session_id = await world.created()
    world.fault("foreign_lock", action="LOCK", user="DEVELOPER")
    began = world.clock()
    with pytest.raises(ObjectLocked, match="DEVELOPER"):
        await world.lock(session_id)
    assert 5 <= world.clock() - began < 8


async def test_after_a_refused_write_the_lock_is_taken_afresh_under_the_same_handle(world: World) -> None:
    # ADT §7.3: a handle is never used again after a failed write
    session_id, handle = await world.locked()
    world.fault("unavailable", method="PUT")
    with pytest.raises(BackendUnavailable):
        await world.update(session_id, handle)
    assert (await world.update(session_id, handle))["success"]
    with pytest.raises(Exception, match="inactive version"):
        await world.abap.update(
            ME, "class", CLASS, "x", include="testclasses", lock_handle=handle, session_id=session_id
        )
    before = world.sent
    assert (await world.update(session_id, handle, GOOD + "\n* more"))["success"]
    assert "POST zcl_new LOCK" in world.requests(before)
    await world.unlock(session_id, handle)
    await world.quiet()


async def test_a_lost_write_and_a_faster_foreign_user_lose_the_lock(world: World) -> None:
    # A5, A6
    session_id, handle = await world.locked()
    world.fault("cut_before", method="PUT")
    world.fault("foreign_lock", action="LOCK", user="ALICE")
    with pytest.raises(LockLostError, match="ALICE"):
        await world.update(session_id, handle)
    await world.abap.close_session(ME, session_id)
    assert world.contexts == 0


async def test_a_store_that_is_gone_after_sap_applied_the_change_is_said_and_settled_later() -> None:
    # A6
    from holdfast.errors import StoreUnavailable

    async with open_world() as world:
        session_id, handle = await world.locked()
        leases = world.manager.store.leases
        release, down = leases.release, [True]

        async def broken(*args: object, **more: object) -> None:
            if down:
                raise StoreUnavailable("the store is out of reach")
            await release(*args, **more)  # type: ignore[arg-type]

        leases.release = broken  # type: ignore[method-assign]
        answer = await world.update(session_id, handle, GOOD + "\n* nonce three")
        assert answer["outcome"] == "applied"
        assert [warned["code"] for warned in answer["warnings"]] == ["not_recorded"]
        down.clear()
        world.clock.advance(20)  # the lease that was not given back runs out
        again = await world.update(session_id, handle, GOOD + "\n* nonce three")
        assert again["outcome"] == "applied"
        assert world.sim.journal.put_by_nonce["three"] == 1
        await world.unlock(session_id, handle)
        await world.quiet()


@pytest.mark.parametrize(("effect", "done"), [("cut_after", True), ("cut_before", False)])
async def test_a_creation_and_a_deletion_whose_answers_were_lost_are_looked_up(
    world: World, effect: str, done: bool
) -> None:
    # A6
    session_id = await world.session()
    world.fault(effect, path="classes$")
    created = await world.abap.create(ME, "class", "ZCL_MAYBE", session_id=session_id)
    assert created["success"] is done
    await world.abap.create(ME, "class", "ZCL_MAYBE", session_id=session_id)
    world.fault(effect, path="deletion")
    deleted = await world.abap.delete(ME, "class", "ZCL_MAYBE", session_id=session_id)
    assert deleted["success"] is done
    assert sum(request == "POST delete" for request in world.requests()) == 1


async def test_a_creation_and_a_deletion_are_not_repeated_when_the_logon_went_with_the_answer(world: World) -> None:
    # A6: as when the server restarts under them
    session_id, before = await world.session(), world.sent
    world.fault("cut_after", path="classes$")
    world.fault("expire_session", method="GET", path="zcl_maybe")
    assert (await world.abap.create(ME, "class", "ZCL_MAYBE", session_id=session_id))["success"]
    world.fault("cut_after", path="deletion")
    world.fault("expire_session", method="GET", path="zcl_maybe")
    assert (await world.abap.delete(ME, "class", "ZCL_MAYBE", session_id=session_id))["success"]
    sent = world.requests(before)
    assert (sent.count("POST classes"), sent.count("POST delete")) == (1, 1)


@pytest.mark.parametrize("effect", ["cut_before", "cut_after"])
async def test_a_lost_write_of_an_include_that_is_not_there_is_settled(world: World, effect: str) -> None:
    # A6: the read-back is answered 404, which must not be the answer to this update and to all that follow
    session_id, handle = await world.locked()
    world.fault(effect, method="PUT")
    where = {"include": "testclasses", "lock_handle": handle, "session_id": session_id}
    assert (await world.abap.update(ME, "class", CLASS, "* x", **where))["outcome"] == "not_applied"
    assert (await world.update(session_id, handle))["success"]
    await world.unlock(session_id, handle)
    await world.quiet()
