"""Agents that do not come back, and systems that forget: locks go after the hold limit, sessions after their time."""

import time
from collections.abc import AsyncIterator

import anyio
import pytest

from e2e.abap_world import CLASS, MODERN, PATIENCE_S, AbapWorld, abap_world

HOLD_LIMIT_S = 2.5
IDLE_S = 2.0
LATE_S = 5.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AbapWorld]:
    """A system and two servers that give up early."""
    limits = {"lock_hold_limit": HOLD_LIMIT_S, "kinds__workspace__idle": IDLE_S, "cleanup_interval": 0.5}
    settings = {name: str(limit) for name, limit in limits.items()}
    async with abap_world(tmp_path_factory.mktemp("expiry"), lease_ttl="1.5", **settings) as opened:
        yield opened


async def test_servers_killed_after_lock_and_an_agent_that_never_returns_leave_no_lock_behind(
    world: AbapWorld,
) -> None:
    # A3, A5
    name = "ZCL_LEFT_KILLED"
    with anyio.fail_after(PATIENCE_S):
        async with world.agent() as agent:
            await agent.locked(name)
        began = time.monotonic()
        for number in (0, 1):
            await world.workers.kill(number)
        assert await world.sap.locked() == [name]
        await world.workers.start(0)
        await world.sap.free(name, within=HOLD_LIMIT_S + LATE_S)
        assert time.monotonic() - began > HOLD_LIMIT_S - 0.5
        await world.nothing_left(IDLE_S + LATE_S)
        await world.workers.start(1)


@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_a_lock_nobody_uses_is_released_though_its_session_is_used_and_a_late_call_is_told_why(
    world: AbapWorld, mode: str
) -> None:
    # A3: other calls are use of the session, not of the lock
    name = f"ZCL_LEFT_IDLE_{mode[:4].upper()}"
    with anyio.fail_after(PATIENCE_S):
        async with world.agent(mode) as agent:
            held = await agent.locked(name)
            other = {"class_name": CLASS.other, "session_id": held["session_id"]}
            while await world.sap.locked():
                await agent.source(other, "active")
            error = await agent.refused("UpdateClass", **held, source_code=CLASS.source(name))
            assert error.code == "lock_lost"
            assert "idle" in error.message
            assert "Lock the object again" in error.hint
            again = {**held, "lock_handle": (await agent.done("LockClass", **_named(held)))["lock_handle"]}
            assert (await agent.done("UpdateClass", **again, source_code=CLASS.source(name)))["outcome"] == "applied"
            await agent.done("CloseSession", session_id=held["session_id"])
    await world.nothing_left()


async def test_calls_about_an_object_keep_its_lock(world: AbapWorld) -> None:
    # A3
    name = "ZCL_LEFT_USED"
    with anyio.fail_after(PATIENCE_S):
        async with world.agent() as agent:
            held = await agent.locked(name)
            until = time.monotonic() + HOLD_LIMIT_S + 0.7
            while time.monotonic() < until:
                await agent.done("CheckClass", **_named(held))
                assert await world.sap.locked() == [name]
                await anyio.sleep(0.2)
            await agent.done("UpdateClass", **held, source_code=CLASS.source(name))
            await agent.done("CloseSession", session_id=held["session_id"])
    await world.nothing_left()


async def test_a_session_that_expired_is_refused_with_the_next_step_and_logged_off(world: AbapWorld) -> None:
    # A4, A13
    with anyio.fail_after(PATIENCE_S):
        async with world.agent() as agent:
            session = await agent.session()
            assert len(await world.sap.rows("sm05")) == 1
            await world.nothing_left(IDLE_S + LATE_S)
            error = await agent.refused("ReadClass", class_name=CLASS.other, session_id=session)
            assert error.code == "session_expired"
            assert error.message.startswith("Session expired")
            assert session not in error.message
            assert "GetSession" in error.hint


async def test_a_lock_whose_context_the_system_let_expire_is_an_error_never_an_empty_result(world: AbapWorld) -> None:
    # A8, A13
    name = "ZCL_LEFT_SYSTEM"
    with anyio.fail_after(PATIENCE_S):
        async with world.agent() as agent:
            held = await agent.locked(name)
            await world.sap.advance(1801)
            error = await agent.refused("UpdateClass", **held, source_code=CLASS.source(name))
            assert error.code in ("session_expired", "lock_lost")
            assert "Lock" in error.hint
            again = (await agent.done("LockClass", **_named(held)))["lock_handle"]
            update = await agent.done("UpdateClass", **{**held, "lock_handle": again}, source_code=CLASS.source(name))
            assert update["outcome"] == "applied"
            await agent.done("CloseSession", session_id=held["session_id"])
    await world.nothing_left()


def _named(held: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in held.items() if name != "lock_handle"}
