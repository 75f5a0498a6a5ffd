"""Sticky sessions below logons of the web face: S6, O7."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from holdfast.config import Settings
from holdfast.errors import ConfigurationError
from holdfast.odata.server import Service, asgi, sticky_kind
from holdfast.odata.server.kind import STICKY
from holdfast.web.middleware import SessionMiddleware, login, logout
from holdfast.web.site import Security
from odata.server.world import BASE, Orders, Tab


async def log_in(request: Request) -> Response:
    await login(request, request.path_params["who"])
    return Response()


async def log_out(request: Request) -> Response:
    await logout(request)
    return Response()


@asynccontextmanager
async def office() -> AsyncIterator[tuple[Security, Orders, httpx2.ASGITransport]]:
    """Serve the orders to who has logged on."""
    orders = Orders()
    service = Service("Demo", orders)
    security = Security(settings=Settings(_env_file=None), kinds=[sticky_kind([service])])
    pages = [Route("/login/{who}", log_in), Route("/logout", log_out), Mount("/svc", asgi(service, security=security))]
    app = SessionMiddleware(Starlette(routes=pages), security, application="office", csrf="off")
    async with security.opened.running():
        yield security, orders, httpx2.ASGITransport(app=app, client=("127.0.0.1", 40_000))


def browser(transport: httpx2.ASGITransport) -> httpx2.AsyncClient:
    """Return another browser."""
    return httpx2.AsyncClient(transport=transport, base_url=BASE)


async def test_a_session_hangs_below_the_logon_and_ends_with_it() -> None:
    # S6, O9
    async with office() as (security, orders, transport), browser(transport) as ann:
        await ann.get("/login/ann")
        tab = Tab(ann, "/svc/")
        edited = await tab.send("POST", "Orders('1')/Demo.Edit", {})
        assert edited.status_code == 200, edited.text
        assert edited.json()["@odata.context"] == "/svc/$metadata#Orders/$entity"
        manager = (await security.opened.get()).manager
        [node] = [record async for record in manager.each("kind", STICKY)]
        assert node.parent is not None
        assert node.owner == "ann"
        await ann.get("/logout")
        assert await manager.gone(node.ref, timeout=9.0)
        assert not orders.locks


async def test_an_id_of_another_persons_tab_is_unknown() -> None:
    # O7
    async with office() as (_, _, transport), browser(transport) as ann, browser(transport) as bob:
        await ann.get("/login/ann")
        await bob.get("/login/bob")
        tab, other = Tab(ann, "/svc/"), Tab(bob, "/svc/")
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        stolen = await other.send("GET", "Orders('1')", SAP_ContextId=str(tab.id))
        assert (stolen.status_code, stolen.headers["sap-err-id"]) == (400, "ICMENOSESSION")
        forged = await other.send("POST", "Orders('2')/Demo.Edit", {}, X_CSRF_Token=tab.token)
        assert (forged.status_code, forged.headers["x-csrf-token"]) == (403, "Required")
        assert (await tab.send("GET", "Orders('1')")).status_code == 200


async def test_a_token_of_an_earlier_logon_is_none_of_the_next() -> None:
    # O13: the token belongs to the logon
    async with office() as (_, _, transport), browser(transport) as ann:
        await ann.get("/login/ann")
        tab = Tab(ann, "/svc/")
        await tab.fetch()
        await ann.get("/logout")
        await ann.get("/login/ann")
        answer = await tab.send("POST", "Orders('1')/Demo.Edit", {})
        assert (answer.status_code, answer.headers["x-csrf-token"]) == (403, "Required")


async def test_a_security_that_does_not_know_the_service_is_a_mistake() -> None:
    service = Service("Demo", Orders())
    security = Security(settings=Settings(_env_file=None))
    async with security.opened.running():
        with pytest.raises(ConfigurationError, match="unknown to its Security"):
            async with asgi(service, security=security).opened.running():
                pass
