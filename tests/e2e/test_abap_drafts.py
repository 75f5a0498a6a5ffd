"""Drafts over the wire: a source that could not be written survives servers and systems, and harms nobody (A8)."""

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import httpx2
import pytest

from e2e.abap_world import CLASS, MODERN, PASSWORD, PATIENCE_S, AbapWorld, Agent, Refused, Wire, abap_world

TOKEN = "a-long-random-text"
NUMBERS = itertools.count(1)
Client = Agent | Wire


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AbapWorld]:
    """A system and two servers on one store; every test leaves both running."""
    async with abap_world(tmp_path_factory.mktemp("drafts"), lease_ttl="1.0") as opened:
        yield opened


@pytest.fixture
async def wire(world: AbapWorld) -> AsyncIterator[Wire]:
    """A client; after the test nothing may be left in the system."""
    yield world.wire()
    await world.nothing_left()


async def locked(wire: Client, name: str) -> dict[str, Any]:
    """Create and lock a class."""
    named = {"session_id": (await wire.done("GetSession"))["session_id"], "class_name": name}
    await wire.done("CreateClass", **named)
    return {**named, "lock_handle": (await wire.done("LockClass", **named))["lock_handle"]}


async def fresh(wire: Client) -> tuple[dict[str, Any], str]:
    """Return a lock on a new class and a source for it."""
    name = f"ZCL_DRAFT_{next(NUMBERS)}"
    return await locked(wire, name), CLASS.source(name, nonce=name)


async def kept(wire: Client, held: Mapping[str, Any], source: str, code: str) -> str:
    """Update in vain and return the id of the draft that the error names."""
    error: Refused = await wire.refused("UpdateClass", **held, source_code=source)
    assert error.code == code, error
    draft_id = error.message.partition("kept as draft ")[2].partition(":")[0]
    assert len(draft_id) == 32, error
    assert "call ResumeUpdate" in error.message
    return draft_id


async def finish(wire: Client, name: str, answer: Mapping[str, Any]) -> str:
    """Unlock and activate after ResumeUpdate, and return the active source."""
    named = {"session_id": answer["session_id"], "class_name": name}
    assert (await wire.done("UnlockClass", **named, lock_handle=answer["lock_handle"]))["outcome"] == "applied"
    await wire.done("ActivateClass", **named)
    source = (await wire.done("ReadClass", **named, version="active"))["source_code"]
    await wire.done("CloseSession", session_id=answer["session_id"])
    return str(source)


async def delete_lock(world: AbapWorld, name: str) -> None:
    """Delete a lock in SM12."""
    [row] = [row for row in await world.sap.rows("sm12") if row["object"] == name]
    await world.http.delete(f"{world.sap.url}/_sim/sm12/{row['id']}")


async def drafts(wire: Client) -> list[dict[str, Any]]:
    return list((await wire.done("ListDrafts"))["drafts"])


async def test_after_a_restart_of_the_system_and_sigkill_of_a_server_another_writes_the_draft(
    world: AbapWorld, wire: Wire
) -> None:
    with anyio.fail_after(PATIENCE_S):
        held, source = await fresh(wire)
        await world.http.post(f"{world.sap.url}/_sim/restart")
        draft_id = await kept(wire, held, source, "session_expired")
        for victim in (0, 1):  # one of them has kept it
            await world.workers.kill(victim)
            assert [draft["draft_id"] for draft in await drafts(wire)] == [draft_id]
            await world.workers.start(victim)
        answer = await wire.done("ResumeUpdate", draft_id=draft_id)
        assert (answer["outcome"], await world.sap.locked()) == ("applied", [held["class_name"]])
        assert await finish(wire, held["class_name"], answer) == source
        assert await world.sap.written(held["class_name"]) == 1
        await wire.done("CloseSession", session_id=held["session_id"])
        assert await drafts(wire) == []


@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_a_lock_deleted_in_sm12_costs_no_work(world: AbapWorld, mode: str) -> None:
    name = f"ZCL_DRAFT_SM12_{mode[:4].upper()}"
    source = CLASS.source(name)
    with anyio.fail_after(PATIENCE_S):
        async with world.agent(mode) as wire:
            held = await locked(wire, name)
            await delete_lock(world, name)
            draft_id = await kept(wire, held, source, "lock_lost")
            [shown] = (await wire.done("ListDrafts", draft_id=draft_id))["drafts"]
            assert (shown["source_code"], shown["object"]) == (source, f"CLAS/OC {name}")
            answer = await wire.done("ResumeUpdate", draft_id=draft_id, session_id=held["session_id"])
            assert answer["session_id"] == held["session_id"]
            assert await finish(wire, name, answer) == source
    await world.nothing_left()


async def test_a_server_killed_during_the_resume_leaves_the_draft_to_the_next(world: AbapWorld, wire: Wire) -> None:
    with anyio.fail_after(2 * PATIENCE_S):
        held, source = await fresh(wire)
        name = held["class_name"]
        await delete_lock(world, name)
        draft_id = await kept(wire, held, source, "lock_lost")
        session = {"session_id": held["session_id"]}
        await world.sap.fault("delay", method="PUT", seconds=1.0)
        before = list(world.workers.served)

        async def lost() -> None:
            with pytest.raises(httpx2.TransportError):
                await wire.call("ResumeUpdate", draft_id=draft_id, **session)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lost)
            while await world.sap.faults_left():
                await anyio.sleep(0.02)
            victim = next(number for number in (0, 1) if world.workers.served[number] > before[number])
            await world.workers.kill(victim)
        answer = await wire.done("ResumeUpdate", draft_id=draft_id, **session)
        assert await finish(wire, name, answer) == source
        assert await world.sap.written(name) == 1
        await world.workers.start(victim)


async def test_a_change_of_another_user_is_not_overwritten(world: AbapWorld, wire: Wire) -> None:
    with anyio.fail_after(PATIENCE_S):
        held, source = await fresh(wire)
        name = held["class_name"]
        await delete_lock(world, name)
        theirs = CLASS.source(name, nonce="alice")
        alice = {"sap_user": "ALICE", "sap_password": PASSWORD, "token": TOKEN}
        async with world.server(**alice) as url:
            other = world.wire(url, TOKEN)
            named = {"session_id": (await other.done("GetSession"))["session_id"], "class_name": name}
            handle = (await other.done("LockClass", **named))["lock_handle"]
            await other.done("UpdateClass", **named, lock_handle=handle, source_code=theirs)
            await other.done("UnlockClass", **named, lock_handle=handle)
            draft_id = await kept(wire, held, source, "lock_lost")

            error = await other.refused("ResumeUpdate", draft_id=draft_id)  # E3: it is not hers
            assert (error.code, "ListDrafts" in error.hint) == ("draft_not_found", True)
            assert await drafts(other) == []
            await other.done("CloseSession", session_id=named["session_id"])

        error = await wire.refused("ResumeUpdate", draft_id=draft_id, session_id=held["session_id"])
        assert error.code == "object_changed"
        assert "ALICE changed it at 20" in error.message
        assert "ListDrafts" in error.hint
        read = await wire.done("ReadClass", session_id=held["session_id"], class_name=name)
        assert read["source_code"] == theirs
        assert [draft["draft_id"] for draft in await drafts(wire)] == [draft_id]
        assert (await wire.done("DiscardDraft", draft_id=draft_id))["success"]
        assert await drafts(wire) == []
        await wire.done("CloseSession", session_id=held["session_id"])


async def test_a_made_up_draft_is_refused_and_sap_is_not_asked(world: AbapWorld, wire: Wire) -> None:
    before = await world.sap.sent()
    for tool in ("ResumeUpdate", "ListDrafts", "DiscardDraft"):
        for draft_id in ("0" * 32, "x", "", "'; DROP TABLE nodes; --"):
            error = await wire.refused(tool, draft_id=draft_id)
            assert (error.code, "no draft" in error.message) == ("draft_not_found", True)
    assert await world.sap.sent() == before


async def test_an_update_that_the_end_of_its_session_has_overtaken_is_kept(world: AbapWorld, wire: Wire) -> None:
    with anyio.fail_after(PATIENCE_S):
        held, source = await fresh(wire)
        await wire.done("CloseSession", session_id=held["session_id"])
        draft_id = await kept(wire, held, source, "session_expired")
        answer = await wire.done("ResumeUpdate", draft_id=draft_id)
        assert await finish(wire, held["class_name"], answer) == source


async def test_the_store_holds_no_source_in_the_clear(world: AbapWorld, wire: Wire) -> None:
    # E5, A10
    held, source = await fresh(wire)
    await delete_lock(world, held["class_name"])
    draft_id = await kept(wire, held, source, "lock_lost")
    await wire.done("CloseSession", session_id=held["session_id"])
    files = [path.read_bytes() for path in world.folder.rglob("*") if path.is_file()]
    assert not any(b"METHODS greet RETURNING" in content for content in files)
    await wire.done("DiscardDraft", draft_id=draft_id)
