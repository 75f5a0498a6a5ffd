"""Calls that run in a session: they count as use, and are cancelled when it ends."""

import anyio
import anyio.lowlevel
import pytest

from core.world import TUNING, World, opened
from holdfast.core.chores import touch_running
from holdfast.core.manager import ENDED_TOPIC, Manager
from holdfast.core.model import Message, Reason, Record, Ref
from holdfast.core.together import together
from holdfast.errors import (
    SessionEnded,
    StoreUnavailable,
)


@pytest.mark.parametrize("told", ["here", "by another worker"])
async def test_a_running_call_is_cancelled_when_a_session_above_it_ends(manager: Manager, told: str) -> None:  # E18
    session = await opened(manager)
    below = await manager.open("backend", parent=session, named=False)
    entered = anyio.Event()

    async def call() -> None:
        with pytest.raises(SessionEnded):
            async with manager.running(below):
                entered.set()
                await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await entered.wait()
            if told == "here":
                await manager.end(session, Reason.LOGOUT)
            else:
                manager.hear(Message(ENDED_TOPIC, session.key))
    assert manager.calls == {}


@pytest.mark.parametrize("where", ["in it", "below it"])
async def test_a_call_goes_with_its_session_when_that_is_hung_below_a_logon(
    manager: Manager, where: str
) -> None:  # E18, E20
    session = await opened(manager)
    logon = await manager.open("security", owner="ann")
    place = session if where == "in it" else await manager.open("backend", parent=session, named=False)
    with anyio.fail_after(1), pytest.raises(SessionEnded):
        async with manager.running(place):
            await manager.rotate(session, parent=logon)
            await manager.end(logon, Reason.LOGOUT)
            await anyio.sleep_forever()
    assert manager.calls == {}


async def test_an_end_that_is_stored_succeeds_although_others_cannot_be_told(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:  # E14
    async def down(*_: object) -> None:
        raise StoreUnavailable("down")

    session = await opened(manager)
    monkeypatch.setattr(manager.store.channel, "publish", down)
    assert await manager.end(session, Reason.ADMIN)
    assert await manager.current(session.ref)
    others = [await opened(manager) for _ in range(6)]
    assert len(others) == 6, "replacing one tells of its end as well"


async def test_two_calls_in_one_session_both_count_as_running(manager: Manager) -> None:  # E18
    session = await opened(manager)
    async with manager.running(session):
        async with manager.running(session):
            assert len(manager.calls[session.key]) == 2
        assert len(manager.calls[session.key]) == 1


async def test_a_call_that_its_caller_withdraws_ends_without_an_error(manager: Manager) -> None:  # E18
    session = await opened(manager)
    running, done = manager.running(session), False
    with anyio.fail_after(1):
        async with running:
            running.withdraw()
            await anyio.sleep_forever()
        done = True
    assert done
    assert not manager.calls


async def test_a_running_call_counts_as_use_for_as_long_as_it_runs(manager: Manager, world: World) -> None:  # E7
    session = await opened(manager)
    async with manager.running(session):
        for _ in range(8):
            world.now += 60.0
            await touch_running(manager)
    assert (await manager.get(session.ref)).record.busy_until == world.now + TUNING.lease_ttl


async def test_a_call_that_its_caller_watches_is_cancelled_when_told_and_not_looked_at_otherwise(
    manager: Manager, world: World
) -> None:  # E18
    session = await opened(manager)
    with anyio.fail_after(1), pytest.raises(SessionEnded):
        async with manager.running(session, watched=True):
            await touch_running(manager)
            assert (await manager.get(session.ref)).record.busy_until == 0.0
            await manager.store.sessions.end(session.ref, Reason.ADMIN, now=world.now)
            await touch_running(manager)
            await anyio.sleep(0)
            manager.hear(Message(ENDED_TOPIC, session.key))
            await anyio.sleep_forever()


async def test_others_have_their_turn_between_two_of_many_errands() -> None:
    done = 0

    async def errand(number: int) -> None:
        nonlocal done
        done += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(together, errand, range(10_000))
        for _ in range(5):
            await anyio.sleep(0)
        assert 0 < done < 1000
    assert done == 10_000


@pytest.mark.parametrize("why", ["its time is up", "nobody said that it was ended", "its row has gone"])
async def test_a_call_in_a_session_that_is_no_longer_live_is_cancelled(
    manager: Manager, world: World, why: str
) -> None:  # E18
    session = await opened(manager)
    with anyio.fail_after(1), pytest.raises(SessionEnded):
        async with manager.running(session):
            if why == "its time is up":
                world.now = session.record.ends_at
            else:
                await manager.store.sessions.end(session.ref, Reason.ADMIN, now=world.now)
            if why == "its row has gone":
                await manager.store.sessions.delete([session.ref])
            await touch_running(manager)
            await anyio.sleep_forever()


async def test_a_call_in_a_session_that_moved_to_another_tree_goes_on(manager: Manager, world: World) -> None:  # E20
    session = await opened(manager)
    elsewhere = await manager.get(session.ref)
    logon = await manager.open("security", owner="ann")
    async with manager.running(session):
        await manager.rotate(elsewhere, parent=logon)
        await touch_running(manager)
        await anyio.sleep(0)
    assert (await manager.get(elsewhere.ref)).record.busy_until == world.now + TUNING.lease_ttl


async def test_a_call_in_a_session_that_moves_while_its_use_is_recorded_goes_on(
    manager: Manager, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # E18, E20
    session = await opened(manager)
    elsewhere = await manager.get(session.ref)
    logon = await manager.open("security", owner="ann")
    current = manager.current

    async def then_it_moves(ref: Ref) -> Record | None:
        found = await current(ref)
        if elsewhere.record.parent is None:
            await manager.rotate(elsewhere, parent=logon)
        return found

    async with manager.running(session):
        monkeypatch.setattr(manager, "current", then_it_moves)
        await touch_running(manager)
        await anyio.sleep(0)
    assert (await manager.get(elsewhere.ref)).record.busy_until == world.now + TUNING.lease_ttl


async def test_a_call_that_ends_its_own_session_may_finish_while_others_in_it_are_cancelled(
    manager: Manager,
) -> None:  # E18, S4
    session = await opened(manager)
    entered = anyio.Event()

    async def other() -> None:
        with pytest.raises(SessionEnded):
            async with manager.running(session):
                entered.set()
                await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)
            await entered.wait()
            call = manager.running(session)
            async with call:
                call.let_go()
                await manager.end(session, Reason.LOGOUT)
                await anyio.lowlevel.checkpoint()
    assert manager.calls == {}
