"""Quotas per SAP user and per client: sessions, locks, calls in flight; giving back never waits (A29)."""

from collections import Counter
from typing import Any

import anyio
import pytest

from adt.world import CLASS, GOOD, ME, OTHER, World, open_world
from holdfast.adt.desk import Caller
from holdfast.backend.wire import Call, Reply
from holdfast.config import KindSettings
from holdfast.errors import QuotaExceeded, SessionExpiredError

FULL = {"quota_calls": 1, "quota_wait": 0.05}
PATIENT = {"quota_calls": 1, "quota_wait": 5.0}


def place(world: World, agent: bytes = b"somebody") -> Any:
    """Take one of the places for calls in flight."""
    system = world.systems.get()
    return world.systems.quotas.call(system.account, system.settings, client="somebody", agent=agent)


class Slow:
    """Every request takes a while; `most` is how many were on their way at once."""

    def __init__(self, world: World) -> None:
        self.most = self._flying = 0
        wire = world.systems.get().wire
        self._send = wire.send
        wire.send = self.send  # type: ignore[method-assign]

    async def send(self, call: Call, headers: Any, **more: Any) -> Reply:
        self._flying += 1
        self.most = max(self.most, self._flying)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        self._flying -= 1
        return await self._send(call, headers, **more)


async def outcomes(calls: list[Any]) -> Counter[str]:
    """Run calls at once and count how they ended."""
    ended: Counter[str] = Counter()

    async def run(call: Any) -> None:
        try:
            await call()
        except QuotaExceeded as error:
            ended[error.code] += 1
        else:
            ended["done"] += 1

    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(run, call)
    return ended


async def test_of_many_agents_at_once_as_many_get_a_session_as_the_sap_user_may_have() -> None:
    async with open_world(quotas={"quota_sessions": 3}) as world:
        calls = [lambda n=n: world.session(Caller(f"agent{n}")) for n in range(12)]
        assert await outcomes(calls) == {"done": 3, "quota_exceeded": 9}
        assert world.logons == 3
        assert len([r for r in await world.records("workspace") if r.state == "live"]) == 3
        before = world.sent
        with pytest.raises(QuotaExceeded, match=r"sessions is used up: 3 for simulator 001 DEVELOPER") as full:
            await world.session(Caller("late"))
        assert world.sent == before  # no logon in vain
        assert (full.value.retry_after, "ListSessions" in full.value.hint) == (30.0, True)


async def test_a_session_that_is_closed_makes_room_for_another() -> None:
    async with open_world(quotas={"quota_sessions": 1}) as world:
        first = await world.session()
        with pytest.raises(QuotaExceeded):
            await world.session(OTHER)
        await world.abap.close_session(ME, first)
        await world.session(OTHER)
        assert world.logons == 1


async def test_of_many_locks_at_once_as_many_are_taken_as_the_sap_user_may_hold() -> None:
    async with open_world(quotas={"quota_locks": 2}) as world:
        names = [f"ZCL_Q{number}" for number in range(5)]
        session_id = await world.session()
        for name in names:
            await world.abap.create(ME, "class", name, session_id=session_id)
        calls = [lambda name=name: world.lock(session_id, name=name) for name in names]
        assert await outcomes(calls) == {"done": 2, "quota_exceeded": 3}
        assert len(world.locks) == 2
        [held, _] = (await world.abap.list_locks(ME))["locks"]
        name = held["object"].removeprefix("CLAS/OC ")
        await world.unlock(session_id, await world.lock(session_id, name=name), name)
        await world.quiet_but(1)
        await world.lock(session_id, name=name)
        assert len(world.locks) == 2


async def test_nobody_loses_a_lock_to_another_whatever_the_settings_say() -> None:
    replacing = KindSettings(policy="replace_oldest")
    async with open_world(quotas={"quota_locks": 1}, kinds={"lock": replacing, "backend": replacing}) as world:
        await world.locked()
        with pytest.raises(QuotaExceeded):
            await world.locked(OTHER, "ZCL_TWO")
        assert world.locks == [("DEVELOPER", CLASS)]


async def test_one_client_may_not_take_it_all_from_another() -> None:
    async with open_world(kinds={"lock": KindSettings(per_principal=1)}) as world:
        session_id, _ = await world.locked()
        await world.abap.create(ME, "class", "ZCL_TWO", session_id=session_id)
        with pytest.raises(QuotaExceeded, match="1 for one client"):
            await world.lock(session_id, name="ZCL_TWO")
        await world.lock(await world.session(OTHER), OTHER, "ZCL_TWO")
        assert len(world.locks) == 2


async def test_never_more_calls_are_in_flight_than_allowed_and_no_agent_starves() -> None:
    async with open_world(quotas={"quota_calls": 2}) as world:
        sessions = [await world.session(Caller(f"agent{n}")) for n in range(4)]
        slow, order = Slow(world), []

        async def search(number: int) -> None:
            await world.abap.search(Caller(f"agent{number}"), "ZCL_HF*", session_id=sessions[number])
            order.append(number)

        async with anyio.create_task_group() as tasks:
            for number in [0] * 30 + [1, 2, 3]:
                tasks.start_soon(search, number)
        assert slow.most == 2
        assert max(order.index(number) for number in (1, 2, 3)) < 10


async def test_an_agent_that_shares_a_logon_waits_one_turn_for_another_with_many_calls(world: World) -> None:
    greedy, modest, order = await world.session(), await world.session(), []
    assert world.logons == 1
    Slow(world)

    async def search(session_id: str) -> None:
        await world.abap.search(ME, "ZCL_HF*", session_id=session_id)
        order.append(session_id)

    async with anyio.create_task_group() as tasks:
        for session_id in [greedy] * 30 + [modest]:
            tasks.start_soon(search, session_id)
    assert order.index(modest) < 5


async def test_a_call_refused_by_the_quota_was_not_sent_and_its_lock_stays() -> None:
    async with open_world(quotas=FULL) as world:
        session_id, handle = await world.locked()
        before = world.sent
        async with place(world):
            for call in (world.update(session_id, handle), world.source(session_id), world.session(OTHER)):
                with pytest.raises(QuotaExceeded):
                    await call
        assert world.sent == before
        assert (await world.abap.list_drafts(ME))["drafts"] == []  # nothing is lost: the same call is sent again
        assert (await world.update(session_id, handle))["outcome"] == "applied"
        assert world.requests(before) == ["PUT main"]


async def test_giving_back_does_not_wait_behind_a_full_quota() -> None:
    async with open_world(quotas=PATIENT) as world:
        session_id, handle = await world.locked()
        async with place(world), anyio.create_task_group() as tasks:

            async def wait_in_vain() -> None:
                with pytest.raises(SessionExpiredError):
                    await world.update(session_id, handle)

            tasks.start_soon(wait_in_vain)
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(2):
                assert (await world.unlock(session_id, handle))["success"]
                assert world.locks == []
                assert (await world.abap.close_session(ME, session_id))["success"]
                assert (world.contexts, world.logons) == (0, 0)


async def test_who_waits_is_told_when_the_session_ends_and_does_not_hold_up_its_closing() -> None:
    async with open_world(quotas=PATIENT) as world:
        session_id, handle = await world.locked()
        told: list[str] = []

        async def wait(call: Any) -> None:
            with pytest.raises(SessionExpiredError) as ended:
                await call
            told.append(ended.value.code)

        async with place(world), anyio.create_task_group() as tasks:
            tasks.start_soon(wait, world.update(session_id, handle))
            tasks.start_soon(wait, world.source(session_id))
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(2):
                assert (await world.abap.close_session(ME, session_id))["message"] == "Session closed."
        assert told == ["session_expired"] * 2
        assert (world.contexts, world.locks, world.logons) == (0, [], 0)


async def test_keeping_alive_does_not_wait_behind_a_full_quota() -> None:
    async with open_world(keeper=False, quotas=PATIENT) as world:
        await world.locked()
        before = world.sent
        async with place(world):
            await world.pass_time(130)
        assert world.requests(before) == ["GET sessions"]
        assert world.locks == [("DEVELOPER", CLASS)]


async def test_the_workflow_needs_no_more_than_one_place() -> None:
    async with open_world(quotas=PATIENT) as world:
        session_id, handle = await world.locked()
        world.fault("cut_after", method="PUT")
        with anyio.fail_after(4):
            assert (await world.update(session_id, handle, GOOD))["outcome"] == "applied"
            await world.unlock(session_id, handle)
            world.sim.restart()
            assert (await world.abap.activate(ME, "class", CLASS, session_id=session_id))["success"]
            assert (await world.abap.delete(ME, "class", CLASS, session_id=session_id))["success"]
