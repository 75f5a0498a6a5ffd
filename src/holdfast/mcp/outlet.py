"""One connection's way out: what a client does not take in time is not waited for.

A server's `send` waits once the client has left some 64 KiB untaken. What is behind it waits in the store, or with
whoever has it to say; when a piece was not taken for `patience` seconds, the connection is closed, and its client may
come back for the rest. ASGI knows no way to close a connection that takes nothing: where the server offers one, as
`web.http1` does, it is used; any other keeps what it has buffered until the client closes.
"""

from collections.abc import Callable
from typing import Final

import anyio

from holdfast._asgi import ABORT, Receive, Scope, Send
from holdfast.mcp.presence import gone
from holdfast.web.reply import Header

PATIENCE_S: Final = 15.0
LAST_S: Final = 1.0


class Outlet:
    """Sends one response that is a stream. `closed` says that nothing is sent any more.

    Args:
        patience: Seconds for which a piece may not be taken.
    """

    __slots__ = ("_patience", "_receive", "_scope", "_send", "_started", "closed", "when_closed")

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, patience: float = PATIENCE_S) -> None:
        self._scope, self._receive, self._send, self._patience = scope, receive, send, patience
        self._started = self.closed = False
        self.when_closed: Callable[[], object] | None = None  # called when the connection was closed from here

    async def start(self, headers: tuple[Header, ...]) -> None:
        """Begin the response."""
        self._started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": [*headers]})

    async def write(self, data: bytes) -> None:
        """Send a piece. Nobody may be there any more: servers drop it or raise OSError, both are fine."""
        await self._put(data, self._patience, more=True)

    async def end(self) -> None:
        """End the response."""
        if self._started:
            await self._put(b"", min(self._patience, LAST_S), more=False)
        self.closed = True

    async def leave(self) -> None:
        """End the response, and tell: the client has come back on another connection."""
        await self.end()
        self._tell()

    async def _put(self, data: bytes, patience: float, *, more: bool) -> None:
        if self.closed:
            return
        with anyio.move_on_after(patience) as limit:
            try:
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
            except OSError:
                self.closed = True
        if limit.cancelled_caught:
            self.closed = True
            await self._abort()
            self._tell()

    async def _abort(self) -> None:
        abort = self._scope.get("extensions", {}).get(ABORT)
        if abort is not None:
            abort["call"]()
            with anyio.CancelScope(shield=True), anyio.move_on_after(LAST_S):
                await gone(self._receive)  # else the server takes it for a mistake that the response has no end

    def _tell(self) -> None:
        if self.when_closed is not None:
            self.when_closed()
