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

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from holdfast._asgi import ASGIApp, Receive, Scope, Send
from holdfast.errors import ConfigurationError, HoldfastError
from holdfast.mcp.compose import McpApp, asgi
from holdfast.web.lifespan import live
from holdfast.web.served import Served, refuse
from holdfast.web.session_data import OnConflict, SessionData

DATA: Final = "mcp.session"
ID: Final = "mcp.session_id"
MODIFIED: Final = "mcp.session_modified"


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
            await refuse(scope, send, exc)
            return
        if visit is None:
            await self._app(scope, receive, send)
        elif visit.session is None:
            await self._app({**scope, ID: visit.session_id}, receive, send)
        else:
            data = visitors.data(visit.session)
            inner: Scope = {**scope, ID: visit.session_id, DATA: data}
            save = _saving(inner, data, self._on_conflict)
            served = Served(inner, receive, send, save=save, headers=lambda given: [*given, *visit.headers])
            if scope["type"] == "http":
                await served.through(self._app)
            else:  # while it is open the session is in use, and when the session ends it is closed
                await served.while_running(self._app, visitors.running(visit.session))

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the sessions once the application has started, unless it did so itself, and close them after it."""
        opened, close = self._sessions.endpoint, self._sessions.aclose
        await live(self._app, scope, receive, send, open=opened, close=close)


def _saving(scope: Scope, data: SessionData, on_conflict: OnConflict | None) -> Callable[[], Awaitable[None]]:
    """Return what saves the data of a request's scope, also those that the application has put in their place."""

    async def save() -> None:
        held = scope.get(DATA)
        if held is not data:
            if not isinstance(held, Mapping):
                return
            data.replace(held)
        by_hand = scope.pop(MODIFIED, False)
        await data.save(on_conflict=on_conflict, unchanged=bool(by_hand))

    return save
