"""What mcp.md §8 and §6.5 say, row by row, as requests and what is to come back.

A row is numbered as it stands there: `8.4` is the fourth row of the decision table, `6.5.4` the fourth of the matrix.
Where a setting chooses between two answers, both have a row that names the settings it holds under. Not here are the
rows whose answer is a stream: `test_mcp_tables` has a test for each.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from e2e.mcp_world import LEGACY, META, MODERN, call, initialize, notification, request
from holdfast.mcp.protocol import SERVED

LIVE, OTHER, ENDED, EXPIRED, FOREIGN = "{live}", "b" * 43, "{ended}", "{expired}", "{foreign}"
VERSION, CAPABILITIES = "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"
LIST: Final = request("tools/list", number=7)
BOTH: Final = ("protocol", "dialect")


class Ask(msgspec.Struct, frozen=True):
    """One request, and which words its refusal must hold. `head` comes on top of BASE; None leaves a header out."""

    method: str
    body: Any = None
    head: tuple[tuple[str, str | None], ...] = ()
    says: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row under one or several settings. `number` None means that the request is served."""

    row: str
    asks: tuple[Ask, ...]
    status: int
    number: int | None = None
    code: str = ""
    data: Any = None
    headers: dict[str, str] = {}
    result: Callable[[Any], bool] | None = None
    settings: tuple[str, ...] = BOTH
    opened: int = 0  # sessions more than before, or fewer
    lives: bool = True  # whether the other process still serves the session


def head(**headers: str | None) -> tuple[tuple[str, str | None], ...]:
    return tuple((name.replace("_", "-"), value) for name, value in headers.items())


def modern(body: dict[str, Any], says: str = "", meta: Any = META, **headers: str | None) -> Ask:
    """Return a modern request that names the session as well, which means nothing there."""
    params = body["params"]
    named = {"mcp-protocol-version": MODERN, "mcp-method": body["method"], "mcp-session-id": LIVE}
    name = params.get("name") or params.get("uri") or params.get("taskId")
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    said = {**named, **({"mcp-name": name} if name else {}), **given}
    return Ask(
        "POST", {**body, "params": {**params, **({} if meta is None else {"_meta": meta})}}, tuple(said.items()), says
    )


def old(body: Any, says: str = "", session: str | None = LIVE, version: str | None = LEGACY) -> Ask:
    return Ask("POST", body, head(mcp_session_id=session, mcp_protocol_version=version), says)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in META.items() if name != key}


def text_is(text: str) -> Callable[[Any], bool]:
    return lambda result: result["content"][0]["text"] == text


ABLE: Final = {**META, CAPABILITIES: {"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}}
CALLED: Final = call("echo", 7, text="x")
FORGED: Final = request("tools/call", {"name": "name", "arguments": {}, "requestState": "forged"}, 7)
EVIL: Final = head(origin="http://evil.example", mcp_session_id=LIVE)
DEAD: Final = (OTHER, "../etc/passwd", "x" * 5000, ENDED, EXPIRED, FOREIGN)
UNSERVED: Final = {"supported": list(SERVED), "requested": "1999-01-01"}
SAYS_ORIGIN: Final = "Origin 'http://evil.example' is not allowed; allowed_origins"

ROWS: Final = (
    # -- §8
    Row(
        row="8.1",
        asks=tuple(
            Ask(method, body, EVIL, SAYS_ORIGIN)
            for method, body in (("POST", b"{"), ("POST", LIST), ("GET", None), ("DELETE", None))
        ),
        status=403,
        number=-32600,
        code="origin_not_allowed",
    ),
    Row(
        row="8.2",
        asks=(old(initialize(), session=None, version=None),),
        status=200,
        opened=1,
        headers={"mcp-session-id": "*"},
    ),
    Row(
        row="8.3",
        asks=tuple(old(call("version", 7), version=version) for version in (None, LEGACY, "2025-03-26")),
        status=200,
        result=text_is(LEGACY),
    ),
    Row(
        row="8.4",
        settings=("protocol",),
        asks=(
            old(LIST, "Mcp-Session-Id is missing; initialize", None),
            old(LIST, "Mcp-Session-Id is missing", None, None),
        ),
        status=400,
        number=-32600,
        code="session_id_missing",
    ),
    Row(
        row="8.4",
        settings=("dialect", "stateless"),
        asks=(old(call("version", 7), session=None, version=None),),
        status=200,
        result=text_is("2025-03-26"),
    ),
    Row(
        row="8.5",
        asks=tuple(
            old(body, "no such session; initialize again", dead)
            for dead in DEAD
            for body in (LIST, notification("notifications/x"))
        ),
        status=404,
        number=-32600,
        code="session_not_found",
    ),
    Row(
        row="8.6",
        settings=(*BOTH, "stateless"),
        asks=(
            modern(call("version", 7)),
            modern(call("version", 7), mcp_session_id=OTHER, last_event_id="0123456789abcdef.1"),
        ),
        status=200,
        result=text_is(MODERN),
    ),
    Row(
        row="8.7",
        settings=(*BOTH, "stateless"),
        asks=(
            modern(LIST, "MCP-Protocol-Version is not what params._meta says", mcp_protocol_version=LEGACY),
            modern(LIST, "MCP-Protocol-Version is not what params._meta says", mcp_protocol_version=None),
        ),
        status=400,
        number=-32020,
    ),
    Row(row="8.8", settings=(*BOTH, "stateless"), asks=(modern(LIST, VERSION, None),), status=400, number=-32602),
    Row(
        row="8.9",
        settings=(*BOTH, "stateless"),
        asks=(
            old(LIST, "'1999-01-01' is not served", version="1999-01-01"),
            old(initialize(), "'1999-01-01' is not served", None, "1999-01-01"),
            modern(LIST, "'1999-01-01' is not served", mcp_protocol_version="1999-01-01"),
            Ask(
                "GET",
                None,
                head(mcp_session_id=LIVE, mcp_protocol_version="1999-01-01", accept="text/event-stream"),
                "'1999-01-01' is not served",
            ),
        ),
        status=400,
        number=-32022,
        data=UNSERVED,
    ),
    Row(
        row="8.10",
        settings=(*BOTH, "stateless"),
        asks=(modern(initialize(MODERN), "no initialize"), modern(initialize(), "no initialize", None)),
        status=404,
        number=-32601,
        data={"supported": list(SERVED)},
    ),
    Row(
        row="8.11",
        settings=(*BOTH, "stateless"),
        asks=(modern(notification("notifications/x"), meta=None),),
        status=202,
    ),
    Row(
        row="8.13",
        settings=("protocol", "stateless"),
        asks=(Ask("GET", None, head(accept="text/event-stream"), "Mcp-Session-Id is missing"),),
        status=400,
        number=-32600,
        code="session_id_missing",
    ),
    Row(
        row="8.14",
        settings=(*BOTH, "stateless"),
        asks=tuple(
            Ask(method, None, head(mcp_session_id=LIVE, mcp_protocol_version=MODERN), "POST only")
            for method in ("GET", "DELETE")
        ),
        status=405,
        number=-32600,
        code="method_not_allowed",
        headers={"allow": "POST"},
    ),
    Row(row="8.15", asks=(Ask("DELETE", None, head(mcp_session_id=LIVE)),), status=204, opened=-1, lives=False),
    # -- §6.5
    Row(
        row="6.5.1",
        asks=tuple(
            Ask("POST", body, modern(LIST).head, "not JSON") for body in (b"{", b"", b"\xff", b"[" * 5000, b"{'a': 1}")
        ),
        status=400,
        number=-32700,
    ),
    Row(
        row="6.5.2",
        asks=(
            Ask("POST", [LIST], modern(LIST).head, "one request or notification"),
            Ask("POST", {"jsonrpc": "2.0", "id": 7, "result": {}}, modern(LIST).head, "one request or notification"),
            Ask("POST", 5, modern(LIST).head, "no JSON-RPC 2.0 message"),
            Ask("POST", {"jsonrpc": "2.0", "id": 7}, modern(LIST).head, "needs a method"),
            Ask("POST", {**LIST, "params": []}, modern(LIST).head, "params must be an object"),
            Ask("POST", [], modern(LIST).head, "empty"),
        ),
        status=400,
        number=-32600,
        code="bad_message",
    ),
    Row(
        row="6.5.3",
        asks=(
            modern(LIST, VERSION, None),
            modern(LIST, VERSION, without(VERSION)),
            modern(LIST, CAPABILITIES, without(CAPABILITIES)),
            modern(LIST, CAPABILITIES, {**META, CAPABILITIES: []}),
            modern(LIST, VERSION, {**META, VERSION: 5}),
        ),
        status=400,
        number=-32602,
    ),
    Row(
        row="6.5.4",
        asks=(
            modern(LIST, "Mcp-Method is missing", mcp_method=None),
            modern(LIST, "Mcp-Method differs", mcp_method="TOOLS/LIST"),
            modern(CALLED, "Mcp-Name is missing", mcp_name=None),
            modern(CALLED, "Mcp-Name differs", mcp_name="ech"),
            modern(CALLED, "Mcp-Name differs", mcp_name="=?base64?ZWNobw?="),
            modern(LIST, "MCP-Protocol-Version differs", {**META, VERSION: "1999-01-01"}),
        ),
        status=400,
        number=-32020,
    ),
    Row(
        row="6.5.5",
        asks=(modern(call("lasting", 7), "lasting"),),
        status=400,
        number=-32021,
        data={"requiredCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}},
    ),
    Row(
        row="6.5.6",
        asks=(modern(LIST, "'1999-01-01' is not served", mcp_protocol_version="1999-01-01"),),
        status=400,
        number=-32022,
        data=UNSERVED,
    ),
    Row(
        row="6.5.7",
        asks=tuple(modern(request(method, number=7), method) for method in ("no/such", "ping", "logging/setLevel")),
        status=404,
        number=-32601,
    ),
    Row(
        row="6.5.8",
        asks=(modern(LIST, SAYS_ORIGIN, origin="http://evil.example"),),
        status=403,
        number=-32600,
        code="origin_not_allowed",
    ),
    Row(
        row="6.5.9",
        asks=tuple(Ask(method, None, head(mcp_protocol_version=MODERN), "POST only") for method in ("GET", "DELETE")),
        status=405,
        number=-32600,
        code="method_not_allowed",
        headers={"allow": "POST"},
    ),
    Row(
        row="6.5.10",
        asks=(modern(initialize(MODERN), "no initialize"),),
        status=404,
        number=-32601,
        data={"supported": list(SERVED)},
    ),
    Row(
        row="6.5.11",
        asks=(
            modern(LIST, "nobody has this token", authorization="Bearer stolen"),
            Ask("GET", None, head(authorization="Bearer stolen", mcp_session_id=LIVE), "nobody has this token"),
        ),
        status=401,
        number=-32600,
        code="invalid_token",
        headers={
            "www-authenticate": 'Bearer realm="holdfast", error="invalid_token", '
            'error_description="nobody has this token"'
        },
    ),
    Row(
        row="6.5.12",
        asks=(modern(call("admin", 7), "does not allow admin"), old(call("admin", 7), "does not allow admin")),
        status=403,
        number=-32600,
        code="insufficient_scope",
        headers={
            "www-authenticate": 'Bearer realm="holdfast", error="insufficient_scope", '
            'error_description="the token does not allow admin", scope="admin"'
        },
    ),
    Row(
        row="6.5.13",
        asks=(
            modern(request("resources/read", {"uri": "note://gone"}, 7), "note://gone"),
            modern(request("tasks/get", {"taskId": "t" * 43}, 7), "task", ABLE),
            modern(request("prompts/get", {"name": "nothing"}, 7), "Unknown prompt: nothing"),
        ),
        status=400,
        number=-32602,
    ),
    Row(row="6.5.14", asks=(modern(FORGED, "Invalid or expired requestState", ABLE),), status=400, number=-32602),
    Row(
        row="6.5.15",
        asks=(modern(request("prompts/get", {"name": "broken"}, 7), "the server's log names the cause"),),
        status=200,
        number=-32603,
    ),
)
