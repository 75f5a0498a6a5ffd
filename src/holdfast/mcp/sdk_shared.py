"""What an SDK server keeps to its own process, shared with all workers: changes that it tells, states that it seals.

Imports the SDK, so it is loaded with `sdk` only.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

from mcp.server.lowlevel.server import Server
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.request_state import (
    AESGCMRequestStateCodec,
    InvalidRequestState,
    RequestStateBoundary,
    RequestStateCodec,
)
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.subscriptions import PromptsListChanged, ResourcesListChanged, ServerEvent, ToolsListChanged

from holdfast.core.sealing import KeyRing, Unreadable
from holdfast.mcp.changes import Change, Changes
from holdfast.mcp.handles import SHOWN
from holdfast.mcp.state import as_bytes, as_text

PREFIX: Final = "hf1."
BOUND: Final = b"mcp.sdk.state"
_LISTS: Final[dict[type, Change]] = {
    ToolsListChanged: Change("tools"),
    PromptsListChanged: Change("prompts"),
    ResourcesListChanged: Change("resources"),
}


def show_errors() -> None:
    """Let the words of a dead handle's error reach the client: servers hide those of errors they do not expect."""
    theirs = getattr(sys.modules.get("fastmcp.exceptions"), "ToolError", None)
    for shown in (ToolError, theirs):
        if isinstance(shown, type) and not any(issubclass(known, shown) for known in SHOWN):
            SHOWN.append(shown)


def change_of(event: ServerEvent) -> Change:
    """Return the change that the SDK calls by this name."""
    return _LISTS.get(type(event)) or Change("resource", getattr(event, "uri", ""))


def tell_changes(handler: ListenHandler, changes: Changes) -> Callable[[], None]:
    """Pass on what the server tells on its bus, and return how to stop that.

    The SDK's own bus ends with the process, so what is told there goes to every worker. Another bus is the server's
    own way to all of them, and is heard at each.
    """
    bus = handler._bus
    everywhere = isinstance(bus, InMemorySubscriptionBus)

    def tell(event: ServerEvent) -> None:
        (changes.announce if everywhere else changes.tell_here)(change_of(event))

    return bus.subscribe(tell)


class SharedCodec:
    """Seals with the engine's keys, which all workers have; opens what the server's own codec has sealed as well."""

    def __init__(self, keys: KeyRing, before: RequestStateCodec) -> None:
        self._keys, self._before = keys, before

    def seal(self, payload: bytes) -> str:
        """Return a payload as text that every worker opens."""
        return PREFIX + as_text(self._keys.seal(payload, BOUND))

    def unseal(self, token: str) -> bytes:
        """Return the payload; raise InvalidRequestState."""
        if not token.startswith(PREFIX):
            return self._before.unseal(token)
        try:
            return self._keys.open(as_bytes(token.removeprefix(PREFIX)), BOUND)
        except (Unreadable, ValueError) as exc:
            raise InvalidRequestState("seal") from exc


def share_states(server: Server[Any], keys: KeyRing) -> None:
    """Let a state that one worker has sealed be opened by any.

    `MCPServer` seals with a key of the process unless it was given one, so a retry at another worker would be refused.
    Expiry, principal, method and arguments stay the SDK's to check. A codec of one's own is left alone.
    """
    for middleware in server.middleware:
        if isinstance(middleware, RequestStateBoundary):
            security = middleware._security
            before = security.codec
            if isinstance(before, SharedCodec):
                before = before._before
            if isinstance(before, AESGCMRequestStateCodec):
                security.codec = SharedCodec(keys, before)
