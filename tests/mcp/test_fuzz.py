"""Thousands of damaged requests of both eras: each gets an answer in bounded time, none a server fault, nothing stays.

The requests are good ones with a few things wrong, drawn from a seed, so that a failure comes back.
"""

import copy
import json
import random
from typing import Annotated, Any, Final

import anyio
import msgspec
import pytest
from mcp.server.mcpserver import MCPServer
from pydantic import Field

from e2e.mcp_world import LEGACY, META, MODERN, Worker, call, handshake, initialize, notification, request, world
from e2e.wire import Exchange
from holdfast.mcp import Context, NativeDispatcher, ServerInfo, dispatcher_for, tool
from holdfast.mcp.dispatch import Dispatcher

REQUESTS: Final = 1000  # of each case
ODD: Final = (
    *(None, True, False, 0, -1, 1.0, 1.5, 1e308, -0.0, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**40),
    *("", " ", "\x00", "\r\n", "ä", "\U0001f980", "=?base64?w6Q=?=", "=?base64?!?=", "x" * 3000, "2025-06-18"),
    *([], {}, [[]], {"": {}}, [1, "a"], {"_meta": None}, {"name": "echo"}, MODERN, LEGACY, META),
)
NAMES: Final = ("id", "jsonrpc", "method", "params", "result", "error", "_meta", "name", "arguments", "uri", "level")
VALUES: Final = (
    *("", " ", "\t", "0", "-1", "9" * 400, "1e3", "null", "*/*", "text/*;q=0", ",", ";", "=?base64?w6Q=?="),
    *("=?base64?=?=", "\xe4\xff", "x" * 5000, MODERN, LEGACY, "2025-03-26", "2024-11-05", "echo", "tools/call"),
    *("application/json", "text/event-stream", "0123456789abcdef.0", "0123456789abcdef.999999999999", "a" * 43),
)
HEADERS: Final = (
    *("mcp-protocol-version", "mcp-session-id", "x-session-id", "mcp-method", "mcp-name", "mcp-param-region"),
    *("mcp-param-size", "accept", "content-type", "content-length", "last-event-id", "origin", "host", "authorization"),
)
METHODS: Final = (
    *("initialize", "ping", "tools/list", "server/discover", "logging/setLevel", "resources/subscribe"),
    *("resources/read", "prompts/list", "tasks/get", "subscriptions/listen", "completion/complete", "nobody/knows"),
)


class Routed(msgspec.Struct):
    region: Annotated[str, msgspec.Meta(extra_json_schema={"x-mcp-header": "Region"})] = ""
    size: Annotated[int, msgspec.Meta(extra_json_schema={"x-mcp-header": "Size"})] = 0


@tool()
async def routed(arguments: Routed, context: Context) -> str:
    """Take arguments that travel in headers as well."""
    await context.progress(1)
    return arguments.region


@tool()
def echo(arguments: Routed, context: Context) -> str:
    """Say it again."""
    return arguments.region


def native() -> Dispatcher:
    return NativeDispatcher([routed, echo], ServerInfo(name="fuzz"))


def foreign() -> Dispatcher:
    server: MCPServer[Any] = MCPServer("fuzz")

    @server.tool(name="routed")
    async def _(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})], size: int = 0) -> str:
        """Take an argument that travels in a header as well."""
        return region

    return dispatcher_for(server)


class Damage:
    """Draws requests that are nearly right."""

    def __init__(self, seed: int, sessions: list[dict[str, str]]) -> None:
        self._random, self._sessions = random.Random(seed), sessions

    def request(self) -> tuple[str, bytes, list[tuple[str, str]]]:
        """Return method, body and headers."""
        draw = self._random
        body, headers = self._modern() if draw.random() < 0.5 else self._legacy()
        for _ in range(draw.choice((0, 1, 1, 2, 3))):
            body = self._wrong(body)
        pairs = list({"accept": "application/json, text/event-stream", "content-type": "application/json"}.items())
        pairs += headers.items()
        for _ in range(draw.choice((0, 0, 1, 2))):
            pairs = self._wrong_head(pairs)
        method = draw.choices(("POST", "GET", "DELETE", "PUT", "HEAD"), (90, 6, 1, 1, 1))[0]
        return method, self._wrong_bytes(json.dumps(body).encode()), pairs

    def _legacy(self) -> tuple[Any, dict[str, str]]:
        draw = self._random
        answer = {"jsonrpc": "2.0", "id": "0123456789abcdef.1", "result": {}}
        body = draw.choice(
            (
                initialize(),
                call("routed", region="eu", size=3, token=1),
                request(draw.choice(METHODS), {"level": "info", "uri": "x://y", "name": "n"}),
                notification("notifications/cancelled", {"requestId": 1}),
                notification("notifications/initialized"),
                answer,
                [call("routed", 2, region="a"), answer, notification("notifications/x")],
            )
        )
        return body, draw.choice((*self._sessions, {}))

    def _modern(self) -> tuple[Any, dict[str, str]]:
        draw = self._random
        body = request(draw.choice(METHODS), {"name": "routed", "uri": "routed", "taskId": "routed"})
        if draw.random() < 0.7:
            body = call("routed", region="eu", size=3)
        body["params"] = {**body["params"], "_meta": dict(META)}
        named = {"mcp-method": body["method"], "mcp-name": "routed", "mcp-param-region": "eu", "mcp-param-size": "3"}
        return body, {"mcp-protocol-version": MODERN, **named}

    def _wrong(self, node: Any) -> Any:
        """Replace, add or drop something at a random place."""
        draw = self._random
        if isinstance(node, dict) and node and draw.random() < 0.9:
            name = draw.choice((*node, *node, draw.choice(NAMES)))
            if draw.random() < 0.2:
                return {key: value for key, value in node.items() if key != name}
            return {**node, name: self._wrong(node.get(name))}
        if isinstance(node, list) and node and draw.random() < 0.8:
            place = draw.randrange(len(node))
            return [*node[:place], self._wrong(node[place]), *node[place + 1 :]]
        return copy.deepcopy(draw.choice(ODD))

    def _wrong_head(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        draw = self._random
        name = draw.choice(HEADERS)
        kept = [pair for pair in pairs if pair[0] != name] if draw.random() < 0.7 else pairs
        return [*kept, (name, draw.choice(VALUES))] if draw.random() < 0.8 else kept

    def _wrong_bytes(self, body: bytes) -> bytes:
        draw = self._random
        if draw.random() < 0.85:
            return body
        place = draw.randrange(len(body) + 1)
        odd = draw.choice((b"", b"\xff", b"\x00", b'"', b"{", b"[" * 5000, b"\\ud800", b"9" * 5000, b"\n", b",", b"]"))
        return body[:place] + odd + body[place + draw.randrange(3) :]


async def put(worker: Worker, method: str, body: bytes, headers: list[tuple[str, str]]) -> Exchange:
    """Send a request whose client leaves at once where the answer may be a stream without end."""
    wire, exchange = worker.wire, Exchange()
    if method == "GET" or b"listen" in body:
        exchange.leave()
    await wire._run(exchange, method, body, headers)
    return exchange


def left_behind(worker: Worker) -> list[object]:
    """Return what the endpoint still holds of requests that are over."""
    made = worker.endpoint
    return [*made._calls._calls, *made._calls._named, *made._inbox._waiting, *made._inbox.held, *made._streams._open]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("dispatcher", [native, foreign])
@pytest.mark.parametrize("stateless", [False, True])
async def test_no_damaged_request_is_a_fault_of_the_server_or_leaves_anything(
    dispatcher: Any, stateless: bool, seed: int
) -> None:
    # M1: every request has its row

    async with world(dispatcher=dispatcher(), stateless=stateless, answers=("auto", "stream")[seed % 2]) as made:
        worker = made.workers[0]
        versions = () if stateless else ("2025-03-26", "2025-06-18", LEGACY)
        sessions = [await handshake(worker.wire, version) for version in versions]
        damage = Damage(seed, sessions)
        for number in range(REQUESTS):
            drawn = damage.request()
            with anyio.fail_after(5):
                seen = await put(worker, *drawn)
            assert seen.ended, (number, drawn)
            assert 200 <= seen.status < 500, (number, drawn, seen.status, seen.body)
            assert b"-32603" not in seen.body, (number, drawn, seen.body)
            if seen.status == 204:  # a session was ended; the next requests shall have one
                sessions[:] = [await handshake(worker.wire, version) for version in versions]
        assert left_behind(worker) == []
