"""Servers killed with SIGKILL in the middle of an agent's work: the same session and lock handle go on elsewhere."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

from e2e.abap_world import CLASS, MODERN, PATIENCE_S, AbapWorld, Agent, Wire, abap_world

NUMBERS = itertools.count(1)
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
    """A workflow whose server is killed while a request of it is on its way to the system."""

    def __init__(self, world: AbapWorld, wire: Wire, name: str) -> None:
        self.world, self.wire, self.name = world, wire, name
        self.source = CLASS.source(name, nonce=name)
        self.named: dict[str, str] = {}
        self.lock_handle, self.victim, self.began = "", -1, 0.0

    @property
    def held(self) -> dict[str, str]:
        return {**self.named, "lock_handle": self.lock_handle}

    async def begin(self) -> None:
        """Create a class."""
        self.named = {"class_name": self.name, "session_id": (await self.wire.done("GetSession"))["session_id"]}
        await self.wire.done("CreateClass", **self.named)

    async def lock(self) -> None:
        self.lock_handle = (await self.wire.done("LockClass", **self.named))["lock_handle"]

    async def update(self) -> dict[str, Any]:
        """Update, for the first time or again, always with the same text."""
        with anyio.fail_after(TAKEOVER_S):
            answer = await self.wire.done("UpdateClass", **self.held, source_code=self.source)
        assert answer["outcome"] == "applied"
        return answer

    async def unlock(self) -> None:
        assert (await self.wire.done("UnlockClass", **self.held))["outcome"] == "applied"

    async def finish(self) -> None:
        """Activate, and see that the source was written once and nothing stays."""
        assert (await self.wire.done("ActivateClass", **self.named))["outcome"] == "applied"
        assert (await self.wire.done("ReadClass", **self.named, version="active"))["source_code"] == self.source
        await self.wire.done("CloseSession", session_id=self.named["session_id"])
        assert await self.world.sap.written(self.name) == 1
        await self.world.nothing_left()

    async def status_of_the_late_one(self) -> int:
        """Wait until the request that was held up is through, and return how it was answered."""
        while True:
            for request in reversed(await self.world.sap.requests()):
                if "delay" in request["faults"] and self.began <= request["at"]:
                    return int(request["status"])
            await anyio.sleep(0.05)

    @asynccontextmanager
    async def killed_during(self, tool: str, **given: str) -> AsyncIterator[None]:
        """Call a tool and kill its server once the system works on it; at the end start that server again."""
        sap, workers = self.world.sap, self.world.workers
        await sap.switch(delay_s=SLOW_S)
        async with self._lost(tool, given):
            while not await sap.running():
                await anyio.sleep(0.02)
            await sap.switch(delay_s=0)
        yield
        await sap.switch(serialise_close=True)
        await workers.start(self.victim)

    @asynccontextmanager
    async def killed_before(self, request: dict[str, str], tool: str, **given: str) -> AsyncIterator[None]:
        """Call a tool and kill its server while a request to the system is on its way; it arrives there late."""
        sap, workers = self.world.sap, self.world.workers
        self.began = (await sap.requests())[-1]["at"]
        await sap.fault("delay", seconds=LATE_S, **request)
        async with self._lost(tool, given):
            while await sap.faults_left():
                await anyio.sleep(0.02)
        yield
        await workers.start(self.victim)

    @asynccontextmanager
    async def _lost(self, tool: str, given: dict[str, str]) -> AsyncIterator[None]:
        """Call a tool; at the end of the block kill the server that carries it out."""
        workers = self.world.workers
        before = list(workers.served)

        async def lost() -> None:
            with pytest.raises(httpx2.TransportError):
                await self.wire.call(tool, **given)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lost)
            with anyio.fail_after(PATIENCE_S):
                yield
            self.victim = next(number for number in (0, 1) if workers.served[number] > before[number])
            await workers.kill(self.victim)


@pytest.fixture
async def work(world: AbapWorld) -> Interrupted:
    """A workflow that has created its class."""
    made = Interrupted(world, world.wire(), f"ZCL_KILL_{next(NUMBERS)}")
    await made.begin()
    return made


async def test_a_lock_on_its_way_when_its_server_is_killed_is_undone_and_taken_again(work: Interrupted) -> None:
    # A5, A6: nobody has learnt of the context it was taken in
    with anyio.fail_after(PATIENCE_S):
        async with work.killed_during("LockClass", **work.named):
            await work.lock()
            assert await work.world.sap.locked() == [work.name]
            await work.update()
            await work.unlock()
            await work.finish()


async def test_a_put_running_when_its_server_is_killed_finishes_and_is_not_sent_again(work: Interrupted) -> None:
    # A5, A6: SAP serialises per context, so the end of the context waits for the PUT
    with anyio.fail_after(PATIENCE_S):
        await work.lock()
        async with work.killed_during("UpdateClass", **work.held, source_code=work.source):
            assert "written already" in (await work.update())["message"]
            await work.unlock()
            await work.finish()


async def test_a_put_whose_context_is_closed_under_it_is_sent_again(work: Interrupted) -> None:
    # A5: the other order of events, which is not captured from real systems
    with anyio.fail_after(PATIENCE_S):
        await work.lock()
        await work.world.sap.switch(serialise_close=False)
        async with work.killed_during("UpdateClass", **work.held, source_code=work.source):
            await work.update()
            await work.unlock()
            await work.finish()


async def test_a_put_that_arrives_after_its_server_was_killed_and_replaced_is_refused(work: Interrupted) -> None:
    # A2, A5: the late request carries cookies of a dead session and no credentials
    with anyio.fail_after(PATIENCE_S):
        await work.lock()
        async with work.killed_before({"method": "PUT"}, "UpdateClass", **work.held, source_code=work.source):
            await work.update()
            await work.unlock()
            await work.finish()
            assert await work.status_of_the_late_one() == 401


async def test_a_put_nobody_asks_about_again_is_settled_and_its_lock_goes_with_the_session(work: Interrupted) -> None:
    # A4, A5
    with anyio.fail_after(PATIENCE_S):
        await work.lock()
        async with work.killed_during("UpdateClass", **work.held, source_code=work.source):
            await work.wire.done("CloseSession", session_id=work.named["session_id"])
            await work.world.nothing_left(TAKEOVER_S)
        assert await work.world.sap.written(work.name) == 1


async def test_an_unlock_running_when_its_server_is_killed_is_settled_by_the_end_of_its_context(
    work: Interrupted,
) -> None:
    # A4, A5
    with anyio.fail_after(PATIENCE_S):
        await work.lock()
        await work.update()
        async with work.killed_during("UnlockClass", **work.held):
            await work.unlock()
            await work.world.sap.free(work.name)
            await work.finish()


async def test_an_activation_on_its_way_when_its_server_is_killed_can_be_asked_for_again(work: Interrupted) -> None:
    # A5
    with anyio.fail_after(PATIENCE_S):
        await work.lock()
        await work.update()
        await work.unlock()
        async with work.killed_before({"path": "activation$"}, "ActivateClass", **work.named):
            await work.finish()
            assert await work.status_of_the_late_one() == 401
