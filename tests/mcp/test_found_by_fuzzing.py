"""What `make fuzz` has found: each request, and what it gets now."""

from typing import Any

import msgspec
import pytest

from e2e.mcp_world import META, Nothing, call, handshake, modern, request, world
from e2e.wire import JSON_HEADERS
from holdfast.core.session import Session
from holdfast.errors import SessionEnded
from holdfast.mcp import AsTask, Context, InputRequired, NativeDispatcher, ServerInfo, tool
from holdfast.mcp.tasks.register import Register

ABLE = {
    **META,
    "io.modelcontextprotocol/clientCapabilities": {
        "elicitation": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    },
}
NAMED = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "asks"}


class Anything(msgspec.Struct):
    word: str = ""


@tool()
async def asks(arguments: Anything, context: Context) -> InputRequired:
    """Want its state back."""
    return InputRequired({}, state=1)


@tool(task=AsTask(ttl=10.0))
async def lasting(arguments: Nothing, context: Context) -> str:
    """Run as a task."""
    return "done"


@tool()
async def ends(arguments: Nothing, context: Context) -> str:
    return "never"


class Ends(NativeDispatcher):
    """Finds that a session that it uses itself has ended."""

    def answer(self, context: Context) -> Any:
        raise SessionEnded("the session has ended")


def ours() -> NativeDispatcher:
    return NativeDispatcher([asks, lasting], ServerInfo(name="fuzz"))


@pytest.mark.parametrize(("value", "number"), [(b'"\xed\xa0\x80"', -32700), (b'"\\ud800"', -32700), (b"1e400", -32602)])
async def test_what_no_value_can_be_is_refused_where_the_tool_does_not_read_it(value: bytes, number: int) -> None:
    # M1: it was found when the arguments were bound to the state, as a failure of the tool
    body = request("tools/call", {"name": "asks", "arguments": {"word": "w", "more": "@"}, "_meta": ABLE}, 7)
    async with world(dispatcher=ours()) as made:
        sent = msgspec.json.encode(body).replace(b'"@"', value)
        seen = await made.workers[0].wire.send("POST", sent, headers={**JSON_HEADERS, **NAMED})
    assert (seen.status, seen.json["error"]["code"]) == (400, number)


async def test_a_stream_can_be_resumed_whatever_integer_the_request_has_for_an_id() -> None:
    # M14: the store keeps 64 bits of an integer
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        seen = await wire.post(call("steps", 10**40, token=1), **named)
    assert seen.messages[-1] == {
        "jsonrpc": "2.0",
        "id": 10**40,
        "result": {"content": [{"type": "text", "text": "done"}]},
    }


@pytest.mark.parametrize("method", ["tasks/update", "tasks/cancel"])
async def test_a_task_whose_time_is_over_between_two_looks_is_there_no_more(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # M19: it was an assertion in the endpoint, and a 500
    async with world(dispatcher=ours()) as made:
        wire = made.workers[0].wire
        task_id = (await modern(wire, call("lasting"), ABLE)).result["taskId"]
        find = Register.find

        async def late(self: Register, task_id: str, owner: str) -> Session:
            found = await find(self, task_id, owner)
            made.clock.advance(11)
            return found

        monkeypatch.setattr(Register, "find", late)
        params = {"taskId": task_id, "inputResponses": {}}
        seen = await modern(wire, request(method, params), ABLE, mcp_name=task_id)
    assert (seen.status, seen.json["error"]["code"]) == (400, -32602)
    assert "there is no such task" in seen.json["error"]["message"]


async def test_a_session_that_is_not_the_requests_own_ends_without_a_fault_of_the_server() -> None:
    # M1
    async with world(dispatcher=Ends([ends], ServerInfo(name="fuzz"))) as made:
        seen = await modern(made.workers[0].wire, call("ends"))
    assert seen.status == 404
    assert seen.json["error"]["data"] == {"code": "session_ended", "hint": "Open a new session."}
