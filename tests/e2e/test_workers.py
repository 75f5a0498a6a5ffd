"""`holdfast serve --workers 2`: one port, two processes, and every request, stream and duty at either of them.

While a worker is stopped with SIGSTOP it takes no connection, so a connection made then is certainly the other one's.
"""

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from e2e.abap_world import CLASS, PATIENCE_S, AbapWorld, abap_world, call_of
from e2e.mcp_world import LEGACY, MODERN, initialize, notification
from e2e.wire import JSON_HEADERS
from holdfast.core.sealing import new_key_text
from stores.stores import Place

HOLD_LIMIT_S = 2.0
START_S = 60.0
GONE_S = 5.0


@asynccontextmanager
async def one_port(folder: Path, **settings: str) -> AsyncIterator[AbapWorld]:
    """A system, and one server of two workers."""
    async with abap_world(folder, count=1, workers="2", **settings) as world:
        with anyio.fail_after(START_S):
            while len(workers_of(world)) < 2:
                await anyio.sleep(0.05)
        yield world


def workers_of(world: AbapWorld) -> list[int]:
    """Return the process ids of the workers, in the order in which they were started."""
    return children(world.workers.pid(0))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Say whether a process is there and more than an entry in a table."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def only(world: AbapWorld, number: int) -> Iterator[None]:
    """Let one worker alone run for the block."""
    others = [pid for position, pid in enumerate(workers_of(world)) if position != number]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


class Caller:
    """A client with a connection of its own to each worker; it says which of them gets a request."""

    def __init__(self, world: AbapWorld, connections: list[httpx2.AsyncClient]) -> None:
        self._url, self._connections = f"http://127.0.0.1:{world.workers.ports[0]}/mcp", connections
        self._session: dict[str, str] = {}

    async def handshake(self, worker: int) -> None:
        """Open a session of the legacy era."""
        answer = await self._post(worker, initialize(), {})
        named = {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": LEGACY}
        await self._post(worker, notification("notifications/initialized"), named)
        self._session = named

    async def done(self, worker: int, tool: str, **arguments: str) -> dict[str, Any]:
        """Call a tool at a worker and expect success."""
        body = json.loads(call_of(tool, **arguments))
        headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": tool}
        if self._session:
            del body["params"]["_meta"]
            headers = self._session
        answer = (await self._post(worker, body, headers)).json()["result"]["structuredContent"]
        assert answer.get("success") is True, answer
        return dict(answer)

    async def _post(self, worker: int, body: Any, headers: dict[str, str]) -> httpx2.Response:
        answer = await self._connections[worker].post(self._url, json=body, headers={**JSON_HEADERS, **headers})
        assert answer.status_code in (200, 202), answer.text
        return answer


@asynccontextmanager
async def caller(world: AbapWorld) -> AsyncIterator[Caller]:
    """Connect to each worker while the other is stopped: with the store locked, perhaps, so nothing is asked of it."""
    live = f"http://127.0.0.1:{world.workers.ports[0]}/livez"
    async with AsyncExitStack() as stack:
        connections = []
        for number in (0, 1):
            connections.append(await stack.enter_async_context(httpx2.AsyncClient(timeout=PATIENCE_S)))
            with only(world, number):
                assert (await connections[number].get(live)).status_code == 200
        yield Caller(world, connections)


@pytest.mark.parametrize("era", [LEGACY, MODERN])
async def test_session_lock_and_handle_go_on_at_whichever_worker_takes_the_request(
    shared_place: Place, tmp_path: Path, era: str
) -> None:
    # M6, A5
    name = "ZCL_ONE_PORT"
    place = {"store": shared_place.url, "namespace": shared_place.namespace, "keys": new_key_text()}
    async with one_port(tmp_path, **place) as world, caller(world) as client:
        with anyio.fail_after(PATIENCE_S):
            if era == LEGACY:
                await client.handshake(0)
            named = {"class_name": name, "session_id": (await client.done(1, "GetSession"))["session_id"]}
            await client.done(0, "CreateClass", **named)
            held = {**named, "lock_handle": (await client.done(1, "LockClass", **named))["lock_handle"]}
            await client.done(0, "UpdateClass", **held, source_code=CLASS.source(name))
            assert await world.sap.locked() == [name]
            await client.done(1, "UnlockClass", **held)
            await client.done(0, "ActivateClass", **named)
            read = await client.done(1, "ReadClass", **named, version="active")
            assert read["source_code"] == CLASS.source(name)
            await client.done(0, "CloseSession", session_id=named["session_id"])
        await world.nothing_left()


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_an_agent_whose_every_request_is_a_connection_of_its_own_notices_nothing(
    tmp_path: Path, mode: str
) -> None:
    # M5, M6
    async with one_port(tmp_path) as world:
        with anyio.fail_after(PATIENCE_S):
            async with world.agent(mode) as agent:
                for number in range(3):
                    held = await agent.locked(f"ZCL_MANY_{number}")
                    await agent.done("UpdateClass", **held, source_code=CLASS.source(f"ZCL_MANY_{number}"))
                    await agent.done("UnlockClass", **held)
                    await agent.done("CloseSession", session_id=held["session_id"])
        await world.nothing_left()


async def test_a_lock_is_released_and_its_session_reaped_whichever_worker_is_left(tmp_path: Path) -> None:
    # A3, A5, E15
    name = "ZCL_OTHERS_KEEP"
    clocks = {"lock_hold_limit": str(HOLD_LIMIT_S), "kinds__workspace__idle": "2", "cleanup_interval": "0.5"}
    async with one_port(tmp_path, lease_ttl="1.5", **clocks) as world, caller(world) as client:
        with anyio.fail_after(PATIENCE_S):
            named = {"class_name": name, "session_id": (await client.done(0, "GetSession"))["session_id"]}
            await client.done(0, "CreateClass", **named)
            await client.done(0, "LockClass", **named)
            os.kill(workers_of(world)[0], signal.SIGKILL)
            assert await world.sap.locked() == [name]
            await world.sap.free(name, within=HOLD_LIMIT_S + GONE_S)
            await world.nothing_left(HOLD_LIMIT_S + GONE_S)


async def test_a_worker_that_is_killed_is_replaced_and_nobody_notices(tmp_path: Path) -> None:
    # A5
    name = "ZCL_REPLACED"
    async with one_port(tmp_path) as world:
        with anyio.fail_after(PATIENCE_S):
            async with world.agent() as agent:
                held = await agent.locked(name)
                before = workers_of(world)
                os.kill(before[0], signal.SIGKILL)
                await agent.done("UpdateClass", **held, source_code=CLASS.source(name))
                while len(workers_of(world)) < 2 or before[0] in workers_of(world):
                    await anyio.sleep(0.05)
                await agent.done("UnlockClass", **held)
                await agent.done("CloseSession", session_id=held["session_id"])
        await world.nothing_left()
    assert "another one starts" in world.log()


async def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    async with one_port(tmp_path) as world:
        orphans = workers_of(world)
        await world.workers.kill(0)
        with anyio.fail_after(GONE_S):
            while any(runs(pid) for pid in orphans):
                await anyio.sleep(0.05)
        await world.workers.start(0)  # the port is free again


async def test_told_to_stop_all_workers_end_and_the_exit_code_is_0(tmp_path: Path) -> None:
    # M18
    async with one_port(tmp_path) as world:
        workers, began = workers_of(world), time.monotonic()
        assert await world.workers.stop(0) == 0
        assert time.monotonic() - began < GONE_S
        assert not any(runs(pid) for pid in workers)
