"""Connections to the system that break in the middle of LOCK, PUT, UNLOCK and ACTIVATE: the outcome is known (A6)."""

from collections.abc import AsyncIterator

import anyio
import pytest

from e2e.abap_world import CLASS, PATIENCE_S, AbapWorld, abap_world

LOST = ["cut_before", "cut_after"]  # the request never arrived; it was carried out and the answer never came


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AbapWorld]:
    """A system and two servers for all tests of this file."""
    async with abap_world(tmp_path_factory.mktemp("lost")) as opened:
        yield opened


@pytest.mark.parametrize("effect", LOST)
async def test_a_lock_whose_answer_is_lost_is_undone_and_taken_again(world: AbapWorld, effect: str) -> None:
    name, sap = f"ZCL_LOST_LOCK_{effect.upper()}", world.sap
    with anyio.fail_after(PATIENCE_S):
        async with world.agent() as agent:
            await sap.fault(effect, action="LOCK")
            held = await agent.locked(name)
            assert await sap.locked() == [name]
            assert len(await sap.rows("sm04")) == 1
            assert (await agent.done("UpdateClass", **held, source_code=CLASS.source(name)))["outcome"] == "applied"
            await agent.done("CloseSession", session_id=held["session_id"])
    await world.nothing_left()


@pytest.mark.parametrize("effect", LOST)
async def test_a_put_whose_answer_is_lost_is_read_back_and_never_repeated(world: AbapWorld, effect: str) -> None:
    name, sap = f"ZCL_LOST_PUT_{effect.upper()}", world.sap
    source, applied = CLASS.source(name, nonce=name), effect == "cut_after"
    with anyio.fail_after(PATIENCE_S):
        async with world.agent() as agent:
            held = await agent.locked(name)
            await sap.fault(effect, method="PUT")
            answer = await agent("UpdateClass", **held, source_code=source)
            assert (answer["success"], answer["outcome"]) == (applied, "applied" if applied else "not_applied")
            assert "no answer to PUT" in answer["message"]
            assert await sap.written(name) == int(applied)
            assert (await agent.source(held) == source) is applied
            assert await sap.locked() == [name]
            assert (await agent.done("UpdateClass", **held, source_code=source))["outcome"] == "applied"
            assert await sap.written(name) == 1
            assert await agent.source(held) == source
            assert (await agent.done("UnlockClass", **held))["outcome"] == "applied"
            await agent.done("CloseSession", session_id=held["session_id"])
    await world.nothing_left()


async def test_a_put_that_cannot_be_read_back_is_unknown_until_the_next_call_settles_it(world: AbapWorld) -> None:
    name, sap = "ZCL_LOST_PUT_UNKNOWN", world.sap
    source = CLASS.source(name, nonce=name)
    with anyio.fail_after(PATIENCE_S):
        async with world.agent() as agent:
            held = await agent.locked(name)
            await sap.fault("cut_after", method="PUT")
            await sap.fault("cut_before", times=0, path=f"{name}|sessions|logoff")
            answer = await agent("UpdateClass", **held, source_code=source)
            assert (answer["success"], answer["outcome"]) == (False, "unknown")
            await sap.clear_faults()
            assert (await agent.done("UpdateClass", **held, source_code=source))["outcome"] == "applied"
            assert await sap.written(name) == 1
            await agent.done("CloseSession", session_id=held["session_id"])
    await world.nothing_left()


@pytest.mark.parametrize("effect", LOST)
async def test_an_unlock_whose_answer_is_lost_is_settled_by_the_end_of_its_context(
    world: AbapWorld, effect: str
) -> None:
    name, sap = f"ZCL_LOST_UNLOCK_{effect.upper()}", world.sap
    with anyio.fail_after(PATIENCE_S):
        async with world.agent() as agent:
            held = await agent.locked(name)
            await sap.fault(effect, action="UNLOCK")
            assert (await agent.done("UnlockClass", **held))["outcome"] == "applied"
            assert await sap.locked() == []
            assert await sap.rows("sm04") == []
            again = await agent.done("UnlockClass", **held)  # as after an answer of ours that was lost
            assert again["outcome"] == "applied"
            await agent.done("CloseSession", session_id=held["session_id"])
    await world.nothing_left()


@pytest.mark.parametrize("effect", LOST)
async def test_an_activation_whose_answer_is_lost_is_looked_up(world: AbapWorld, effect: str) -> None:
    name, sap = f"ZCL_LOST_ACTIVATE_{effect.upper()}", world.sap
    source, applied = CLASS.source(name), effect == "cut_after"
    with anyio.fail_after(PATIENCE_S):
        async with world.agent() as agent:
            held = await agent.locked(name)
            named = {key: value for key, value in held.items() if key != "lock_handle"}
            await agent.done("UpdateClass", **held, source_code=source)
            await agent.done("UnlockClass", **held)
            await sap.fault(effect, path="activation$")
            answer = await agent("ActivateClass", **named)
            assert (answer["success"], answer["outcome"]) == (applied, "applied" if applied else "not_applied")
            inactive = await agent("InactiveObjects", session_id=held["session_id"])
            assert (name in [each["name"] for each in inactive["objects"]]) is not applied
            assert (await agent.done("ActivateClass", **named))["outcome"] == "applied"
            assert await agent.source(named, "active") == source
            await agent.done("CloseSession", session_id=held["session_id"])
    await world.nothing_left()
