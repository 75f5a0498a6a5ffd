"""SIGTERM in the middle of work (M18): what runs finishes, what is new goes elsewhere, and nobody waits for a lease.

Leases last 15 s here, as by default: whatever goes on sooner at the other server was given back.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest

from e2e.abap_world import CLASS, PATIENCE_S, AbapWorld, Wire, abap_world, call_of
from e2e.mcp_world import LEGACY, initialize
from e2e.wire import JSON_HEADERS

SLOW_S = 2.0
GRACE_S = 4.0
SOON_S = 1.0  # far less than a lease lasts
KEEPER_TURN_S = 5.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AbapWorld]:
    """A system and two servers; every test leaves both running."""
    folder = tmp_path_factory.mktemp("shutdown")
    async with abap_world(folder, shutdown_timeout=str(GRACE_S)) as opened:
        yield opened


def at(world: AbapWorld, number: int, path: str = "/mcp") -> str:
    """Return the address of one of the servers, past the proxy."""
    return f"http://127.0.0.1:{world.workers.ports[number]}{path}"


async def begun(wire: Wire, name: str) -> dict[str, str]:
    """Create a class and lock it."""
    named = {"class_name": name, "session_id": (await wire.done("GetSession"))["session_id"]}
    await wire.done("CreateClass", **named)
    return {**named, "lock_handle": (await wire.done("LockClass", **named))["lock_handle"]}


class Stopped:
    """A server that is told to stop while an update runs in it: how the update was answered, and the exit code."""

    def __init__(self, world: AbapWorld, held: dict[str, str]) -> None:
        self.world, self.held = world, held
        self.source = CLASS.source(held["class_name"], nonce=held["class_name"])
        self.answers: list[httpx2.Response] = []
        self.code: int | None = None

    @asynccontextmanager
    async def draining(self, delay: float) -> AsyncIterator[None]:
        """Run the block after SIGTERM while the system takes its time for the update; at the end both are over."""
        with anyio.fail_after(PATIENCE_S):
            await self.world.sap.fault("delay", method="PUT", seconds=delay)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._update)
                while await self.world.sap.faults_left():
                    await anyio.sleep(0.02)
                tasks.start_soon(self._stop)
                yield

    async def _update(self) -> None:
        body = call_of("UpdateClass", **self.held, source_code=self.source)
        self.answers.append(await self.world.wire(at(self.world, 0)).body(body, "UpdateClass"))

    async def _stop(self) -> None:
        self.code = await self.world.workers.stop(0)

    async def goes_on(self) -> float:
        """Do the rest of the workflow at the other server, and return how many seconds its first step took."""
        wire, named = self.world.wire(at(self.world, 1)), {**self.held}
        began = time.monotonic()
        answer = await wire.done("UpdateClass", **self.held, source_code=self.source)
        took = time.monotonic() - began
        assert answer["outcome"] == "applied"
        await wire.done("UnlockClass", **self.held)
        del named["lock_handle"]
        await wire.done("ActivateClass", **named)
        await wire.done("CloseSession", session_id=named["session_id"])
        await self.world.nothing_left()
        await self.world.workers.start(0)
        return took


async def test_a_running_call_finishes_and_its_session_goes_on_elsewhere_without_waiting_for_a_lease(
    world: AbapWorld,
) -> None:
    # M18, A5
    stopped = Stopped(world, await begun(world.wire(at(world, 0)), "ZCL_STOP_RUN"))
    async with stopped.draining(SLOW_S):
        pass
    [answer] = stopped.answers
    assert answer.json()["result"]["structuredContent"]["outcome"] == "applied"
    assert stopped.code == 0
    assert await world.sap.locked() == ["ZCL_STOP_RUN"]
    assert await stopped.goes_on() < SOON_S
    assert await world.sap.written("ZCL_STOP_RUN") == 1


async def test_while_it_drains_a_server_is_alive_but_unready_and_refuses_new_work(world: AbapWorld) -> None:
    # M18
    stopped = Stopped(world, await begun(world.wire(at(world, 0)), "ZCL_STOP_NEW"))
    async with stopped.draining(SLOW_S), httpx2.AsyncClient() as http:
        began = time.monotonic()
        while (await http.get(at(world, 0, "/readyz"))).status_code != 503:
            await anyio.sleep(0.01)
        assert time.monotonic() - began < SOON_S
        assert (await http.get(at(world, 0, "/livez"))).status_code == 200
        new = await http.post(at(world, 0), json=initialize(), headers=JSON_HEADERS)
        assert (new.status_code, new.headers["retry-after"]) == (503, "2")
        assert (await http.get(at(world, 1, "/readyz"))).status_code == 200
        assert stopped.answers == []
    assert (len(stopped.answers), stopped.code) == (1, 0)
    await stopped.goes_on()


async def test_a_call_that_takes_too_long_is_given_up_and_what_it_sent_is_settled_elsewhere(world: AbapWorld) -> None:
    # M18, E18: the request to the system is not cut off; the server waits for its answer before it ends
    stopped = Stopped(world, await begun(world.wire(at(world, 0)), "ZCL_STOP_LATE"))
    async with stopped.draining(GRACE_S + SLOW_S):
        pass
    [answer] = stopped.answers
    assert (answer.status_code, answer.json()["error"]["data"]["code"]) == (503, "server_stopping")
    assert stopped.code == 0
    assert await stopped.goes_on() < SOON_S
    assert await world.sap.written("ZCL_STOP_LATE") == 1


async def test_a_stream_ends_and_begins_again_at_the_other_server_at_once(world: AbapWorld) -> None:
    # M18
    async with httpx2.AsyncClient(timeout=PATIENCE_S) as http:
        opened = await http.post(at(world, 0), json=initialize(), headers=JSON_HEADERS)
        named = {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": LEGACY}
        stream = {**named, "accept": "text/event-stream"}
        with anyio.fail_after(PATIENCE_S):
            async with http.stream("GET", at(world, 0), headers=stream) as first, anyio.create_task_group() as tasks:
                tasks.start_soon(world.workers.stop, 0)
                async for _ in first.aiter_raw():
                    pass
            began = time.monotonic()
            async with http.stream("GET", at(world, 1), headers=stream) as second:
                assert second.status_code == 200
                assert time.monotonic() - began < SOON_S
            assert (await http.delete(at(world, 1), headers=named)).status_code == 204
            await world.workers.start(0)


async def test_what_a_server_was_closing_is_closed_by_the_other_one_within_a_keepers_turn(world: AbapWorld) -> None:
    # M18, E15
    held = await begun(world.wire(at(world, 0)), "ZCL_STOP_CLOSING")
    close = call_of("CloseSession", session_id=held["session_id"])
    with anyio.fail_after(PATIENCE_S):
        await world.sap.fault("delay", path="logoff", seconds=GRACE_S * 3)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.wire(at(world, 0)).body, close, "CloseSession")
            while await world.sap.faults_left():
                await anyio.sleep(0.02)
            assert await world.workers.stop(0) == 0
        assert await world.sap.rows("sm05") != []
        await world.nothing_left(within=KEEPER_TURN_S + SOON_S)
        await world.workers.start(0)
