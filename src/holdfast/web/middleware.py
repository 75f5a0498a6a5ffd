"""Sessions and logons for any ASGI application (S16, S17).

security = Security(store="redis://…")
app = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, security=security, application="shop")])

async def basket(request):
    request.session["basket"] = [*request.session.get("basket", []), "tea"]     # saved before the first byte

async def orders(request):
    logon = await require(request, role="clerk", max_age=600)
"""

from collections.abc import Collection
from typing import Any, Final
from urllib.parse import quote

import msgspec

from holdfast._asgi import ASGIApp, Message, Receive, Scope, Send
from holdfast.errors import ConfigurationError, Forbidden, HoldfastError, NotLoggedOn, StepUpNeeded
from holdfast.web.cookies import Cookie, SameSite
from holdfast.web.security import Logon
from holdfast.web.served import Served, refuse
from holdfast.web.session_data import OnConflict
from holdfast.web.site import Security
from holdfast.web.visit import Visit

SESSION: Final = "session"  # where Starlette and its kin look for it
VISIT: Final = "holdfast.visit"


class SessionMiddleware:
    """An ASGI application around another, whose requests then have a session.

    `scope["session"]`, which Starlette and FastAPI call `request.session`, is a dictionary of plain values. What was
    changed in it, also deep inside, is written before the answer's first byte; two requests that change different keys
    at the same time both win. Reading costs one trip to the store, and none without a cookie; a visitor who leaves
    nothing is not stored. A request ends when its session does.

    Args:
        app: The application.
        security: What all applications of the process share.
        application: The application's name: others do not see its data, and settings under `[apps.NAME]` are its own.
        cookie: The name of its cookie; its own name if left out.
        same_site: Of that cookie.
        keeps: The keys of a visitor's data that survive a logon (S3).
        logon_path: Where a browser is sent that asks for what needs a logon; it comes back with `next`. Left out, it is
            answered 401.
        on_conflict: Settles what is kept of a key that two requests have changed at the same time; see
            `SessionData.save`.

    Raises:
        ConfigurationError: The name cannot be a cookie's.
    """

    def __init__(
        self,
        app: ASGIApp,
        security: Security,
        *,
        application: str,
        cookie: str | None = None,
        same_site: SameSite = "lax",
        keeps: Collection[str] = (),
        logon_path: str = "",
        on_conflict: OnConflict | None = None,
    ) -> None:
        if not application:
            raise ConfigurationError("an application needs a name")
        self._app, self._security, self._application = app, security, application
        self._cookie = Cookie(cookie or application, same_site=same_site, proxies=security.proxies)
        self._keeps, self._logon_path, self._on_conflict = frozenset(keeps), logon_path, on_conflict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] in ("http", "websocket"):
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            running = await self._security.opened.get()
            visit = Visit(
                scope,
                self._security,
                running,
                application=self._application,
                cookie=self._cookie,
                keeps=self._keeps,
                on_conflict=self._on_conflict,
            )
            await visit.find()
        except HoldfastError as exc:
            await refuse(scope, send, exc)
            return
        inner: Scope = {**scope, SESSION: visit.data, VISIT: visit}
        served = Served(inner, receive, send, save=visit.save, headers=visit.headers)
        try:
            if visit.node is None:
                await served.through(self._app)
            else:
                visit.call = running.manager.running(visit.node)
                await served.while_running(self._app, visit.call)
        except NotLoggedOn as exc:
            if self._logon_path and _is_page(scope):
                await served.redirect(self._way(scope))
            else:
                await served.refuse(exc)
        except (StepUpNeeded, Forbidden) as exc:
            await served.refuse(exc)

    def _way(self, scope: Scope) -> bytes:
        """Return the address of the logon, which leads back to what was asked for (S20)."""
        query = scope["query_string"].decode("latin-1")
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        return f"{self._logon_path}?next={quote(path + ('?' + query if query else ''), safe='')}".encode()

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the engine before the application starts, and close it after it."""

        async def opened(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._security.opened.get()
            await send(message)

        try:
            await self._app(scope, receive, opened)
        finally:
            await self._security.opened.aclose()


def current(request: Any) -> Logon | None:
    """Return who has logged on, for a request or an ASGI scope; None for a visitor."""
    return visit_of(request).logon


async def login(request: Any, who: Logon | str, *, ends_at: float | None = None, **facts: Any) -> Logon:
    """Log somebody on: their ids are new, and what a visitor left is kept as the application chose.

    Args:
        request: A request, or its ASGI scope.
        who: The logon, or the name of somebody whose password the application has checked.
        ends_at: When it ends at the latest (Unix seconds).
        facts: More of `Logon`, such as `roles` and `level`, with a name.

    Raises:
        LimitReached: They are logged on as often as they may be.
    """
    visit = visit_of(request)
    now = visit.services.manager.clock()
    logon = Logon(subject=who, **{"method": "password", "at": now, **facts}) if isinstance(who, str) else who
    agent = next((value for name, value in visit.scope["headers"] if name == b"user-agent"), b"").decode("latin-1")
    logon = msgspec.structs.replace(logon, address=logon.address or visit.address, device=logon.device or agent)
    await visit.log_in(logon, ends_at=ends_at)
    return logon


async def logout(request: Any) -> None:
    """End the logon: every session below it, in every application, is gone."""
    await visit_of(request).log_out()


async def require(request: Any, *, role: str | None = None, max_age: float | None = None, level: int = 1) -> Logon:
    """Return who has logged on, or refuse the request.

    Args:
        request: A request, or its ASGI scope.
        role: What they must be.
        max_age: How many seconds ago they must have proved who they are, at most.
        level: How strongly.

    Raises:
        NotLoggedOn: It is a visitor.
        Forbidden: They have not that role.
        StepUpNeeded: They logged on too long ago, or too weakly.
    """
    visit = visit_of(request)
    logon = visit.logon
    if logon is None:
        raise NotLoggedOn("nobody has logged on")
    age = visit.services.manager.clock() - logon.at
    if logon.level < level or (max_age is not None and age > max_age):
        raise StepUpNeeded(f"the logon is {age:.0f} s old and of level {logon.level}")
    if role is not None and role not in logon.roles:
        raise Forbidden(f"that needs the role {role}")
    return logon


def visit_of(request: Any) -> Visit:
    """Return the visit of a request or an ASGI scope."""
    scope = getattr(request, "scope", request)
    visit = scope.get(VISIT)
    if not isinstance(visit, Visit):
        raise ConfigurationError("the request did not come through SessionMiddleware")
    return visit


def _is_page(scope: Scope) -> bool:
    """Say whether a browser wants to show what it asks for."""
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and b"text/html" in accept
