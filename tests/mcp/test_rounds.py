"""Multi round-trip requests: a tool asks by its result; what it wants back is sealed, bound, short-lived, used once."""

import base64
from typing import Any

import msgspec
import pytest
from mcp.server import Server, ServerRequestContext
from mcp.server.mcpserver import Context as SdkContext
from mcp.server.mcpserver import MCPServer, RequestStateSecurity
from mcp.server.request_state import InvalidRequestState
from mcp.types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult

from e2e.mcp_world import META, World, call, handshake, initialize, modern, texts, world
from e2e.wire import Exchange
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.errors import ObjectLocked
from holdfast.mcp import Context, InputRequired, NativeDispatcher, ServerInfo, dispatcher_for, tool
from holdfast.mcp.sdk_shared import SharedCodec
from holdfast.mcp.state import STATE_TTL_S
from holdfast.web.bearer import StaticBearer

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
ABLE = {**META, CAPABILITIES: {"elicitation": {}, "sampling": {}}}
SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}}
QUESTION = {"method": "elicitation/create", "params": {"mode": "form", "message": "?", "requestedSchema": SCHEMA}}
ANSWER = {"word": {"action": "accept", "content": {"word": "yes"}}}
REFUSAL = {
    "code": -32602,
    "message": "Invalid or expired requestState",
    "data": {"reason": "invalid_request_state"},
}


class Order(msgspec.Struct, forbid_unknown_fields=True):
    article: str
    count: int = 1


def asked(arguments: Order, context: Context, *, once: bool) -> str | InputRequired:
    answer = context.input_responses.get("word")
    if answer is None:
        return InputRequired({"word": QUESTION}, state={"asked": arguments.article}, once=once)
    return f"{answer['content']['word']} {context.request_state}"


@tool()
async def order(arguments: Order, context: Context) -> str | InputRequired:
    """Ask before something is ordered."""
    return asked(arguments, context, once=False)


@tool()
def pay(arguments: Order, context: Context) -> str | InputRequired:
    """Ask before something is paid, once."""
    return asked(arguments, context, once=True)


@tool()
async def later(arguments: Order, context: Context) -> str | InputRequired:
    """Ask for nothing but to be called again."""
    if context.request_state is None:
        return InputRequired({}, state=7)
    return f"again {context.request_state}"


@tool()
async def badly(arguments: Order, context: Context) -> InputRequired:
    """Ask for what nobody can give."""
    return InputRequired({"x": {"method": "tools/list"}} if arguments.count == 1 else {})


@tool()
async def model(arguments: Order, context: Context) -> InputRequired:
    """Ask the client's model."""
    return InputRequired({"x": {"method": "sampling/createMessage", "params": {}}})


@tool()
async def stumble(arguments: Order, context: Context) -> str | InputRequired:
    """Fail once answered."""
    if context.input_responses:
        raise ObjectLocked("ZCL_DEMO is locked by ALICE")
    return InputRequired({"word": QUESTION})


def shop() -> NativeDispatcher:
    return NativeDispatcher([order, pay, later, badly, model, stumble], ServerInfo(name="shop", version="1"))


async def staff(made: World, *, count: int = 2, principal: str = "ann", **options: Any) -> None:
    made.workers.clear()
    for _ in range(count):
        await made.add(shop(), bearer=StaticBearer("t", principal=principal), **options)


async def send(made: World, number: int, body: dict[str, Any], meta: object = ABLE) -> Exchange:
    return await modern(made.workers[number].wire, body, meta, authorization="Bearer t")


async def first(made: World, name: str, **arguments: object) -> dict[str, Any]:
    seen = await send(made, 0, call(name, **arguments))
    assert seen.status == 200, seen.body
    result: dict[str, Any] = seen.result
    assert result["resultType"] == "input_required"
    return result


def retry(name: str, state: object, answers: object = ANSWER, **arguments: object) -> dict[str, Any]:
    body = call(name, 2, **arguments)
    body["params"] |= {"requestState": state, "inputResponses": answers}
    return body


async def test_a_retry_at_another_worker_goes_on_where_the_first_call_stopped() -> None:
    # M19
    async with world() as made:
        await staff(made)
        for name in ("order", "pay"):
            asks = await first(made, name, article="tea", count=2)
            assert asks["inputRequests"] == {"word": QUESTION}
            assert "serverInfo" in str(asks["_meta"])
            assert "ttlMs" not in asks
            seen = await send(made, 1, retry(name, asks["requestState"], count=2, article="tea"))  # order is no value
            assert texts(seen.result) == ["yes {'asked': 'tea'}"]


async def test_the_client_cannot_read_the_state() -> None:
    # M19
    async with world() as made:
        await staff(made)
        state = (await first(made, "order", article="hunter2"))["requestState"]
        assert b"hunter2" not in base64.urlsafe_b64decode(state + "==")


async def test_a_tool_may_ask_to_be_called_again_and_for_nothing_else() -> None:
    async with world() as made:
        await staff(made)
        asks = await first(made, "later", article="x")
        assert "inputRequests" not in asks
        body = call("later", article="x")
        body["params"]["requestState"] = asks["requestState"]
        assert texts((await send(made, 1, body)).result) == ["again 7"]


@pytest.mark.parametrize(
    "wrong", ["changed", "cut", "not base64", "other arguments", "other tool", "other principal", "expired", "padded"]
)
async def test_a_state_holds_for_the_same_call_of_the_same_principal_only(wrong: str) -> None:
    # M19; one answer to all of them
    async with world() as made:
        await staff(made)
        state = (await first(made, "order", article="tea"))["requestState"]
        name, arguments = "order", {"article": "tea"}
        match wrong:
            case "changed":
                state = state[:-1] + ("A" if state[-1] != "A" else "Q")
            case "cut":
                state = state[:20]
            case "not base64":
                state = "ä" + state
            case "padded":
                state += "="
            case "other arguments":
                arguments = {"article": "gold"}
            case "other tool":
                name = "pay"
            case "other principal":
                await staff(made, principal="bob")
            case "expired":
                made.clock.advance(STATE_TTL_S)
        seen = await send(made, 1, retry(name, state, **arguments))
    assert seen.status == 400
    assert seen.json["error"] == REFUSAL


async def test_a_state_counts_once_where_the_tool_says_so() -> None:
    # M19: at most once, over all workers
    async with world() as made:
        await staff(made)
        for name, status in (("order", 200), ("pay", 400)):
            state = (await first(made, name, article="tea"))["requestState"]
            assert (await send(made, 0, retry(name, state, article="tea"))).status == 200
            assert (await send(made, 1, retry(name, state, article="tea"))).status == status


async def test_a_state_counts_once_where_the_server_says_so_and_another_principals_use_is_none() -> None:
    # M19
    async with world() as made:
        await staff(made, state_once=["order"])
        state = (await first(made, "order", article="tea"))["requestState"]
        ann = made.workers[:]
        await staff(made, principal="bob", state_once=["order"])
        assert (await send(made, 1, retry("order", state, article="tea"))).status == 400
        made.workers[:] = ann
        assert (await send(made, 1, retry("order", state, article="tea"))).status == 200
        seen = await send(made, 0, retry("order", state, article="tea"))
        assert (seen.status, seen.json["error"]) == (400, REFUSAL)


@pytest.mark.parametrize("answers", [5, None, {"word": 5}, ["x"]])
async def test_malformed_answers_are_refused_and_unknown_ones_ignored(answers: object) -> None:
    # M19
    async with world() as made:
        await staff(made)
        state = (await first(made, "order", article="tea"))["requestState"]
        seen = await send(made, 1, retry("order", state, answers, article="tea"))
        assert (seen.status, seen.json["error"]["code"]) == (400, -32602)
        assert "inputResponses" in seen.json["error"]["message"]
        more = await send(made, 1, retry("order", state, {**ANSWER, "other": {}}, article="tea"))
        assert more.result["resultType"] == "complete"


async def test_an_answer_that_is_missing_is_asked_for_again() -> None:
    # M19
    async with world() as made:
        await staff(made)
        state = (await first(made, "order", article="tea"))["requestState"]
        seen = await send(made, 1, retry("order", state, {"other": {}}, article="tea"))
        assert seen.result["resultType"] == "input_required"


@pytest.mark.parametrize(("name", "needed"), [("order", "elicitation"), ("model", "sampling")])
async def test_nothing_is_asked_that_the_client_has_not_declared_in_this_request(name: str, needed: str) -> None:
    # M19
    async with world() as made:
        await staff(made)
        seen = await send(made, 0, call(name, article="x"), META)
    assert (seen.status, seen.json["error"]["code"]) == (400, -32021)
    assert seen.json["error"]["data"] == {"requiredCapabilities": {needed: {}}}


@pytest.mark.parametrize(("count", "named"), [(1, "tools/list"), (2, "for none")])
async def test_a_tool_that_asks_for_nonsense_is_the_servers_fault(count: int, named: str) -> None:
    async with world() as made:
        await staff(made)
        seen = await send(made, 0, call("badly", article="x", count=count))
    assert (seen.status, seen.json["error"]["code"]) == (200, -32603)
    assert named in seen.json["error"]["message"]


async def test_a_tool_that_fails_in_its_second_round_says_so_as_ever() -> None:
    async with world() as made:
        await staff(made)
        seen = await send(made, 0, retry("stumble", None, article="x"))
    assert seen.result["structuredContent"]["error"]["code"] == "object_locked"


async def test_a_legacy_client_is_asked_on_the_calls_stream_by_the_same_tool() -> None:
    # M16, M19
    async with world() as made:
        await staff(made)
        wire = made.workers[0].wire
        opened = await wire.post(initialize("2025-06-18", elicitation={}), authorization="Bearer t")
        named = {
            "authorization": "Bearer t",
            "mcp-session-id": opened.headers["mcp-session-id"],
            "mcp-protocol-version": "2025-06-18",
        }
        async with wire.open("POST", call("pay", article="tea"), headers=named) as stream:
            await stream.until(lambda seen: seen.messages)
            question = stream.messages[-1]
            assert (question["method"], question["params"]) == ("elicitation/create", QUESTION["params"])
            answer = {"jsonrpc": "2.0", "id": question["id"], "result": ANSWER["word"]}
            assert (await made.workers[1].wire.post(answer, **named)).status == 202
            await stream.until(lambda seen: seen.ended)
            assert texts(stream.result) == ["yes {'asked': 'tea'}"]


async def test_a_legacy_client_that_cannot_be_asked_gets_an_error() -> None:
    async with world() as made:
        await staff(made)
        named = await handshake(made.workers[0].wire, authorization="Bearer t")
        seen = await made.workers[0].wire.post(call("order", article="tea"), **named)
    assert seen.json["error"]["code"] == -32021


# -- servers of the SDK: they check, our keys seal


def sdk_server(**options: Any) -> MCPServer[Any]:
    server = MCPServer("sdk", **options)

    @server.tool()
    async def ask(ctx: SdkContext) -> str | InputRequiredResult:
        """Ask for a word."""
        if ctx.input_responses:
            return str(ctx.request_state)
        request = ElicitRequest(params=ElicitRequestFormParams(message="?", requested_schema=SCHEMA))
        return InputRequiredResult(input_requests={"word": request}, request_state="mine")

    return server


@pytest.mark.parametrize("options", [{}, {"request_state_security": RequestStateSecurity(keys=["k" * 32])}])
async def test_an_sdk_server_without_a_key_of_its_own_is_answered_at_any_worker(options: dict[str, Any]) -> None:
    # M19
    async with world() as made:
        made.workers.clear()
        for _ in range(2):
            await made.add(dispatcher_for(sdk_server(**options)))
        asks = (await modern(made.workers[0].wire, call("ask"), ABLE)).result
        seen = await modern(made.workers[1].wire, retry("ask", asks["requestState"]), ABLE)
        assert texts(seen.result) == ["mine"]
        wrong = await modern(made.workers[1].wire, retry("ask", asks["requestState"] + "A"), ABLE)
        assert wrong.json["error"] == REFUSAL


class OwnCodec:
    """A codec of the server's own."""

    def seal(self, payload: bytes) -> str:
        return payload.hex()

    def unseal(self, token: str) -> bytes:
        return bytes.fromhex(token)


async def test_a_codec_of_the_servers_own_is_left_alone() -> None:
    codec = OwnCodec()
    security = RequestStateSecurity(codec=codec)
    async with world() as made:
        await made.add(dispatcher_for(sdk_server(request_state_security=security)))
    assert security.codec is codec


async def test_a_low_level_server_without_a_boundary_is_served_as_it_is() -> None:
    async def nothing(ctx: ServerRequestContext[Any], params: Any) -> Any:
        raise AssertionError

    async with world() as made:
        await made.add(dispatcher_for(Server("low", on_call_tool=nothing)))


def test_the_shared_codec_opens_its_own_texts_and_those_from_before() -> None:
    ring = KeyRing.parse(new_key_text())
    codec = SharedCodec(ring, OwnCodec())
    assert codec.unseal(codec.seal(b"x")) == b"x"
    assert codec.unseal(b"old".hex()) == b"old"
    sealed = codec.seal(b"x")
    for wrong in (
        sealed + "=",
        sealed[:10],
        "hf1.ä",
        SharedCodec(KeyRing.parse(new_key_text()), OwnCodec()).seal(b"x"),
    ):
        with pytest.raises(InvalidRequestState):
            codec.unseal(wrong)
