"""Quotas over the wire: two servers share what one SAP user may have, and nobody is starved (A29)."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from e2e.abap_world import CLASS, PATIENCE_S, AbapWorld, Refused, Wire, abap_world

SESSIONS, LOCKS = 4, 2


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AbapWorld]:
    """A system whose user may have four sessions and two locks, and two servers that send one call at a time each."""
    quotas = {"sap_quota_sessions": SESSIONS, "sap_quota_locks": LOCKS, "sap_quota_calls": 1, "sap_quota_wait": 5}
    settings = {name: str(value) for name, value in quotas.items()}
    async with abap_world(tmp_path_factory.mktemp("quotas"), **settings) as opened:
        yield opened


@pytest.fixture
async def wire(world: AbapWorld) -> AsyncIterator[Wire]:
    """A client; after the test nothing may be left in the system."""
    yield world.wire()
    await world.nothing_left()


async def at_once(wire: Wire, tool: str, arguments: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Refused]]:
    """Call a tool with each of these at the same time; return what succeeded and what was refused."""
    done: list[dict[str, Any]] = []
    refused: list[Refused] = []

    async def call(given: dict[str, Any]) -> None:
        result = await wire.call(tool, **given)
        answer = result["structuredContent"]
        if result.get("isError"):
            refused.append(Refused(**answer["error"]))
        else:
            done.append(answer)

    async with anyio.create_task_group() as tasks:
        for given in arguments:
            tasks.start_soon(call, given)
    return done, refused


async def close(wire: Wire, sessions: list[str]) -> None:
    for session_id in sessions:
        await wire.done("CloseSession", session_id=session_id)


async def test_two_servers_open_as_many_sessions_as_the_sap_user_may_have(world: AbapWorld, wire: Wire) -> None:
    with anyio.fail_after(PATIENCE_S):
        done, refused = await at_once(wire, "GetSession", [{"force_new": True}] * 10)
        assert (len(done), Counter(error.code for error in refused)) == (SESSIONS, {"quota_exceeded": 10 - SESSIONS})
        assert f"{SESSIONS} for default 001 DEVELOPER" in refused[0].message
        assert "30 seconds" in refused[0].hint
        assert len(await world.sap.rows("sm05")) == SESSIONS
        before = await world.sap.sent()
        assert (await wire.refused("GetSession", force_new=True)).code == "quota_exceeded"
        assert await world.sap.sent() == before
        await close(wire, [answer["session_id"] for answer in done])
        await close(wire, [(await wire.done("GetSession", force_new=True))["session_id"]])


async def test_two_servers_take_as_many_locks_as_the_sap_user_may_hold(world: AbapWorld, wire: Wire) -> None:
    with anyio.fail_after(PATIENCE_S):
        session = {"session_id": (await wire.done("GetSession"))["session_id"]}
        named = [{**session, "class_name": f"ZCL_QUOTA_{number}"} for number in range(3)]
        for each in named:
            await wire.done("CreateClass", **each)
        done, refused = await at_once(wire, "LockClass", named)
        assert (len(done), [error.code for error in refused]) == (LOCKS, ["quota_exceeded"])
        assert len(await world.sap.locked()) == LOCKS
        assert f"{LOCKS} for default 001 DEVELOPER" in refused[0].message
        await close(wire, [session["session_id"]])


async def test_a_call_that_waits_too_long_is_refused_and_giving_back_is_not(world: AbapWorld, wire: Wire) -> None:
    async with world.server(sap_quota_wait="0.3") as url:
        with anyio.fail_after(PATIENCE_S):
            there = world.wire(url)
            name = "ZCL_QUOTA_CALLS"
            slow, other = [{"session_id": (await there.done("GetSession", force_new=True))["session_id"]} for _ in "ab"]
            named = {**slow, "class_name": name}
            await there.done("CreateClass", **named)
            held = {**named, "lock_handle": (await there.done("LockClass", **named))["lock_handle"]}
            await world.sap.fault("delay", seconds=1.5, path="search")
            async with anyio.create_task_group() as tasks:

                async def search() -> None:
                    await there.done("SearchObjects", query="ZCL_HF*", **slow)

                tasks.start_soon(search)
                while await world.sap.faults_left():
                    await anyio.sleep(0.02)
                for tool, given in (
                    ("SearchObjects", {**other, "query": "ZCL_HF*"}),
                    ("UpdateClass", {**held, "source_code": CLASS.source(name, nonce=name)}),
                ):
                    error = await there.refused(tool, **given)
                    assert (error.code, "in 5 seconds" in error.hint) == ("quota_exceeded", True)
                    assert "draft" not in error.message  # nothing has happened: the call is to be sent again
                assert await world.sap.written(name) == 0
                assert await world.sap.locked() == [name]
                began = anyio.current_time()
                assert (await there.done("UnlockClass", **held))["outcome"] == "applied"
                assert await world.sap.locked() == []
                assert anyio.current_time() - began < 0.5
            await close(there, [slow["session_id"], other["session_id"]])


async def test_one_agent_with_many_calls_delays_another_by_one(world: AbapWorld, wire: Wire) -> None:
    async with world.server() as url:
        with anyio.fail_after(PATIENCE_S):
            there = world.wire(url)
            greedy, modest = [(await there.done("GetSession", force_new=True))["session_id"] for _ in "ab"]
            order: list[str] = []

            async def search(session_id: str) -> None:
                await there.done("SearchObjects", query="ZCL_HF*", session_id=session_id)
                order.append(session_id)

            await world.sap.switch(delay_s=0.05)
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(search, greedy)
                while not order:
                    await anyio.sleep(0.01)
                tasks.start_soon(search, modest)
            await world.sap.switch(delay_s=0)
            assert order.index(modest) < 8  # one or two had been served before it came
            await close(there, [greedy, modest])
