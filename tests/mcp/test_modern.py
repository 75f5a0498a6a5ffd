"""What every answer of the modern era carries (mcp.md §6.2 and §6.4), for servers of the SDK and for our own tools."""

from typing import Any

import pytest
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult

from e2e.mcp_world import META, MODERN, call, modern, request, world
from e2e.wire import JSON_HEADERS
from holdfast.mcp import dispatcher_for
from holdfast.mcp.protocol import SERVED

SERVER = "io.modelcontextprotocol/serverInfo"
ABLE = {**META, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
CACHED = [
    ("server/discover", {}),
    ("tools/list", {}),
    ("prompts/list", {}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "shop://a"}),
]
COMPLETE = [*CACHED, ("tools/call", {"name": "talk"}), ("prompts/get", {"name": "greeting"})]


def sdk_server() -> MCPServer[Any]:
    server = MCPServer("shop", version="3")

    @server.tool()
    async def talk(ctx: Context) -> str:
        """Report, then answer."""
        await ctx.report_progress(1, 2)
        return "talked"

    @server.tool()
    async def ask(ctx: Context) -> InputRequiredResult:
        """Report, then ask."""
        await ctx.report_progress(1, 2)
        params = ElicitRequestFormParams(message="?", requested_schema={"type": "object", "properties": {}})
        return InputRequiredResult(input_requests={"x": ElicitRequest(params=params)})

    @server.prompt()
    def greeting() -> str:
        """Greet."""
        return "Hello"

    @server.resource("shop://a")
    def article() -> str:
        """An article."""
        return "tea"

    @server.resource("shop://{name}/price")
    def price(name: str) -> str:
        """A price."""
        return "1"

    return server


def named(params: dict[str, Any]) -> dict[str, str]:
    return {"mcp_name": str(params.get("uri") or params.get("name") or "")}


@pytest.mark.parametrize(("method", "params"), COMPLETE)
async def test_every_result_says_that_it_is_complete_and_who_answered(method: str, params: dict[str, Any]) -> None:
    # M19
    async with world(1, dispatcher_for(sdk_server())) as made:
        seen = await modern(made.workers[0].wire, request(method, params, "r"), META, **named(params))
    assert (seen.status, seen.json["id"]) == (200, "r")
    assert seen.result["resultType"] == "complete"
    assert seen.result["_meta"][SERVER] == {"name": "shop", "version": "3"}


@pytest.mark.parametrize(("method", "params"), COMPLETE)
async def test_exactly_the_results_that_may_be_kept_say_for_how_long(method: str, params: dict[str, Any]) -> None:
    # M19
    async with world(1, dispatcher_for(sdk_server())) as made:
        result = (await modern(made.workers[0].wire, request(method, params), META, **named(params))).result
    if (method, params) in CACHED:
        assert isinstance(result["ttlMs"], int)
        assert result["ttlMs"] >= 0
        assert result["cacheScope"] in ("public", "private")
    else:
        assert result.keys().isdisjoint({"ttlMs", "cacheScope"})


async def test_a_result_that_asks_is_not_to_be_kept_and_nothing_follows_it() -> None:
    # M19
    async with world(1, dispatcher_for(sdk_server())) as made:
        seen = await modern(made.workers[0].wire, call("ask"), {**ABLE, "progressToken": 1})
    assert [message.get("method") for message in seen.messages] == ["notifications/progress", None]
    assert seen.result["resultType"] == "input_required"
    assert seen.result.keys().isdisjoint({"ttlMs", "cacheScope"})


async def test_a_stream_has_no_event_ids_and_asks_proxies_not_to_hold_it_back() -> None:
    # M19
    async with world(1, dispatcher_for(sdk_server())) as made:
        seen = await modern(made.workers[0].wire, call("talk"), {**META, "progressToken": 1})
    assert seen.headers["x-accel-buffering"] == "no"
    assert all(event.id is None and event.retry is None for event in seen.events)


@pytest.mark.parametrize("method", ["tools/list", "prompts/list", "resources/list"])
async def test_a_list_is_the_same_for_every_request_at_every_worker(method: str) -> None:
    # M19: no request has side effects on lists, and their order is fixed
    async with world(0) as made:
        for _ in range(2):
            await made.add(dispatcher_for(sdk_server()))
        bodies = {(await modern(worker.wire, request(method))).body for worker in made.workers for _ in range(2)}
    assert len(bodies) == 1


@pytest.mark.parametrize("method", ["tools/list", "prompts/list", "completion/complete"])
async def test_an_answer_to_what_was_never_asked_changes_nothing(method: str) -> None:
    # M19: only calls, prompts and resources take rounds; elsewhere what comes along is ignored or refused, never used
    params = {"requestState": "x", "inputResponses": {"x": {}}}
    async with world(1, dispatcher_for(sdk_server())) as made:
        plain = await modern(made.workers[0].wire, request(method))
        seen = await modern(made.workers[0].wire, request(method, params))
    assert (seen.status, seen.body) == (plain.status, plain.body)


@pytest.mark.parametrize("http_method", ["GET", "DELETE"])
async def test_there_is_post_only(http_method: str) -> None:
    # M19
    async with world() as made:
        seen = await made.workers[0].wire.send(http_method, headers={"mcp-protocol-version": MODERN})
    assert (seen.status, seen.headers["allow"]) == (405, "POST")


async def test_who_shakes_hands_is_told_which_versions_are_served() -> None:
    # M19
    async with world() as made:
        seen = await modern(made.workers[0].wire, request("initialize", {}, 5))
    assert (seen.status, seen.json["error"]["code"], seen.json["id"]) == (404, -32601, 5)
    assert seen.json["error"]["data"]["supported"] == list(SERVED)


@pytest.mark.parametrize(
    ("body", "number"),
    [
        ([request("tools/list")], -32600),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, -32600),
        (b"{", -32700),
    ],
)
async def test_a_body_must_be_one_request_or_notification(body: Any, number: int) -> None:
    # M19
    async with world() as made:
        seen = await made.workers[0].wire.send(
            "POST", body, headers={**JSON_HEADERS, "mcp-protocol-version": MODERN, "mcp-method": "tools/list"}
        )
    assert (seen.status, seen.json["error"]["code"]) == (400, number)


@pytest.mark.parametrize(
    ("uri", "sent", "status"),
    [
        ("shop://a", "shop://a", 200),
        ("shop://a", "=?base64?c2hvcDovL2E=?=", 200),
        ("shop://a", "=?base64?c2hvcDovL2E?=", 400),
        ("shop://a", "=?BASE64?c2hvcDovL2E=?=", 400),
        ("shop://a", "shop://b", 400),
    ],
)
async def test_the_name_of_a_resource_is_compared_decoded(uri: str, sent: str, status: int) -> None:
    # M19
    async with world(1, dispatcher_for(sdk_server())) as made:
        seen = await modern(made.workers[0].wire, request("resources/read", {"uri": uri}), META, mcp_name=sent)
    assert seen.status == status
    if status == 400:
        assert seen.json["error"]["code"] == -32020


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_the_name_of_a_task_is_compared_too(method: str) -> None:
    # M19
    async with world() as made:
        seen = await modern(made.workers[0].wire, request(method, {"taskId": "a"}), META, mcp_name="b")
    assert (seen.status, seen.json["error"]["code"]) == (400, -32020)
