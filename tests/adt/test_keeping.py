"""A lock is kept alive while its client may still come, and given up when it does not (A3)."""

import pytest

from adt.world import CLASS, ME, World, open_world
from holdfast.errors import LockLostError


def touches(world: World, since: int) -> int:
    return sum(
        request["path"].endswith("/sessions") and request["session_type"] == "stateful"
        for request in list(world.sim.journal.requests)[since:]
    )


async def test_a_held_context_is_touched_every_two_minutes_and_outlives_its_time_out() -> None:
    # A3
    async with open_world(keeper=False, lock_hold_limit=100_000) as world:
        session_id, handle = await world.locked()
        for minutes in range(1, 41):
            before = world.sent
            await world.pass_time(60)
            assert touches(world, before) == (minutes % 2 == 0)
        assert (world.contexts, world.locks) == (1, [("DEVELOPER", CLASS)])
        assert (await world.update(session_id, handle))["success"]


async def test_a_short_announced_time_out_is_touched_at_a_third_of_it() -> None:
    # A3
    async with open_world(keeper=False, lock_hold_limit=100_000) as world:
        world.switch(context_timeout_s=90, session_timeout_s=90)
        _, _ = await world.locked()
        before = world.sent
        for _ in range(10):
            await world.pass_time(30)
        assert touches(world, before) == 10
        assert world.contexts == 1


async def test_a_call_counts_as_a_touch(still: World) -> None:
    # A3
    session_id, handle = await still.locked()
    await still.pass_time(100)
    await still.update(session_id, handle)
    before = still.sent
    await still.pass_time(100)
    assert touches(still, before) == 0
    await still.pass_time(20)
    assert touches(still, before) == 1


async def test_a_lock_its_client_does_not_use_is_given_up_and_the_next_call_is_told_why(still: World) -> None:
    # A3: keeping alive never counts as use
    session_id, handle = await still.locked()
    for _ in range(7):
        await still.pass_time(120)
    assert still.locks == [("DEVELOPER", CLASS)]
    await still.pass_time(60)
    assert (still.contexts, still.locks) == (0, [])
    with pytest.raises(LockLostError, match=r"ZCL_NEW has been released \(reason: idle\)") as lost:
        await still.update(session_id, handle)
    assert lost.value.hint == "Lock the object again, read it, and repeat the update."
    assert (await still.update(session_id, await still.lock(session_id)))["success"]


@pytest.mark.parametrize("use", ["update", "check", "read", "check with handle"])
async def test_every_call_about_the_object_is_use(still: World, use: str) -> None:
    # A3: the limit counts from the client's last call about that object
    session_id, handle = await still.locked()
    for _ in range(3):
        for _ in range(4):
            await still.pass_time(200)
        match use:
            case "update":
                await still.update(session_id, handle)
            case "check":
                await still.abap.check(ME, "class", CLASS, session_id=session_id)
            case "read":
                await still.source(session_id)
            case _:
                await still.abap.check(ME, "class", CLASS, lock_handle=handle, session_id=session_id)
    assert still.locks == [("DEVELOPER", CLASS)]


async def test_a_call_about_another_object_is_not(still: World) -> None:
    # A3
    session_id, _ = await still.locked()
    await still.abap.create(ME, "class", "ZCL_OTHER", session_id=session_id)
    for _ in range(8):
        await still.pass_time(120)
        await still.source(session_id, "ZCL_OTHER")
    assert still.locks == []


async def test_a_context_found_lost_ends_the_lock_and_halves_the_interval_of_the_system(still: World) -> None:
    # A3
    session_id, handle = await still.locked()
    still.fault("expire_context", path="sessions")
    await still.pass_time(120)
    assert await still.records("lock") == []
    with pytest.raises(LockLostError, match="backend_gone"):
        await still.update(session_id, handle)
    await still.lock(session_id)
    before = still.sent
    await still.pass_time(60)
    assert touches(still, before) == 1


async def test_a_system_that_does_not_answer_is_asked_again_and_the_lock_kept(still: World) -> None:
    # A3
    session_id, handle = await still.locked()
    still.fault("cut_before", path="sessions")
    await still.pass_time(120)
    await still.pass_time(5)
    assert (await still.update(session_id, handle))["success"]


async def test_a_system_that_is_down_while_a_lock_is_closed_gets_it_closed_when_it_is_back(still: World) -> None:
    # A4
    session_id, handle = await still.locked()
    await still.unlock(session_id, handle)
    still.fault("cut_before", times=3)
    await still.pass_time(1)
    assert still.contexts == 1
    for _ in range(5):
        await still.pass_time(10)
    assert (still.contexts, await still.records("lock")) == (0, [])


async def test_a_lock_that_cannot_be_closed_is_stranded_and_listed_with_what_to_do_by_hand(still: World) -> None:
    # A7, E16
    session_id, handle = await still.locked()
    await still.unlock(session_id, handle)
    still.fault("cut_before", times=0)
    for _ in range(20):
        await still.pass_time(60)
    [lock] = (await still.abap.list_locks(ME))["locks"]
    assert (lock["state"], lock["sm12"]) == ("stranded", {"user": "DEVELOPER", "argument": CLASS})
    still.sim.faults.rules.clear()
    await still.pass_time(3600)
    assert (still.contexts, await still.records("lock")) == (0, [])
