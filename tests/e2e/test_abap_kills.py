"""Servers killed with SIGKILL in the middle of an agent's work: the same session and lock handle go on elsewhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

from e2e.abap_world import CLASS, MODERN, PATIENCE_S, AbapWorld, Agent, Wire, abap_world

LEASE_TTL_S = 1.0
TAKEOVER_S = 20.0  # A5
SLOW_S, LATE_S = 2.0, 3.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AbapWorld]:
    """A system and two servers; every test leaves both running."""
    async with abap_world(tmp_path_factory.mktemp("kills"), lease_ttl=str(LEASE_TTL_S)) as opened:
        yield opened


async def finish(agent: Agent, held: dict[str, str], source: str) -> None:
    """Do the second half of the workflow, and see that the source has arrived."""
    named = {name: value for name, value in held.items() if name != "lock_handle"}
    assert (await agent.done("UpdateClass", **held, source_code=source))["outcome"] == "applied"
    assert (await agent.done("UnlockClass", **held))["outcome"] == "applied"
    assert (await agent.done("ActivateClass", **named))["outcome"] == "applied"
    assert await agent.source(named, "active") == source
    await agent.done("CloseSession", session_id=held["session_id"])


@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_all_servers_killed_after_lock_and_started_again_go_on_with_session_and_handle(
    world: AbapWorld, mode: str
) -> None:
    # A5, M6
    name = f"ZCL_KILL_ALL_{mode[:4].upper()}"
    with anyio.fail_after(PATIENCE_S):
        async with world.agent(mode) as agent:
            held = await agent.locked(name)
            for number in (0, 1):
                await world.workers.kill(number)
            assert await world.sap.locked() == [name]
            async with anyio.create_task_group() as starting:
                for number in (0, 1):
                    starting.start_soon(world.workers.start, number)
            await finish(agent, held, CLASS.source(name, nonce=name))
    assert await world.sap.written(name) == 1
    await world.nothing_left()


async def test_one_of_two_servers_killed_after_lock_leaves_the_other_going_on_at_once(world: AbapWorld) -> None:
    # A5: no operation was open, so the context is kept and nothing is locked again
    name = "ZCL_KILL_ONE"
    for victim in (0, 1):
        with anyio.fail_after(PATIENCE_S):
            async with world.agent() as agent:
                held = await agent.locked(f"{name}_{victim}")
                await world.workers.kill(victim)
                await finish(agent, held, CLASS.source(f"{name}_{victim}"))
            await world.workers.start(victim)
        assert await locks_taken(world, f"{name}_{victim}") == 1
    await world.nothing_left()


async def locks_taken(world: AbapWorld, name: str) -> int:
    """Return how often LOCK was sent for a class."""
    sent = await world.sap.requests()
    return sum(each["path"].endswith(name.lower()) and "_action=LOCK" in each["query"] for each in sent)


class Interrupted:
    """An UpdateClass whose server is killed while the PUT is on its way."""

    def __init__(self, world: AbapWorld, wire: Wire, name: str) -> None:
        self.world, self.wire, self.name = world, wire, name
        self.source = CLASS.source(name, nonce=name)
        self.held: dict[str, Any] = {}
        self.victim = -1

    async def update(self) -> dict[str, Any]:
        """Update again, with the same text."""
        with anyio.fail_after(TAKEOVER_S):
            return await self.wire.done("UpdateClass", **self.held, source_code=self.source)

    async def finish(self) -> None:
        """Unlock, and see that the source was written once and nothing stays."""
        named = {name: value for name, value in self.held.items() if name != "lock_handle"}
        assert (await self.wire.done("UnlockClass", **self.held))["outcome"] == "applied"
        read = await self.wire.done("ReadClass", **named, version="inactive")
        assert read["source_code"] == self.source
        await self.wire.done("CloseSession", session_id=self.held["session_id"])
        assert await self.world.sap.written(self.name) == 1
        await self.world.nothing_left()


@asynccontextmanager
async def killed_during_update(world: AbapWorld, name: str, *, in_context: bool) -> AsyncIterator[Interrupted]:
    """Lock, send an update that takes some seconds in the system, kill its server meanwhile; at the end start it again.

    `in_context`: the PUT has begun to run in its context; else it arrives there late.
    """
    wire, sap = world.wire(), world.sap
    work = Interrupted(world, wire, name)
    named = {"class_name": name, "session_id": (await wire.done("GetSession"))["session_id"]}
    await wire.done("CreateClass", **named)
    work.held = {**named, "lock_handle": (await wire.done("LockClass", **named))["lock_handle"]}
    await (sap.switch(delay_s=SLOW_S) if in_context else sap.fault("delay", method="PUT", seconds=LATE_S))
    before = list(world.workers.served)

    async def lost() -> None:
        with pytest.raises(httpx2.TransportError):
            await wire.call("UpdateClass", **work.held, source_code=work.source)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lost)
        with anyio.fail_after(PATIENCE_S):
            while not await sap.running() if in_context else await sap.faults_left():
                await anyio.sleep(0.02)
        await sap.switch(delay_s=0)
        work.victim = next(n for n in (0, 1) if world.workers.served[n] > before[n])
        await world.workers.kill(work.victim)
    yield work
    await sap.switch(serialise_close=True)
    await world.workers.start(work.victim)


async def test_a_put_running_when_its_server_is_killed_finishes_and_is_not_sent_again(world: AbapWorld) -> None:
    # A5, A6: SAP serialises per context, so the end of the context waits for the PUT
    with anyio.fail_after(PATIENCE_S):
        async with killed_during_update(world, "ZCL_KILL_PUT_RUNS", in_context=True) as work:
            answer = await work.update()
            assert answer["outcome"] == "applied"
            assert "written already" in answer["message"]
            await work.finish()


async def test_a_put_whose_context_is_closed_under_it_is_sent_again(world: AbapWorld) -> None:
    # A5: the other order of events, which is not captured from real systems
    await world.sap.switch(serialise_close=False)
    with anyio.fail_after(PATIENCE_S):
        async with killed_during_update(world, "ZCL_KILL_PUT_CUT", in_context=True) as work:
            assert (await work.update())["outcome"] == "applied"
            await work.finish()


async def test_a_put_that_arrives_after_its_server_was_killed_and_replaced_is_refused(world: AbapWorld) -> None:
    # A2, A5: the late request carries cookies of a dead session and no credentials
    with anyio.fail_after(PATIENCE_S):
        async with killed_during_update(world, "ZCL_KILL_PUT_LATE", in_context=False) as work:
            answer = await work.update()
            assert answer["outcome"] == "applied"
            await work.finish()
            while (late := [each for each in await world.sap.requests() if "delay" in each["faults"]]) == []:
                await anyio.sleep(0.05)
            assert [request["status"] for request in late] == [401]


async def test_a_put_nobody_asks_about_again_is_settled_and_its_lock_goes_with_the_session(world: AbapWorld) -> None:
    # A4, A5
    with anyio.fail_after(PATIENCE_S):
        async with killed_during_update(world, "ZCL_KILL_PUT_LEFT", in_context=True) as work:
            answer = await work.wire.done("CloseSession", session_id=work.held["session_id"])
            assert answer["success"]
            await world.nothing_left(TAKEOVER_S)
    assert await world.sap.written(work.name) == 1
