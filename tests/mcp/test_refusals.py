"""Every refusal of the endpoint, reached once: a stable code, and words that say what was wrong.

`Refusal` and `HoldfastError` name the codes; a new one that no request here gets fails the test at the end.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from core.outage import switched
from e2e.mcp_world import LEGACY, Nothing, World, call, handshake, initialize, request, world
from e2e.wire import JSON_HEADERS, PATIENCE, Exchange
from holdfast import errors
from holdfast.config import Settings
from holdfast.errors import HoldfastError, PayloadTooLarge, SessionEnded, StoreUnavailable
from holdfast.identity.facts import Identity, InvalidToken, IssuerUnavailable
from holdfast.mcp import Context, NativeDispatcher, ServerInfo, Tool, decision, endpoint, legacy, tool
from holdfast.mcp.decision import TABLES, Refusal
from holdfast.mcp.handles import HandleGone
from holdfast.mcp.rules import SessionRules
from holdfast.stores.memory import memory_store
from holdfast.web.bearer import Bearer
from holdfast.web.rates import Rates

STREAM = {"accept": "text/event-stream"}
DIALECT = SessionRules(dialect=True)
Reach = Callable[[World], Awaitable[Exchange]]


class Tokens:
    """A verifier of two tokens; of a third it cannot say anything."""

    async def verify(self, token: str) -> Identity:
        if token == "unsure":
            raise IssuerUnavailable("the issuer does not answer")
        if token != "good":
            raise InvalidToken("nobody has this token")
        return Identity(subject="ann")


def sent(method: str, body: Any = None, **headers: str) -> Reach:
    """Send one request, with what it needs besides in its headers."""

    async def reach(made: World) -> Exchange:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await made.workers[0].wire.send(method, body, headers={**JSON_HEADERS, **named})

    return reach


def in_session(method: str, body: Any = None, version: str = LEGACY, **headers: str) -> Reach:
    """Send one request in a session."""

    async def reach(made: World) -> Exchange:
        return await sent(method, body, **{**await handshake(made.workers[0].wire, version), **headers})(made)

    return reach


def crowded(streams: int) -> Reach:
    """Ask for one stream more than a session may have."""

    async def reach(made: World) -> Exchange:
        wire = made.workers[0].wire
        named = {**await handshake(wire), **STREAM}
        async with AsyncExitStack() as stack:
            for _ in range(streams):
                await stack.enter_async_context(wire.open("GET", headers=named))
            return await wire.send("GET", headers=named)

    return reach


async def draining(made: World) -> Exchange:
    made.workers[0].endpoint.stop()
    return await sent("POST", initialize())(made)


async def given_up(made: World) -> Exchange:
    """Be in a call when the server waits no longer."""
    wire = made.workers[0].wire
    headers = {**JSON_HEADERS, **await handshake(wire)}
    async with anyio.create_task_group() as tasks:
        exchange = wire.begin(tasks, "POST", call("wait"), headers=headers)
        with anyio.fail_after(PATIENCE):
            await made.gate.entered.wait()
            made.workers[0].endpoint.give_up()
            await exchange.until(lambda seen: seen.ended)
    return exchange


async def too_fast(made: World) -> Exchange:
    settings = Settings(rate_limit_per_client=60, rate_burst=1)
    rated = await made.add(rates=Rates(made.store.counters, settings, clock=made.clock))
    for _ in range(20):
        seen = await rated.wire.post(initialize())
    return seen


async def without_store(made: World) -> Exchange:
    made.store, switch = switched(memory_store())
    worker = await made.add()
    switch.set("down")
    seen = await worker.wire.post(initialize())
    switch.set("up")
    return seen


async def ended_below(made: World) -> Exchange:
    """Be served by what finds that a session that it uses itself has ended."""

    class Ends(NativeDispatcher):
        def answer(self, context: Context) -> Any:
            raise SessionEnded("the session of something else has ended")

    worker = await made.add(Ends([], ServerInfo(name="t")))
    body = {**request("ping"), "params": {"_meta": decision_meta()}}
    return await worker.wire.post(body, mcp_protocol_version="2026-07-28", mcp_method="ping")


def decision_meta() -> dict[str, Any]:
    prefix = "io.modelcontextprotocol/"
    return {f"{prefix}protocolVersion": "2026-07-28", f"{prefix}clientCapabilities": {}}


TOKEN = {"bearer": Bearer(Tokens())}
REACHED: list[tuple[str, int, str, dict[str, Any], Reach]] = [
    # code, status, words of the message, how the endpoint is set, how it is reached
    ("origin_not_allowed", 403, "allowed_origins", {}, sent("POST", request("ping"), origin="http://evil.example")),
    ("origin_not_allowed", 403, "allowed_hosts", {}, sent("POST", request("ping"), host="evil.example")),
    ("bad_message", 400, "needs a method", {}, sent("POST", {"jsonrpc": "2.0"})),
    ("bad_message", 400, "one request", {}, sent("POST", [request("ping")], mcp_protocol_version="2026-07-28")),
    ("two_session_ids", 400, "send one", {}, sent("POST", request("ping"), mcp_session_id="a", x_session_id="b")),
    ("session_id_missing", 400, "initialize first", {}, sent("POST", request("ping"))),
    ("session_not_found", 404, "initialize again", {}, sent("POST", request("ping"), mcp_session_id="a" * 43)),
    ("session_ended", 404, "something else has ended", {}, ended_below),
    ("stream_open", 409, "close that first", {}, crowded(1)),
    ("limit_reached", 429, "close one first", {"rules": DIALECT}, crowded(3)),
    ("method_not_allowed", 405, "POST, GET and DELETE", {}, sent("PUT")),
    ("method_not_allowed", 405, "POST only", {}, sent("GET", mcp_protocol_version="2026-07-28")),
    ("unsupported_media_type", 415, "application/json", {}, sent("POST", request("ping"), content_type="text/plain")),
    ("not_acceptable", 406, "Accept must name", {}, sent("POST", request("ping"), accept="text/html")),
    ("no_batches", 400, "one message at a time", {}, in_session("POST", [request("ping")])),
    ("unknown_event", 400, "Last-Event-ID", {}, in_session("GET", **STREAM, **{"last-event-id": "nonsense"})),
    ("server_draining", 503, "come back in a few seconds", {}, draining),
    ("server_stopping", 503, "before the call was done", {}, given_up),
    ("body_too_large", 413, "limit is 100", {"max_body_bytes": 100}, sent("POST", call("echo", text="x" * 200))),
    ("rate_limited", 429, "too many requests of one client", {}, too_fast),
    ("store_unavailable", 503, "out of reach", {}, without_store),
    ("token_missing", 401, "a bearer token is needed", TOKEN, sent("POST", request("ping"))),
    ("invalid_token", 401, "nobody has this token", TOKEN, sent("POST", request("ping"), authorization="Bearer bad")),
    ("issuer_unavailable", 503, "does not answer", TOKEN, sent("POST", initialize(), authorization="Bearer unsure")),
    (
        "insufficient_scope",
        403,
        "does not allow write",
        {"bearer": Bearer(Tokens(), scopes=["write"])},
        sent("POST", initialize(), authorization="Bearer good"),
    ),
    (
        "payload_too_large",
        413,
        "limit",
        {"max_body_bytes": 2**23},
        sent("POST", initialize(experimental={"x": "y" * 2**21})),
    ),
]


@pytest.mark.parametrize(
    ("code", "status", "says", "options", "reach"), REACHED, ids=[f"{one[0]} {one[2]}" for one in REACHED]
)
async def test_a_refusal_has_a_code_and_says_what_was_wrong(
    code: str, status: int, says: str, options: dict[str, Any], reach: Reach
) -> None:
    # M1: bad input gets what the matrix says
    async with world(**options) as made:
        seen = await reach(made)
    error = seen.json["error"]
    assert (seen.status, error["data"]["code"]) == (status, code), seen.body
    assert says in error["message"]
    assert ("retry-after" in seen.headers) is (status in (429, 503))
    assert ("www-authenticate" in seen.headers) is (code in ("token_missing", "invalid_token", "insufficient_scope"))


def refusals() -> Iterator[Refusal]:
    for module in (decision, endpoint, legacy):
        yield from (value for value in vars(module).values() if isinstance(value, Refusal))
    yield from (row.then for table in TABLES.values() for row in table if isinstance(row.then, Refusal))


def test_every_refusal_there_is_has_a_code_or_a_number_of_its_own_and_is_reached() -> None:
    # M1: -32600 says nothing; the other numbers say what is wrong by themselves
    reached = {code for code, *_ in REACHED}
    for refusal in refusals():
        assert (refusal.number == -32600) is bool(refusal.code), refusal
        assert not refusal.code or refusal.code in reached, refusal
        assert refusal.message


def kinds_of(base: type[HoldfastError]) -> Iterator[type[HoldfastError]]:
    for kind in base.__subclasses__():
        if kind.__module__ in (errors.__name__, HandleGone.__module__):
            yield kind
            yield from kinds_of(kind)


RAISED = sorted(set(kinds_of(HoldfastError)) - {StoreUnavailable}, key=lambda kind: kind.__name__)


def failing(kind: type[HoldfastError]) -> Tool:
    @tool(name="fail")
    async def fail(arguments: Nothing, context: Context) -> str:
        """Fail in a known way."""
        raise kind("what was wrong")

    return fail


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.code)
async def test_an_error_of_ours_in_a_tool_becomes_a_result_with_its_code_and_what_to_do(
    kind: type[HoldfastError],
) -> None:
    # M1: the table of errors.py; an unavailable store is the whole server's trouble, and above
    dispatcher = NativeDispatcher([failing(kind)], ServerInfo(name="t"))
    async with world(dispatcher=dispatcher) as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        result = (await wire.post(call("fail"), **named)).result
        assert (await wire.post(request("ping"), **named)).status == 200
    error = result["structuredContent"]["error"]
    assert (result["isError"], error["code"], error["message"]) == (True, kind.code, "what was wrong")
    assert error["hint"] == kind.default_hint
    assert error["hint"] in result["content"][0]["text"]


def test_no_two_errors_have_one_code() -> None:
    codes = [kind.code for kind in RAISED]
    assert len(codes) == len(set(codes))
    assert PayloadTooLarge.code in codes
