"""A request on its way through another application: what it has changed is saved before its answer begins."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec

from holdfast._asgi import ASGIApp, Message, Receive, Scope, Send
from holdfast.core.holding import Running
from holdfast.errors import BadInput, HoldfastError, SessionError
from holdfast.web.reply import JSON_TYPE, RETRY_AFTER_S, Header, come_back, reply

POLICY_VIOLATION: Final = 1008  # RFC 6455 §7.4.1
INTERNAL_ERROR: Final = 1011
SAVED_BEFORE: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.send", "websocket.close", "websocket.http.response.start"}
)


class Served:
    """One request with a session, as the application sees it.

    Args:
        scope: What the application gets.
        save: Writes what was changed. What it raises before the first byte is answered in the application's place.
        headers: Gives the headers that go out with the answer, once all is saved.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        save: Callable[[], Awaitable[None]],
        headers: Callable[[], Iterable[Header]],
    ) -> None:
        self.scope = scope
        self._receive, self._send, self._save, self._headers = receive, send, save, headers
        self._began = self._closed = self._failed = False

    async def through(self, app: ASGIApp) -> None:
        """Serve the request, and save what was changed after the answer."""
        await app(self.scope, self.receive, self.send)
        if not self._failed:
            await self._save()

    async def while_running(self, app: ASGIApp, running: Running) -> None:
        """Serve the request as a use of its session: when that ends, so does the request."""
        try:
            async with running:
                await self.through(app)
        except SessionError as exc:
            await self.refuse(exc)

    async def receive(self) -> Message:
        """Pass on what the client sends."""
        message = await self._receive()
        self._closed = self._closed or message["type"] == "websocket.disconnect"
        return message

    async def send(self, message: Message) -> None:
        """Pass on what the application sends, once what it has changed is saved."""
        if self._failed:
            return
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if message["type"] in SAVED_BEFORE or last:
            try:
                await self._save()
            except HoldfastError as exc:
                await self.refuse(exc)
                if last:  # the client must not take what it has got for the whole
                    raise
                return
        if message["type"].endswith(("response.start", "accept")):
            message = {**message, "headers": [*message.get("headers", ()), *self._headers()]}
        self._began, self._closed = True, message["type"] == "websocket.close"
        await self._send(message)

    async def redirect(self, to: bytes) -> None:
        """Send the client elsewhere in place of the application's answer."""
        self._failed = True
        await reply(self._send, 303, headers=[(b"location", to), *self._headers()])

    async def refuse(self, error: HoldfastError) -> None:
        """Answer with an error in place of the application, as far as that is still possible."""
        possible = not self._closed if self.scope["type"] == "websocket" else not self._began
        if possible and not self._failed:
            await refuse(self.scope, self._send, error, self._headers())
        self._failed = True


async def refuse(scope: Scope, send: Send, error: HoldfastError, headers: Iterable[Header] = ()) -> None:
    """Answer a request with an error: its status, and as JSON its code, text and hint."""
    if scope["type"] == "websocket":
        code = POLICY_VIOLATION if isinstance(error, BadInput | SessionError) else INTERNAL_ERROR
        await send({"type": "websocket.close", "code": code, "reason": error.code})
        return
    body = msgspec.json.encode({"error": {"code": error.code, "message": str(error), "hint": error.hint}})
    again = come_back(error.status, getattr(error, "retry_after", RETRY_AFTER_S))
    await reply(send, error.status, body, (JSON_TYPE, *again, *headers))
