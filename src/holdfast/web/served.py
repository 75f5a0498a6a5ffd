"""A request on its way through another application: what it has changed is saved before its answer begins."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec

from holdfast._asgi import ASGIApp, Message, Receive, Scope, Send
from holdfast.core.holding import Running
from holdfast.errors import HoldfastError, SessionError
from holdfast.web.reply import JSON_TYPE, RETRY_AFTER_S, Header, come_back, reply

logger = logging.getLogger(__name__)

POLICY_VIOLATION: Final = 1008  # RFC 6455 §7.4.1
INTERNAL_ERROR: Final = 1011
BEGIN: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
SAVED_BEFORE: Final = BEGIN | {"websocket.send", "websocket.close"}


class Served:
    """One request with a session, as the application sees it.

    Args:
        scope: What the application gets.
        save: Writes what was changed. What it raises before the first byte is answered in the application's place.
        headers: Gives the headers that go out with an answer for those the application gives, once all is saved.
        refusal: What the application was refused, if it was: frameworks that turn every exception into a 500 of
            their own cannot hide it.
        way: Where a browser is sent in place of an answer that would be an error; None: nowhere.
        challenges: Gives the headers that tell a refused program how to log on.
    """

    __slots__ = (
        "_began",
        "_challenges",
        "_closed",
        "_failed",
        "_headers",
        "_receive",
        "_refusal",
        "_save",
        "_send",
        "_way",
        "scope",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        save: Callable[[], Awaitable[None]],
        headers: Callable[[Iterable[Header]], list[Header]],
        refusal: Callable[[], HoldfastError | None] = lambda: None,
        way: Callable[[Scope, HoldfastError], bytes | None] = lambda scope, error: None,
        challenges: Callable[[Scope, HoldfastError], Iterable[Header]] = lambda scope, error: (),
    ) -> None:
        self.scope = scope
        self._receive, self._send, self._save, self._headers = receive, send, save, headers
        self._way, self._refusal, self._challenges = way, refusal, challenges
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
        kind = message["type"]
        last = kind == "http.response.body" and not message.get("more_body", False)
        if last or kind in SAVED_BEFORE:
            try:
                await self._save()
            except HoldfastError as exc:
                await self.refuse(exc)
                if last:  # the client must not take what it has got for the whole
                    raise
                return
            if kind in BEGIN:
                refusal = self._refusal()
                if refusal is not None and message.get("status", 0) >= 500:
                    await self.refuse(refusal)
                    return
                message = {**message, "headers": self._headers(message.get("headers", ()))}
            elif kind == "websocket.close":
                self._closed = True
        self._began = True
        await self._send(message)

    async def refuse(self, error: HoldfastError) -> None:
        """Answer with an error in place of the application, as far as that is still possible."""
        if self._failed:
            return
        self._failed = True
        if self._closed if self.scope["type"] == "websocket" else self._began:
            logger.warning("the answer had begun when it failed: %s: %s", error.code, error)
            return
        to = self._way(self.scope, error)
        if to is not None:
            await reply(self._send, 303, headers=self._headers([(b"location", to)]))
        else:
            await refuse(self.scope, self._send, error, self._headers(self._challenges(self.scope, error)))


async def refuse(scope: Scope, send: Send, error: HoldfastError, headers: Iterable[Header] = ()) -> None:
    """Answer a request with an error: its status, and as JSON its code, text and hint."""
    if scope["type"] == "websocket":
        code = POLICY_VIOLATION if error.status < 500 else INTERNAL_ERROR
        await send({"type": "websocket.close", "code": code, "reason": error.code})
        return
    body = msgspec.json.encode({"error": {"code": error.code, "message": str(error), "hint": error.hint}})
    again = come_back(error.status, getattr(error, "retry_after", RETRY_AFTER_S))
    await reply(send, error.status, body, (JSON_TYPE, *again, *headers))
