"""A service as one ASGI application: engine, sessions and endpoint put together.

    app = asgi(Service("Demo", Orders()), store="sqlite:///sessions.db")        # uvicorn module:app

With a store that several processes share, each of them serves every session. Below a logon of the web face:

    service = Service("Demo", Orders())
    security = Security(store="redis://…", kinds=[sticky_kind([service])])
    app = SessionMiddleware(asgi(service, security=security), security, application="demo", csrf="off", logon=[…])
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from holdfast._asgi import Receive, Scope, Send
from holdfast.config import Settings, load_settings
from holdfast.core.events import Sink
from holdfast.core.manager import Manager
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing
from holdfast.engine import open_engine
from holdfast.errors import ConfigurationError
from holdfast.identity.facts import TokenVerifier
from holdfast.odata.server.callers import Callers
from holdfast.odata.server.endpoint import Endpoint, below
from holdfast.odata.server.kind import STICKY, TIMEOUT_S, sticky_kind
from holdfast.odata.server.service import Service
from holdfast.odata.server.stay import Sessions
from holdfast.odata.server.tokens import COOKIE
from holdfast.web.address import Proxies
from holdfast.web.bearer import Bearer
from holdfast.web.cookies import Cookie
from holdfast.web.guard import Guard
from holdfast.web.kinds import KINDS
from holdfast.web.lifespan import live
from holdfast.web.logon import Logon
from holdfast.web.opened import Opened
from holdfast.web.reply import reply
from holdfast.web.site import Security

logger = logging.getLogger(__name__)

MAX_PARTS = 1000


def asgi(
    service: Service,
    *,
    store: str | Store = "memory://",
    keys: KeyRing | str | None = None,
    settings: Settings | None = None,
    security: Security | None = None,
    token: str | None = None,
    verifier: TokenVerifier | None = None,
    path: str = "",
    timeout: float = TIMEOUT_S,
    wait: float = 30.0,
    max_parts: int = MAX_PARTS,
    csrf: bool = True,
    sink: Sink | None = None,
) -> "ODataApp":
    """Return an ASGI application that serves an OData service with sticky sessions.

    Args:
        service: The service.
        store: Where sessions are kept, a URL or a store that is open.
        keys: Seal what is stored; needed for a store that several machines share.
        settings: Everything else; read from file and environment if left out.
        security: Instead of these: the application stands below a `SessionMiddleware` of it, and its sessions hang
            below the logons there. It must have been made with `kinds=[sticky_kind([service])]`.
        token: The bearer token that clients must send; `settings.token` if left out, empty for none.
        verifier: Says who sends a token, instead.
        path: Where the service root is, such as `/svc`; at the root of the application if left out.
        timeout: Seconds of idle time after which a session ends, as clients are told. OpenUI5 keeps alive from 60 on.
        wait: Seconds for which a request waits for others of its session; then it is answered 503.
        max_parts: Requests in one batch.
        csrf: Whether requests that change something need an `X-CSRF-Token`.
        sink: Takes the facts the engine tells.

    Raises:
        ConfigurationError: A setting, or something of the service, is wrong.
    """
    service.described.xml  # noqa: B018 - what is wrong with it is told now
    chosen = security.settings if security is not None else settings or load_settings()
    return ODataApp(
        service,
        chosen,
        store=store,
        keys=keys,
        security=security,
        logon=Logon(chosen, token=token, verifier=verifier),
        path=path.rstrip("/"),
        timeout=timeout,
        wait=wait,
        max_parts=max_parts,
        csrf=csrf,
        sink=sink,
    )


class ODataApp:
    """One service on an engine of its own, or on that of the web face."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        *,
        store: str | Store,
        keys: KeyRing | str | None,
        security: Security | None,
        logon: Logon,
        path: str,
        timeout: float,
        wait: float,
        max_parts: int,
        csrf: bool,
        sink: Sink | None,
    ) -> None:
        self._service, self._settings, self._store, self._keys, self._sink = service, settings, store, keys, sink
        self._security, self._logon, self._prefix = security, logon, path
        self._timeout, self._manner = timeout, Manner(wait=wait, max_parts=max_parts, csrf=csrf)
        self.opened = Opened(self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await live(_nothing, scope, receive, send, open=self.opened.get, close=self.opened.aclose)
        elif scope["type"] == "http":
            place = below(scope, self._prefix)
            if place is None:
                await reply(send, 404)
                return
            path, root = place
            await (self.opened.value or await self.opened.get())(scope, receive, send, path=path, root=root)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Endpoint]:
        if self._security is not None:
            running = await self._security.opened.get()
            if STICKY not in running.manager.kinds:
                raise ConfigurationError(
                    "the sessions of the service are unknown to its Security",
                    hint="Make it with Security(…, kinds=[sticky_kind([service])]).",
                )
            async with self._logon.open(clock=running.manager.clock) as bearer:
                yield endpoint(self._service, running.manager, bearer, self._settings, **self._manner)
            return
        kinds = (*KINDS, sticky_kind([self._service], timeout=self._timeout))
        async with (
            open_engine(self._store, kinds=kinds, keys=self._keys, settings=self._settings, sink=self._sink) as engine,
            self._logon.open(clock=engine.manager.clock) as bearer,
        ):
            yield endpoint(self._service, engine.manager, bearer, self._settings, **self._manner)


class Manner(TypedDict, total=False):
    """How requests are answered, as `asgi` says."""

    wait: float
    max_parts: int
    csrf: bool


def endpoint(
    service: Service,
    manager: Manager,
    bearer: Bearer,
    settings: Settings,
    *,
    wait: float = 30.0,
    max_parts: int = MAX_PARTS,
    csrf: bool = True,
) -> Endpoint:
    """Return a service on an engine that is open, and whose kinds include `sticky_kind([service])`."""
    proxies = Proxies(settings.trusted_proxies)
    return Endpoint(
        Sessions(manager, service, wait=wait),
        Callers(manager, bearer, proxies=proxies, cookie=Cookie(COOKIE, proxies=proxies)),
        bearer,
        guard=Guard(settings.allowed_origins, settings.allowed_hosts),
        proxies=proxies,
        max_body_bytes=settings.max_body_bytes,
        max_parts=max_parts,
        csrf=csrf,
    )


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Be an application that knows no lifespan."""
