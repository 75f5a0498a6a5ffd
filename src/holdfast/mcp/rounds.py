"""Multi round-trip requests of our own tools: what a tool asks for by its result, and what comes back with the retry.

Modern clients get the questions as a result and send the call anew; legacy ones are asked on the call's stream, and
the tool is called anew right here. So a tool is written once for both (SEP-2322, mcp.md §6.6).
"""

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from holdfast.core.manager import Manager
from holdfast.mcp import state as states
from holdfast.mcp.dispatch import Context
from holdfast.mcp.jsonrpc import JSON, RpcError
from holdfast.mcp.protocol import INTERNAL_ERROR, INVALID_PARAMS, MISSING_CAPABILITY
from holdfast.mcp.tool import InputRequired

# What a client must have declared to be asked for something.
CAPABILITY_FOR: Final = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
_RESPONSES: Final = msgspec.json.Decoder(dict[str, dict[str, Any]])


class Call(msgspec.Struct, frozen=True):
    """The params of `tools/call`."""

    name: str
    arguments: Raw = Raw(b"{}")
    responses: Raw | UnsetType = msgspec.field(default=UNSET, name="inputResponses")
    state: str | None = msgspec.field(default=None, name="requestState")

    @property
    def is_retry(self) -> bool:
        """Whether it brings something back."""
        return self.responses is not UNSET or self.state is not None


async def recall(manager: Manager, context: Context, call: Call) -> None:
    """Put what a retry brings back where the tool finds it; raise RpcError if it does not hold."""
    if call.responses is not UNSET:
        try:
            context.input_responses = _RESPONSES.decode(call.responses)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise RpcError(INVALID_PARAMS, f"inputResponses: {exc}") from None
    if call.state is not None:
        context.request_state = await states.unseal(manager, context, call.name, call.arguments, call.state)


def ask(manager: Manager, context: Context, call: Call, wanted: InputRequired) -> bytes:
    """Return the result that asks a modern client, as JSON without the closing brace."""
    check(context, wanted)
    result: dict[str, Any] = {"resultType": "input_required"}
    if wanted.requests:
        result["inputRequests"] = wanted.requests
    if wanted.state is not None:
        result["requestState"] = states.seal(
            manager, context, call.name, call.arguments, wanted.state, once=wanted.once
        )
    return JSON.encode(result)[:-1]


async def ask_now(context: Context, wanted: InputRequired) -> None:
    """Ask a legacy client, and put its answers where the tool finds them."""
    check(context, wanted)
    answers = {}
    for key, request in wanted.requests.items():
        answers[key] = await context.line.ask(request["method"], request.get("params", {}), None)
    context.input_responses, context.request_state = answers, wanted.state


def check(context: Context, wanted: InputRequired) -> None:
    """Raise RpcError if this client must not be asked for it, or nobody can be."""
    if not wanted.requests and wanted.state is None:
        raise RpcError(INTERNAL_ERROR, "the tool asks for input, but for none")
    for request in wanted.requests.values():
        needed = CAPABILITY_FOR.get(request.get("method", ""))
        if needed is None:
            raise RpcError(INTERNAL_ERROR, f"the tool asks for {request.get('method')!r}, which no client answers")
        if needed not in context.capabilities:
            data: dict[str, Any] = {"requiredCapabilities": {needed: {}}}
            raise RpcError(MISSING_CAPABILITY, f"this call needs a client with the capability {needed}", data)
