"""The ASGI types, spelled once, and what is often asked of them."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

ABORT: Final = "holdfast.abort"  # an extension: `{"call": …}` drops the connection, with what was not sent yet


def header(scope: Scope, name: bytes) -> bytes:
    """Return the first header of a name in lower case, as it came; empty if there is none."""
    return next((value for found, value in scope["headers"] if found == name), b"")
