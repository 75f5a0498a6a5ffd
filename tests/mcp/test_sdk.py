"""Servers of the official SDK on our transport: unchanged, both eras, any worker."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import mcp.types as types
import pytest
from mcp.server import Server, ServerRequestContext
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.connection import Connection
from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.server.runner import ServerRunner
from mcp.shared.exceptions import MCPError
from mcp.types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from pydantic import BaseModel, Field

from e2e.mcp_world import META, MODERN, call, handshake, initialize, modern, notification, request, texts, world
from holdfast.errors import ConfigurationError
from holdfast.mcp import dispatcher_for
from holdfast.mcp.sdk import SdkDispatcher
from holdfast.web.bearer import StaticBearer

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


class Word(BaseModel):
    word: str


def everything() -> MCPServer[Any]:  # noqa: C901 - one tool after the other
    entered: list[str] = []

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[list[str]]:
        entered.append("up")
        yield entered

    security = RequestStateSecurity(keys=["k" * 32])
    server = MCPServer("sdk", version="9", instructions="Use it.", lifespan=lifespan, request_state_security=security)

    @server.tool()
    async def echo(text: str) -> str:
        """Say it again."""
        return text

    @server.tool()
    async def routed(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
        """Be routed."""
        return region

    @server.tool()
    async def who(ctx: Context) -> str:
        """Say who calls, what was set up, and what came with the request."""
        token = get_access_token()
        headers = ctx.headers or {}
        state = ctx.request_context.lifespan_context
        return f"{token.subject if token else 'nobody'} {state} {headers.get('x-test')}"

    @server.tool()
    async def whom(ctx: Context) -> str:
        """Say what the client calls itself and can do."""
        client = ctx.session.client_params
        return (
            f"{client.client_info.name}, {client.capabilities.model_dump(exclude_none=True)}" if client else "unknown"
        )

    @server.tool()
    async def elicit(ctx: Context) -> str:
        """Ask the user."""
        answer = await ctx.elicit("A word?", Word)
        return answer.data.word if answer.action == "accept" else answer.action

    @server.tool()
    async def aside(ctx: Context) -> str:
        """Say something outside any request."""
        await ctx.session.send_tool_list_changed()
        return "said"

    @server.tool()
    async def talk(ctx: Context) -> str:
        """Report and log."""
        await ctx.report_progress(1, 2)
        await ctx.info("hello")
        return "talked"

    @server.tool()
    async def refuse() -> str:
        """Refuse with a protocol error."""
        raise MCPError(code=-32021, message="no", data={"requiredCapabilities": {"sampling": {}}})

    @server.tool()
    async def later(ctx: Context) -> str | InputRequiredResult:
        """Ask by the result."""
        if ctx.request_state is None:
            question = ElicitRequest(
                params=ElicitRequestFormParams(message="?", requested_schema={"type": "object", "properties": {}})
            )
            return InputRequiredResult(input_requests={"q": question}, request_state="kept")
        return f"state {ctx.request_state}"

    @server.tool()
    async def change(ctx: Context) -> str:
        """Tell listeners that the tools have changed."""
        await ctx.notify_tools_changed()
        return "changed"

    @server.resource("note://{name}")
    def note(name: str) -> str:
        return f"note {name}"

    @server.prompt()
    def greeting(name: str) -> str:
        return f"Greet {name}"

    return server


def lowlevel() -> Server[Any]:
    async def list_tools(ctx: ServerRequestContext[Any], params: object) -> types.ListToolsResult:
        schema = {"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "A"}}}
        return types.ListToolsResult(tools=[types.Tool(name="raw", input_schema=schema)])

    async def call_tool(ctx: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        return types.CallToolResult(content=[types.TextContent(type="text", text=str(params.arguments))])

    return Server("low", version="1", on_list_tools=list_tools, on_call_tool=call_tool)


async def test_an_mcpserver_runs_unchanged_in_both_eras_and_at_any_worker() -> None:
    # M2
    async with world(2, SdkDispatcher(everything())) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        assert texts((await second.post(call("echo", text="hi"), **named)).result) == ["hi"]
        assert texts((await modern(second, call("echo", text="hi"))).result) == ["hi"]
        read = (await second.post(request("resources/read", {"uri": "note://x"}), **named)).result
        assert read["contents"][0]["text"] == "note x"
        asked = request("prompts/get", {"name": "greeting", "arguments": {"name": "Bo"}})
        got = (await second.post(asked, **named)).result
        assert got["messages"][0]["content"]["text"] == "Greet Bo"


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"name": "nobody"}, "Unknown prompt: nobody"),
        ({"name": "greeting"}, "Missing required arguments: {'name'}"),
    ],
)
async def test_a_prompt_that_is_asked_for_wrongly_is_the_clients_mistake(params: dict[str, Any], named: str) -> None:
    # M1, mcp.md §6.5: the SDK itself answers "internal error"
    async with world(1, SdkDispatcher(everything())) as made:
        wire = made.workers[0].wire
        for seen in (
            await modern(wire, request("prompts/get", params)),
            await wire.post(request("prompts/get", params), **await handshake(wire)),
        ):
            assert seen.json["error"] == {"code": -32602, "message": named}


async def test_initialize_is_answered_by_the_server_with_our_choice_of_revision() -> None:
    async with world(1, SdkDispatcher(everything())) as made:
        for asked, given in (("2025-06-18", "2025-06-18"), ("2024-11-05", "2025-11-25")):
            result = (await made.workers[0].wire.post(initialize(asked))).result
            assert (result["protocolVersion"], result["serverInfo"]["name"]) == (given, "sdk")
            assert result["instructions"] == "Use it."


async def test_a_lowlevel_server_runs_unchanged_and_its_headers_are_checked_by_its_list() -> None:
    # M2, M19
    async with world(1, SdkDispatcher(lowlevel())) as made:
        wire = made.workers[0].wire
        assert texts((await wire.post(call("raw", a="1"), **await handshake(wire))).result) == ["{'a': '1'}"]
        assert (await modern(wire, call("raw", a="1"))).json["error"]["code"] == -32020
        assert texts((await modern(wire, call("raw", a="1"), mcp_param_a="1")).result) == ["{'a': '1'}"]


async def test_mirrored_arguments_are_compared_with_their_headers() -> None:
    # M19
    async with world(1, SdkDispatcher(everything())) as made:
        wire = made.workers[0].wire
        assert (await modern(wire, call("routed", region="eu"))).status == 400
        assert (await modern(wire, call("routed", region="eu"), mcp_param_region="us")).status == 400
        assert (await modern(wire, call("routed", region="eu"), mcp_param_region="eu")).status == 200
        assert (await wire.post(call("routed", region="eu"), **await handshake(wire))).status == 200


async def test_tools_see_the_principal_the_lifespan_and_the_request() -> None:
    async with world(1, SdkDispatcher(everything()), bearer=StaticBearer("t", principal="alice")) as made:
        wire = made.workers[0].wire
        named = await handshake(wire, authorization="Bearer t")
        seen = await wire.post(call("who"), **named, x_test="seen")
    assert texts(seen.result) == ["alice ['up'] seen"]


async def test_tools_see_which_client_calls_even_one_that_can_do_nothing() -> None:
    async with world(1, SdkDispatcher(everything())) as made:  # M6
        wire = made.workers[0].wire
        seen = await wire.post(call("whom"), **await handshake(wire))
        assert texts(seen.result) == ["test, {}"]
        assert texts((await modern(wire, call("whom"))).result) == ["test, {}"]


async def test_calls_leave_nothing_behind_for_the_garbage_collector() -> None:
    # a collection of what many calls leave behind is a pause for all clients
    async with world(1, SdkDispatcher(everything())) as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        gc.disable()
        try:
            for _ in range(3):
                assert texts((await wire.post(call("echo", text="hi"), **named)).result) == ["hi"]
                assert texts((await modern(wire, call("echo", text="hi"))).result) == ["hi"]
            left = [found for found in gc.get_objects() if type(found) in (ServerRunner, Connection)]
        finally:
            gc.enable()
    assert not left


async def test_what_the_server_asks_is_answered_at_another_worker() -> None:
    async with world(2, SdkDispatcher(everything())) as made:
        first, second = (worker.wire for worker in made.workers)
        opened = await first.post(initialize(elicitation={}))
        named = {"mcp-session-id": opened.headers["mcp-session-id"]}
        async with first.open("POST", call("elicit"), headers=named) as stream:
            await stream.until(lambda seen: seen.messages)
            result = {"action": "accept", "content": {"word": "yes"}}
            answer = {"jsonrpc": "2.0", "id": stream.messages[0]["id"], "result": result}
            assert (await second.post(answer, **named)).status == 202
            await stream.until(lambda seen: seen.ended)
            assert texts(stream.result) == ["yes"]


async def test_a_modern_client_and_one_that_takes_no_stream_cannot_be_asked() -> None:
    async with world(1, SdkDispatcher(everything())) as made:
        wire = made.workers[0].wire
        now = await modern(wire, call("elicit"))
        json_only = await wire.post(call("elicit"), **await handshake(wire), accept="application/json")
    assert now.json.get("error") or now.result["isError"]
    assert json_only.json.get("error") or json_only.result["isError"]


async def test_notifications_outside_any_request_reach_the_sessions_stream() -> None:
    async with world(2, SdkDispatcher(everything())) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        async with first.open("GET", headers={**named, "accept": "text/event-stream"}) as stream:
            await second.post(call("aside"), **named)
            await stream.until(lambda seen: seen.messages)
            assert stream.messages[0]["method"] == "notifications/tools/list_changed"


async def test_progress_and_logs_travel_with_the_call() -> None:
    async with world(1, SdkDispatcher(everything())) as made:
        wire = made.workers[0].wire
        legacy = await wire.post(call("talk", token=3), **await handshake(wire))
        now = await modern(wire, call("talk"), {**META, "progressToken": 3})
    progress, log = "notifications/progress", "notifications/message"
    assert [message.get("method") for message in legacy.messages] == [progress, log, None]
    assert [message.get("method") for message in now.messages] == [progress, None]


async def test_a_protocol_error_keeps_code_and_data_and_gets_its_status() -> None:
    # M1
    async with world(1, SdkDispatcher(everything())) as made:
        wire = made.workers[0].wire
        now = await modern(wire, call("refuse"))
        legacy = await wire.post(call("refuse"), **await handshake(wire))
        malformed = await modern(wire, request("resources/read", {"uri": 5}))
    assert (now.status, now.json["error"]["code"]) == (400, -32021)
    assert now.json["error"]["data"] == {"requiredCapabilities": {"sampling": {}}}
    assert (legacy.status, legacy.json["error"]["code"]) == (200, -32021)
    assert (malformed.status, malformed.json["error"]["code"]) == (400, -32602)


async def test_a_request_state_goes_on_at_another_worker_but_not_for_another_principal() -> None:
    # M19: multi round trips
    async with world(0) as made:
        for token, principal in (("a", "alice"), ("a", "alice"), ("b", "bob")):
            await made.add(SdkDispatcher(everything()), bearer=StaticBearer(token, principal=principal))
        alice, elsewhere, bob = (worker.wire for worker in made.workers)
        asked = (await modern(alice, call("later"), authorization="Bearer a")).result
        assert asked["resultType"] == "input_required"
        again = call("later")
        answers = {"q": {"action": "accept", "content": {}}}
        again["params"] |= {"requestState": asked["requestState"], "inputResponses": answers}
        good = await modern(elsewhere, again, authorization="Bearer a")
        bad = await modern(bob, again, authorization="Bearer b")
    assert texts(good.result) == ["state kept"]
    assert (bad.status, bad.json["error"]["code"]) == (400, -32602)


async def test_a_listener_hears_what_it_asked_for_and_gets_an_orderly_end() -> None:
    # M19: subscriptions/listen, at the worker where the change happens
    body = request("subscriptions/listen", {"notifications": {"toolsListChanged": True}, "_meta": META}, 77)
    headers = {"mcp-protocol-version": MODERN, "mcp-method": "subscriptions/listen"}
    async with world(1, SdkDispatcher(everything())) as made:
        worker = made.workers[0]
        async with worker.wire.open("POST", body, headers=headers) as stream:
            await stream.until(lambda seen: seen.messages)
            assert stream.messages[0]["method"] == "notifications/subscriptions/acknowledged"
            await modern(worker.wire, call("change"))
            await stream.until(lambda seen: len(seen.messages) == 2)
            worker.endpoint.stop()
            await stream.until(lambda seen: seen.ended)
            assert stream.result["resultType"] == "complete"
        meta = [message.get("params", message.get("result"))["_meta"] for message in stream.messages]
        assert {one["io.modelcontextprotocol/subscriptionId"] for one in meta} == {77}


async def test_notifications_of_clients_reach_the_server() -> None:
    heard = anyio.Event()
    server = everything()

    async def changed(ctx: ServerRequestContext[Any], params: object) -> None:
        heard.set()

    server._lowlevel_server.add_notification_handler(
        "notifications/roots/list_changed", types.NotificationParams, changed
    )
    async with world(1, SdkDispatcher(server)) as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        assert (await wire.post(notification("notifications/roots/list_changed"), **named)).status == 202
    assert heard.is_set()


def test_what_cannot_be_served_is_refused_at_start() -> None:
    with pytest.raises(ConfigurationError, match="str"):
        dispatcher_for("no server")
