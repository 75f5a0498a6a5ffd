"""Sealed `requestState`: what a tool wants back with the answers to its questions, which only it can read.

The seal binds it to the principal, the method, the tool and the arguments; opened for any other request it is nothing.
It expires after ten minutes, and can be made to count once only. Any worker with the same keys opens it.
Source: MCP 2026-07-28, multi round-trip requests (SEP-2322), mcp.md §6.6 and §7; the message is the SDKs'.
"""

import base64
import hashlib
import math
from typing import Any, Final

import msgspec

from holdfast.core.manager import Manager
from holdfast.core.sealing import Unreadable
from holdfast.mcp.dispatch import Context
from holdfast.mcp.jsonrpc import JSON, RpcError
from holdfast.mcp.protocol import INVALID_PARAMS

STATE_TTL_S: Final = 600.0


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    ends_at: float
    once: bool
    state: bytes


def refusal() -> RpcError:
    """Return the one answer to every state that does not hold; why is not for the client to know."""
    reason = {"reason": "invalid_request_state"}
    return RpcError(INVALID_PARAMS, "Invalid or expired requestState", reason)


def seal(manager: Manager, context: Context, tool: str, arguments: bytes, state: Any, *, once: bool) -> str:
    """Return a state as text for the client to bring back."""
    lives = math.inf if context.in_task else STATE_TTL_S  # a task keeps it at the server, for as long as itself
    plain = msgspec.msgpack.encode(_Sealed(manager.clock() + lives, once, JSON.encode(state)))
    return as_text(manager.keys.seal(plain, _bound(context, tool, arguments)))


async def unseal(manager: Manager, context: Context, tool: str, arguments: bytes, text: str) -> Any:
    """Return a state that a client has brought back for the same call; raise RpcError if it does not hold."""
    now = manager.clock()
    try:
        raw = as_bytes(text)
        sealed = msgspec.msgpack.decode(manager.keys.open(raw, _bound(context, tool, arguments)), type=_Sealed)
    except (Unreadable, ValueError, msgspec.DecodeError):
        raise refusal() from None
    if now >= sealed.ends_at:
        raise refusal()
    mark = hashlib.sha256(raw).hexdigest()
    if sealed.once and not await manager.store.counters.once(f"mcp.state.{mark}", now=now, ttl=STATE_TTL_S):
        raise refusal()
    return msgspec.json.decode(sealed.state)


def as_text(raw: bytes) -> str:
    """Return bytes in base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def as_bytes(text: str) -> bytes:
    """Return the bytes of a text that `as_text` has made; raise ValueError for every other text."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if as_text(raw) != text:
        raise ValueError("no canonical base64url")
    return raw


def _bound(context: Context, tool: str, arguments: bytes) -> bytes:
    """Return what the seal binds; arguments count as values, not as they were written."""
    try:
        values = msgspec.json.encode(msgspec.json.decode(arguments), order="sorted")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:  # in a part that the tool does not read
        raise RpcError(INVALID_PARAMS, f"params.arguments: {exc}") from None
    parts = [context.principal, context.method, tool, values.decode()]
    return b"mcp.state" + hashlib.sha256(JSON.encode(parts)).digest()
