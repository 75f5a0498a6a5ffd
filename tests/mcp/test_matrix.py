"""Statuses and codes of the modern era: mcp.md §6.5, one row each, and the order of checks in §6.3."""

from typing import Any

import anyio
import pytest

from e2e.mcp_world import META, MODERN, call, modern, notification, request, texts, world
from e2e.wire import JSON_HEADERS, PATIENCE
from holdfast.mcp.protocol import SERVED

VERSION, CAPABILITIES = "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"
LIST = request("tools/list", number=7)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in META.items() if name != key}


@pytest.mark.parametrize(
    ("body", "meta", "headers", "status", "number", "named"),
    [
        (LIST, None, {}, 400, -32602, VERSION),
        (LIST, without(VERSION), {}, 400, -32602, VERSION),
        (LIST, without(CAPABILITIES), {}, 400, -32602, CAPABILITIES),
        (LIST, {**META, CAPABILITIES: []}, {}, 400, -32602, CAPABILITIES),
        (LIST, {**META, VERSION: 5}, {}, 400, -32602, VERSION),
        (LIST, META, {"mcp_method": ""}, 400, -32020, "Mcp-Method is missing"),
        (LIST, META, {"mcp_method": "TOOLS/LIST"}, 400, -32020, "Mcp-Method differs"),
        (call("echo", 7, text="x"), META, {"mcp_name": ""}, 400, -32020, "Mcp-Name is missing"),
        (call("echo", 7, text="x"), META, {"mcp_name": "ech"}, 400, -32020, "Mcp-Name differs"),
        (call("echo", 7, text="x"), META, {"mcp_name": "=?base64?ZWNobw?="}, 400, -32020, "Mcp-Name differs"),
        (LIST, {**META, VERSION: "1999-01-01"}, {}, 400, -32020, "MCP-Protocol-Version"),
        (LIST, META, {"mcp_protocol_version": ""}, 400, -32020, "MCP-Protocol-Version"),
        (LIST, META, {"mcp_protocol_version": "2025-11-25"}, 400, -32020, "MCP-Protocol-Version"),
        (LIST, META, {"mcp_protocol_version": "1999-01-01"}, 400, -32022, "1999-01-01"),
        (request("no/such", number=7), META, {}, 404, -32601, "no/such"),
        (request("ping", number=7), META, {}, 404, -32601, "ping"),
        (request("logging/setLevel", {"level": "info"}, 7), META, {}, 404, -32601, "logging/setLevel"),
        (call("nobody", 7), META, {}, 400, -32602, "nobody"),
        (request("tools/call", {"arguments": {}}, 7), META, {}, 400, -32602, "name"),
    ],
)
async def test_each_condition_has_its_status_and_code_and_names_what_is_wrong(
    body: dict[str, Any], meta: object, headers: dict[str, str], status: int, number: int, named: str
) -> None:
    # M1, M19
    async with world() as made:
        seen = await modern(made.workers[0].wire, body, meta, **headers)
    assert (seen.status, seen.json["error"]["code"]) == (status, number), seen.body
    assert named.lower() in seen.json["error"]["message"].lower()
    assert seen.json["id"] == 7


async def test_a_version_that_is_not_served_is_answered_with_those_that_are() -> None:
    # M1
    async with world() as made:
        seen = await modern(made.workers[0].wire, LIST, META, mcp_protocol_version="1999-01-01")
        found = await modern(made.workers[0].wire, request("server/discover"))
    assert seen.json["error"]["data"] == {"supported": list(SERVED), "requested": "1999-01-01"}
    assert found.result["supportedVersions"] == list(SERVED)


@pytest.mark.parametrize("name", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"])
async def test_a_routing_header_that_comes_twice_is_refused_even_with_the_same_value(name: str) -> None:
    # M19
    needed = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "echo"}
    headers = [*JSON_HEADERS.items(), *needed.items(), (name.lower(), needed[name.lower()])]
    body = call("echo", text="x")
    async with world() as made:
        seen = await made.workers[0].wire.send(
            "POST", {**body, "params": {**body["params"], "_meta": META}}, headers=headers
        )
    assert (seen.status, seen.json["error"]["code"]) == (400, -32020)
    assert name.lower() in seen.json["error"]["message"]


async def test_white_space_around_header_values_is_no_part_of_them() -> None:
    # M19; uvicorn with httptools passes it on
    async with world() as made:
        seen = await modern(
            made.workers[0].wire,
            call("echo", text="x"),
            mcp_name=" echo \t ",
            mcp_method="tools/call  ",
            mcp_protocol_version=f"{MODERN}\t",
        )
    assert seen.status == 200


async def test_the_modern_era_ignores_session_ids_and_never_gives_one() -> None:
    # M1
    async with world() as made:
        seen = await modern(made.workers[0].wire, call("whoami"), mcp_session_id="a" * 43, last_event_id="x.1")
    assert texts(seen.result) == [f"nobody test modern {MODERN} False"]
    assert "mcp-session-id" not in seen.headers


async def test_lists_and_discovery_say_how_long_they_may_be_kept_and_who_answered() -> None:
    # M19
    async with world() as made:
        for method in ("tools/list", "server/discover"):
            result = (await modern(made.workers[0].wire, request(method))).result
            assert (result["resultType"], result["cacheScope"]) == ("complete", "public")
            assert result["ttlMs"] > 0
            assert result["_meta"]["io.modelcontextprotocol/serverInfo"] == {"name": "test", "version": "1"}


async def test_a_notification_is_accepted_without_a_body_and_without_meta() -> None:
    async with world() as made:
        seen = await made.workers[0].wire.post(notification("notifications/x"), mcp_protocol_version=MODERN)
    assert (seen.status, seen.body) == (202, b"")


async def test_listening_needs_a_client_that_takes_a_stream() -> None:
    async with world() as made:
        seen = await modern(
            made.workers[0].wire, request("subscriptions/listen", {"notifications": {}}), accept="application/json"
        )
    assert seen.status == 406


async def test_log_messages_go_only_to_requests_that_ask_for_their_level() -> None:
    # M19
    asked = {**META, "io.modelcontextprotocol/logLevel": "warning", "progressToken": 4}
    async with world() as made:
        silent = await modern(made.workers[0].wire, call("steps"))
        told = await modern(made.workers[0].wire, call("steps"), asked)
    assert silent.headers["content-type"] == "application/json"
    said = [message["params"] for message in told.messages[:-1]]
    assert [one.get("progressToken") for one in said] == [4, 4, None]
    assert said[2] == {"level": "error", "data": "trouble", "logger": "steps"}


async def test_a_client_that_closes_the_connection_withdraws_its_request() -> None:
    # M1: in this era closing is cancelling
    async with world() as made:
        body = call("wait")
        sent = {**body, "params": {**body["params"], "_meta": META}}
        headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "wait"}
        async with anyio.create_task_group() as tasks:
            exchange = made.workers[0].wire.begin(tasks, "POST", sent, headers=headers)
            with anyio.fail_after(PATIENCE):
                await made.gate.entered.wait()
                exchange.leave()
                await made.gate.cancelled.wait()
                await exchange.until(lambda seen: seen.ended)
