"""The official Python client finds its own way to a token, and keeps its session whatever happens to that token."""

from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from e2e.mcp_world import call, initialize
from e2e.oauth_world import Person, oauth_world
from e2e.wire import JSON_HEADERS
from mcp import Client

PATIENCE = 60.0


async def said(client: Client, tool: str = "whoami") -> dict[str, Any]:
    """Return what a tool says of who calls it."""
    result = await client.call_tool(tool, {})
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_client_logs_on_by_itself_and_refreshes_its_token(mode: str, tmp_path: Path) -> None:
    # M12, M23: discovery by the 401, PKCE, a token for the resource, refresh; at two workers
    with anyio.fail_after(PATIENCE):
        async with oauth_world(tmp_path) as world:
            alice = Person("alice", world.url)
            async with world.client(alice, mode) as client:
                before = await said(client)
                alice.expire()
                seen = [await said(client) for _ in range(8)]
            asked = await world.asked()
    assert (before["user"], before["scopes"], before["client"]) == ("alice", ["mcp"], "client-0")
    assert len({one["process"] for one in seen}) == 2
    assert {one["session"] for one in seen} == {before["session"]}
    assert (before["session"] != "") is (mode == "legacy")
    assert (alice.logons, len(set(alice.storage.given))) == (1, 2)
    assert asked["keys"] == 2, "each worker asks for the keys once"


async def test_a_call_that_needs_more_makes_the_client_ask_for_more_and_keeps_the_session(tmp_path: Path) -> None:
    # step-up: 403 insufficient_scope, a second logon for all scopes at once; the new scopes count at once (M23)
    with anyio.fail_after(PATIENCE):
        async with oauth_world(tmp_path) as world:
            alice = Person("alice", world.url)
            async with world.client(alice) as client:
                before = await said(client)
                changed = await said(client, "change")
                after = await said(client)
                await world.workers.kill(0)
                await world.workers.start(0)
                later = [await said(client) for _ in range(6)]
    assert (before["session_user"], before["session_scopes"]) == ("alice", ["mcp"])
    assert (changed["scopes"], alice.logons) == (["mcp", "write"], 2)
    assert (after["session"], after["session_scopes"]) == (before["session"], ["mcp", "write"])
    assert {one["session"] for one in later} == {before["session"]}


@pytest.mark.parametrize("sort", ["sdk", "fastmcp"])
async def test_tools_of_other_servers_see_who_calls_in_their_own_way(sort: str, tmp_path: Path) -> None:
    # M23: get_access_token of the SDK and of FastMCP
    with anyio.fail_after(PATIENCE):
        async with oauth_world(tmp_path, sort) as world:
            async with world.client(Person("alice", world.url)) as client:
                seen, changed = await said(client), await said(client, "change")
            async with world.client(Person("bob", world.url), "2026-07-28") as client:
                other = await said(client)
    assert (seen["user"], seen["client"], seen["scopes"]) == ("alice", "client-0", ["mcp"])
    assert changed["scopes"] == ["mcp", "write"]
    assert (other["user"], other["client"], other["scopes"]) == ("bob", "client-1", ["mcp"])


async def test_anothers_session_is_an_unknown_one_and_anothers_program_is_another(tmp_path: Path) -> None:
    # M12: issuer, subject and client together; T25
    with anyio.fail_after(PATIENCE):
        async with oauth_world(tmp_path) as world, httpx2.AsyncClient(headers=JSON_HEADERS, timeout=PATIENCE) as plain:
            tokens = []
            for name in ("alice", "alice", "bob"):
                person = Person(name, world.url)
                async with world.client(person, "2026-07-28") as client:
                    await said(client)
                tokens.append({"authorization": f"Bearer {person.storage.given[-1]}"})
            mine, elsewhere, bobs = tokens
            opened = await plain.post(world.url, json=initialize(), headers=mine)
            named = {"mcp-session-id": opened.headers["mcp-session-id"]}
            unknown = {"mcp-session-id": "a" * 43}
            asked = [{**mine, **named}, {**elsewhere, **named}, {**bobs, **named}, {**mine, **unknown}, named]
            got = [await plain.post(world.url, json=call("whoami"), headers=headers) for headers in asked]
    assert [one.status_code for one in got] == [200, 404, 404, 404, 401]
    assert got[1].content == got[2].content == got[3].content
