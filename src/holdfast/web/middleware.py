"""Sessions and logons for any ASGI application (S16, S17).

security = Security(store="redis://…")
app = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, security=security, application="shop")])

async def basket(request):
    request.session["basket"] = [*request.session.get("basket", []), "tea"]     # saved before the first byte

async def orders(request):
    logon = await require(request, role="clerk", max_age=600)
"""

from collections.abc import Collection, Sequence
from typing import Any, Final, get_args
from urllib.parse import quote

import msgspec

from holdfast._asgi import ASGIApp, Receive, Scope, Send
from holdfast.errors import (
    ConfigurationError,
    Forbidden,
    HoldfastError,
    NotLoggedOn,
    SessionEnded,
    SessionNotFound,
    StepUpNeeded,
)
from holdfast.web import csrf
from holdfast.web.application import Application, Paths
from holdfast.web.binding import STRICTNESS, Binding, Bindings
from holdfast.web.cookies import Cookie, SameSite
from holdfast.web.csrf import Csrf
from holdfast.web.lifespan import live
from holdfast.web.methods import Credentials, Form, Ways
from holdfast.web.security import Logon
from holdfast.web.served import Served, refuse
from holdfast.web.session_data import OnConflict
from holdfast.web.site import Security
from holdfast.web.visit import SESSION, Visit

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
        logon: The ways to log on: `Form(path)`, where a browser is sent that asks for what needs a logon, and comes
            back with `next`; `Basic` and `Token` for programs, which are answered 401 with a challenge.
        logon_path: The same as `Form(logon_path)`.
        on_conflict: Settles what is kept of a key that two requests have changed at the same time; see
            `SessionData.save`.
        csrf: Whether requests that change something must come from this site's pages: `auto`, with a token where the
            browser does not say so; `token`, with a token in any case; `off` (S11).
        csrf_exempt: Paths for which that is not asked; one that ends with `/` stands for all below it.
        binding: What it means that a session is used from another address or with another browser: one for both, or
            `Bindings(address, agent)`; as the settings say if left out (S12).
        background: Paths whose requests are no activity of the user, such as polling, in the same form (R25).

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
        logon: Sequence[Form | Credentials] = (),
        logon_path: str = "",
        on_conflict: OnConflict | None = None,
        csrf: Csrf = "auto",
        csrf_exempt: Collection[str] = (),
        binding: Binding | Bindings | None = None,
        background: Collection[str] = (),
    ) -> None:
        if not application:
            raise ConfigurationError("an application needs a name")
        if csrf not in get_args(Csrf) or not (
            binding is None or isinstance(binding, Bindings) or binding in STRICTNESS
        ):
            raise ConfigurationError(f"csrf is {csrf!r} and binding is {binding!r}: one of them is no choice")
        if binding is None:
            bindings = Bindings(security.settings.binding_address, security.settings.binding_agent)
        else:
            bindings = binding if isinstance(binding, Bindings) else Bindings(binding, binding)
        self._app, self._security = app, security
        self._ways = Ways([*([Form(logon_path)] if logon_path else []), *logon])
        self._csrf, self._exempt = csrf, Paths(csrf_exempt)
        self._application = Application(
            name=application,
            cookie=Cookie(cookie or application, same_site=same_site, proxies=security.proxies),
            keeps=frozenset(keeps),
            on_conflict=on_conflict,
            binding=bindings,
            background=Paths(background),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] in ("http", "websocket"):
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            opened = self._security.opened
            await live(self._app, scope, receive, send, open=opened.get, close=opened.aclose)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            running = self._security.opened.value or await self._security.opened.get()
            devices = self._security.devices
            if devices is not None and scope["type"] == "http" and scope["path"] in devices:
                await devices.serve(scope, send, running.manager, running.rates)
                return
            inner: Scope = dict(scope)
            inner[VISIT] = visit = Visit(inner, self._security, running, self._application)
            await visit.find()
            if visit.unknown and (limited := await visit.limited()) is not None:
                await refuse(scope, send, limited, visit.headers())
                visit.leave()
                return
            by_credentials = self._ways.takes_any and await self._ways.enter(visit, self._application.name)
            inner[SESSION] = visit.data
            if not by_credentials and self._minds(scope, visit):
                receive = await self._guarded(visit, receive)
        except HoldfastError as exc:
            await refuse(scope, send, exc, self._ways.challenges(scope, exc))
            return
        served = Served(
            inner,
            receive,
            send,
            save=visit.save,
            headers=visit.headers,
            refusal=lambda: visit.refusal,
            way=self._way_from,
            challenges=self._ways.challenges,
        )
        try:
            node = visit.node
            if node is None:
                await served.through(self._app)
            else:
                visit.call = running.manager.running(node, counts=visit.counts)
                async with visit.call:
                    await served.through(self._app)
        except (SessionEnded, SessionNotFound):
            await served.refuse(visit.over())
        except HoldfastError as exc:
            if exc.status == 500:
                raise
            await served.refuse(exc)
        finally:
            visit.leave()

    def _minds(self, scope: Scope, visit: Visit) -> bool:
        """Say whether it matters from which site a request comes."""
        changes = scope["type"] == "websocket" or scope["method"] not in csrf.SAFE
        return changes and self._csrf != "off" and visit.node is not None and scope["path"] not in self._exempt

    async def _guarded(self, visit: Visit, receive: Receive) -> Receive:
        """Let pass what comes from this site's pages; return what gives the request's body."""
        scope, settings = visit.scope, self._security.settings
        here = csrf.comes_from_here(scope, self._security.proxies, settings.allowed_origins)
        token = None
        if scope["type"] == "http" and here is not False:
            strict = self._csrf == "token"
            if strict or here is None:
                token, receive = await csrf.token_in(scope, receive, settings.max_body_bytes)
            else:
                token = csrf.token_in_header(scope)
            csrf.check(here, token, visit.ids, strict=strict)
        elif here is False:
            csrf.check(here, token, ())
        return receive

    def _way_from(self, scope: Scope, error: HoldfastError) -> bytes | None:
        """Return where a browser goes that asks for what needs another logon than it has."""
        if self._ways.page and isinstance(error, NotLoggedOn | StepUpNeeded) and _is_page(scope):
            return self._way(scope, error.level if isinstance(error, StepUpNeeded) else 0)
        return None

    def _way(self, scope: Scope, level: int) -> bytes:
        """Return the address of the logon, which leads back to what was asked for (S20); anew, if it needs a level."""
        query = scope["query_string"].decode("latin-1")
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        back = quote(path + ("?" + query if query else ""), safe="")
        stronger = ("&anew=1" if level else "") + (f"&level={level}" if level > 1 else "")
        return f"{self._ways.page}?next={back}{stronger}".encode()


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
    refusal = _refusal(visit, visit.logon, role, max_age, level)
    if refusal is not None and visit.logon is not None:
        refusal = _refusal(visit, await visit.look_again(), role, max_age, level)
    if refusal is not None or visit.logon is None:
        visit.refusal = refusal or NotLoggedOn("nobody has logged on")
        raise visit.refusal
    return visit.logon


async def csrf_token(request: Any) -> str:
    """Return a token for this session: the field `csrf_token` of forms, or `X-CSRF-Token` of requests (S11).

    For a visitor without a session one is opened. Ask for it before the answer begins; it ends with the session's id.
    """
    return await visit_of(request).token()


async def check_csrf(request: Any, token: str | None = None) -> None:
    """Let pass a request that comes from a page of this site, or brought this session's token (R59).

    The middleware asks that of requests in a session by itself. Forms that begin one, as those of a logon, ask for it
    with this; `token` is the form's field, if there was any.

    Raises:
        CrossSite: It does neither.
    """
    visit = visit_of(request)
    here = csrf.comes_from_here(visit.scope, visit.site.proxies, visit.site.settings.allowed_origins)
    csrf.check(here, csrf.token_in_header(visit.scope) or token, visit.ids)


def visit_of(request: Any) -> Visit:
    """Return the visit of a request or an ASGI scope."""
    scope = getattr(request, "scope", request)
    visit = scope.get(VISIT)
    if not isinstance(visit, Visit):
        raise ConfigurationError("the request did not come through SessionMiddleware")
    return visit


def _refusal(
    visit: Visit, logon: Logon | None, role: str | None, max_age: float | None, level: int
) -> HoldfastError | None:
    """Return why a request may not go on."""
    if visit.doubted:
        return StepUpNeeded("the session was used from another address, with another program, or without its device")
    if logon is None:
        return NotLoggedOn("nobody has logged on")
    age = visit.services.manager.clock() - logon.at
    if logon.level < level or (max_age is not None and age > max_age):
        return StepUpNeeded(f"the logon is {age:.0f} s old and of level {logon.level}", level=level)
    if role is not None and role not in logon.roles:
        return Forbidden(f"that needs the role {role}")
    return None


def _is_page(scope: Scope) -> bool:
    """Say whether a browser wants to show what it asks for."""
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and b"text/html" in accept
