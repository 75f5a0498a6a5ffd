"""MCP sessions before any ASGI application: what it keeps in one is there with the next request, at any worker (M22).

    mcp = holdfast.mcp.asgi(server, store="redis://…")
    app = McpSessionMiddleware(Starlette(routes=[Route("/basket", basket), Mount("/", mcp)]), sessions_of=mcp)

    async def basket(request):
        data = request.scope["mcp.session"]
        data["seen"] = data.get("seen", 0) + 1

What was changed is saved before the answer's first byte, and what was changed after that before its last. Nothing is
refused for a bad id or token: the application decides what it serves without a session. Origin and Host are its own to
check.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from holdfast._asgi import ASGIApp, Message, Receive, Scope, Send
from holdfast.core.holding import Running
from holdfast.errors import BadInput, ConfigurationError, HoldfastError, SessionError
from holdfast.mcp.answer import JSON_TYPE
from holdfast.mcp.compose import McpApp, asgi
from holdfast.mcp.visitors import Visit
from holdfast.web.reply import RETRY_AFTER_S, Header, come_back, reply
from holdfast.web.session_data import OnConflict, SessionData

DATA: Final = "mcp.session"
ID: Final = "mcp.session_id"
MODIFIED: Final = "mcp.session_modified"
POLICY_VIOLATION: Final = 1008  # RFC 6455 §7.4.1
INTERNAL_ERROR: Final = 1011
SAVED_BEFORE: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.send", "websocket.close", "websocket.http.response.start"}
)


class McpSessionMiddleware:
    """An ASGI application around another, which finds these in the scope of a request that names a session:

    - `mcp.session_id`: the id, also one of no session;
    - `mcp.session`: what is kept in the session, a dictionary that may be changed, also deep inside; not there if the
      id is malformed, unknown, expired, or another principal's;
    - `mcp.session_modified`: may be set to True, to have it saved whether it looks changed or not;
    - `mcp.session_user_id`, `mcp.session_scopes` and `mcp.session_authenticated_at`: who the session belongs to.

    A request without an id stores nothing. Two different ids are answered with 400. Data that cannot be saved are
    answered with their error in place of the application's answer: 413 for too much, 404 for a session that has ended
    meanwhile, 503 while the store is out of reach.

    Args:
        app: The application.
        sessions_of: The MCP application whose sessions these are, in the same process. It need not be running: it is
            opened with the lifespan, or by the first request.
        on_conflict: Settles what is kept of a key that two requests have changed at the same time, as for
            `SessionData.save`. Left out, the later one's value is. Other keys are not touched.
        options: Without `sessions_of`, what `asgi` takes: `store`, `keys`, `token`, …, for sessions of an MCP server
            in other processes on that store.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        sessions_of: McpApp | None = None,
        on_conflict: OnConflict | None = None,
        **options: Any,
    ) -> None:
        if sessions_of is not None and options:
            raise ConfigurationError(f"sessions_of says it all; {', '.join(options)} must be left out")
        self._app, self._on_conflict = app, on_conflict
        self._sessions = sessions_of or asgi([], **{"calm_gc": False, **options})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] in ("http", "websocket"):
            await self._serve({**scope}, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            visitors = (await self._sessions.endpoint()).visitors
            visit = await visitors.visit(scope)
        except HoldfastError as exc:
            await _refuse(scope, send, exc)
            return
        if visit is None:
            await self._app(scope, receive, send)
        elif visit.session is None:
            await self._app({**scope, ID: visit.session_id}, receive, send)
        else:
            data = visitors.data(visit.session)
            served = _Served(scope, visit, data, (receive, send), self._on_conflict)
            if scope["type"] == "http":
                await self._app(served.scope, receive, served.send)
            else:
                await served.connected(self._app, visitors.running(visit.session))
            await served.finish()

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the sessions once the application has started, unless it did so itself, and close them after it."""
        failed = False

        async def open_first(message: Message) -> None:
            nonlocal failed
            if failed:
                return
            if message["type"] == "lifespan.startup.complete":
                try:
                    await self._sessions.endpoint()
                except Exception as exc:
                    failed = True
                    await send({"type": "lifespan.startup.failed", "message": str(exc)})
                    raise
            await send(message)

        try:
            await self._app(scope, receive, open_first)
        finally:
            await self._sessions.aclose()


class _Served:
    """One request with a session, on its way through the application."""

    def __init__(
        self, scope: Scope, visit: Visit, data: SessionData, ways: tuple[Receive, Send], on_conflict: OnConflict | None
    ) -> None:
        self.scope: Scope = {**scope, ID: visit.session_id, DATA: data}
        self._receive, self._send = ways
        self._data, self._on_conflict, self._headers = data, on_conflict, visit.headers
        self._began = self._closed = self._failed = False

    async def connected(self, app: ASGIApp, running: Running) -> None:
        """Serve a WebSocket: while it is open the session is in use, and when the session ends it is closed."""
        try:
            async with running:
                await app(self.scope, self._received, self.send)
        except SessionError as exc:
            await self.refuse(exc)

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
            message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
        self._began, self._closed = True, message["type"] == "websocket.close"
        await self._send(message)

    async def finish(self) -> None:
        """Save what was changed after the answer."""
        if not self._failed:
            await self._save()

    async def refuse(self, error: HoldfastError) -> None:
        """Answer with an error in place of the application, as far as that is still possible."""
        possible = not self._closed if self.scope["type"] == "websocket" else not self._began
        if possible and not self._failed:
            await _refuse(self.scope, self._send, error, self._headers)
        self._failed = True

    async def _received(self) -> Message:
        message = await self._receive()
        self._closed = self._closed or message["type"] == "websocket.disconnect"
        return message

    async def _save(self) -> None:
        held = self.scope.get(DATA)
        if held is not self._data:
            if not isinstance(held, Mapping):
                return
            self._data.clear()
            self._data.update(held)
        by_hand = self.scope.pop(MODIFIED, False)
        await self._data.save(on_conflict=self._on_conflict, unchanged=bool(by_hand))


async def _refuse(scope: Scope, send: Send, error: HoldfastError, headers: tuple[Header, ...] = ()) -> None:
    if scope["type"] == "websocket":
        code = POLICY_VIOLATION if isinstance(error, BadInput | SessionError) else INTERNAL_ERROR
        await send({"type": "websocket.close", "code": code, "reason": error.code})
        return
    body = msgspec.json.encode({"error": {"code": error.code, "message": str(error), "hint": error.hint}})
    again = come_back(error.status, getattr(error, "retry_after", RETRY_AFTER_S))
    await reply(send, error.status, body, (JSON_TYPE, *again, *headers))
