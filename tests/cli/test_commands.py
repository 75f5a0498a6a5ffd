"""Commands against a running server: look at sessions and locks and end them; and what is refused at start."""

import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from e2e.abap_world import CLASS, PATIENCE_S, AbapWorld, Agent, abap_world
from holdfast.adt.drafts import DRAFT, DRAFT_TEXT
from holdfast.core.sealing import KeyRing

BASE64URL = re.compile(r"[\w-]{43}")
DRAFTS = {DRAFT, DRAFT_TEXT}  # what an agent could not write outlives its session (A8)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AbapWorld]:
    """A system and one server."""
    async with abap_world(tmp_path_factory.mktemp("commands"), count=1) as opened:
        yield opened


@asynccontextmanager
async def connected(world: AbapWorld) -> AsyncIterator[Agent]:
    """Connect an agent; afterwards nothing may be left in the system."""
    with anyio.fail_after(PATIENCE_S):
        async with world.agent() as agent:
            yield agent
        await world.nothing_left()


async def rows(world: AbapWorld, *arguments: str) -> list[dict[str, Any]]:
    """Run a command with --json and return what it printed."""
    ran = await world.run(*arguments, "--json")
    assert ran.returncode == 0, ran.stderr.decode()
    return [json.loads(line) for line in ran.stdout.splitlines()]


async def refused(world: AbapWorld, *arguments: str, **settings: str) -> tuple[int, str]:
    """Run a command that fails; return its exit code and what it said."""
    ran = await world.run(*arguments, **settings)
    assert ran.stdout == b""
    return ran.returncode, ran.stderr.decode()


async def test_sessions_and_locks_are_listed_as_json_and_as_a_tree(world: AbapWorld) -> None:
    # A7
    async with connected(world) as agent:
        held = await agent.locked("ZCL_CLI_LIST")
        listed = await rows(world, "sessions", "list")
        assert sorted(row["kind"] for row in listed) == ["backend", "backend", "lock", "workspace"]
        assert {row["state"] for row in listed} == {"live"}
        [workspace] = [row for row in listed if row["kind"] == "workspace"]
        assert held["session_id"].startswith(workspace["id"])
        [lock] = await rows(world, "locks", "list")
        assert lock["key"] in [row["key"] for row in listed if row["kind"] == "lock"]
        assert "DEVELOPER CLAS/OC ZCL_CLI_LIST" in lock["lock"]

        tree = (await world.run("sessions", "list", "--tree")).stdout.decode().splitlines()
        assert [line.lstrip("│├└─ ").split()[0] for line in tree] == ["workspace", "backend", "backend", "lock"]
        assert tree[-1].startswith("   └─ lock")
        shown = await world.run("sessions", "show", workspace["id"][:5])
        assert shown.returncode == 0
        assert "└─ lock" in shown.stdout.decode()
        everything = shown.stdout.decode() + json.dumps(listed) + "\n".join(tree)
        assert held["session_id"] not in everything
        await agent.done("CloseSession", session_id=held["session_id"])


async def test_a_lock_is_released_by_its_key_and_the_agent_is_told(world: AbapWorld) -> None:
    async with connected(world) as agent:
        held = await agent.locked("ZCL_CLI_RELEASE")
        [lock] = await rows(world, "locks", "list")
        assert await world.sap.locked() == ["ZCL_CLI_RELEASE"]
        [released] = await rows(world, "locks", "release", lock["key"])
        assert released["closed"] is True
        assert await world.sap.locked() == []
        assert await rows(world, "locks", "list") == []
        error = await agent.refused("UpdateClass", **held, source_code=CLASS.source("ZCL_CLI_RELEASE"))
        assert error.code == "lock_lost"
        assert "admin" in error.message
        await agent.done("CloseSession", session_id=held["session_id"])


async def test_ending_a_session_ends_everything_below_it(world: AbapWorld) -> None:
    # A4
    async with connected(world) as agent:
        held = await agent.locked("ZCL_CLI_END")
        [ended] = await rows(world, "sessions", "end", held["session_id"])
        assert (ended["kind"], ended["closed"]) == ("workspace", True)
        await world.nothing_left(within=0.5)
        assert {row["kind"] for row in await rows(world, "sessions", "list")} <= DRAFTS
        error = await agent.refused("ReadClass", class_name=CLASS.other, session_id=held["session_id"])
        assert error.code == "session_expired"


async def test_where_no_system_is_configured_the_servers_do_what_is_left_to_do(world: AbapWorld) -> None:
    # A4
    async with connected(world) as agent:
        held = await agent.locked("ZCL_CLI_ELSEWHERE")
        without = {name: value for name, value in world.env.items() if not name.startswith("HOLDFAST_SAP_")}
        command = [sys.executable, "-m", "holdfast", "sessions", "end", held["session_id"], "--json"]
        ran = await anyio.run_process(command, env=without, check=False)
        assert (ran.returncode, json.loads(ran.stdout)["closed"]) == (0, True)
        await world.nothing_left(within=0.5)


async def test_a_lock_is_released_without_any_server_running(world: AbapWorld) -> None:
    # A4, A5: the command does what any worker does
    async with connected(world) as agent:
        held = await agent.locked("ZCL_CLI_ALONE")
        await world.workers.kill(0)
        [lock] = await rows(world, "locks", "list")
        assert (await rows(world, "locks", "release", lock["key"]))[0]["closed"] is True
        assert await world.sap.locked() == []
        await rows(world, "sessions", "end", held["session_id"])
        await world.workers.start(0)


async def test_a_name_that_fits_none_or_several_is_refused(world: AbapWorld) -> None:
    async with connected(world) as agent:
        first, second = await agent.session(force_new=True), await agent.session(force_new=True)
        code, said = await refused(world, "sessions", "end", "ffffffffffff")
        assert (code, "not_found" in said, "sessions list" in said) == (2, True, True)
        code, said = await refused(world, "sessions", "end", "")
        assert (code, "bad_input" in said) == (2, True)
        code, said = await refused(world, "locks", "release", first)
        assert (code, "not_found" in said) == (2, True)
        for session in (first, second):
            await agent.done("CloseSession", session_id=session)


async def test_an_address_others_can_reach_is_refused_without_a_token(world: AbapWorld) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        code, said = await refused(world, "serve", "--host", host, "--port", "0")
        assert code == 2
        assert f"listening on {host} without authentication is refused" in said
        assert "HOLDFAST_TOKEN" in said


async def test_settings_and_stores_that_are_wrong_are_said_and_nothing_is_served(world: AbapWorld) -> None:
    nowhere = f"sqlite:///{world.folder / 'absent' / 'folder' / 'x.db'}"
    for arguments, settings, expected, words in (
        (("serve",), {"port": "99999"}, 2, "port"),
        (("serve",), {"keys": "tooshort"}, 2, "holdfast keys new"),
        (("serve", "--workers", "2", "--port", "0"), {"keys": "tooshort"}, 2, "holdfast keys new"),
        (("serve", "--workers", "2"), {"store": "memory://"}, 2, "2 workers with a store in memory are refused"),
        (("serve",), {"store": "mysql://x"}, 2, "mysql"),
        (("serve",), {"store": nowhere}, 2, "absent"),
        (("sessions", "list"), {"store": nowhere}, 2, "absent"),
    ):
        code, said = await refused(world, *arguments, **settings)
        assert (arguments, settings, code, words in said) == (arguments, settings, expected, True), said
        assert "Traceback" not in said
        assert "next: " in said


async def test_a_port_that_is_taken_or_none_is_said(world: AbapWorld) -> None:
    code, said = await refused(world, "serve", "--port", str(world.workers.ports[0]))
    assert (code, "address already in use" in said) == (1, True)
    code, said = await refused(world, "serve", "--port", "99999")
    assert (code, "65535" in said) == (2, True)


async def test_a_fresh_sealing_key_is_printed_and_can_be_used(world: AbapWorld) -> None:
    keys = [(await world.run("keys", "new")).stdout.decode().strip() for _ in range(2)]
    [as_json] = await rows(world, "keys", "new")
    for key in (*keys, as_json["key"]):
        assert BASE64URL.fullmatch(key)
        KeyRing.parse(key)
    assert len({*keys, as_json["key"]}) == 3
