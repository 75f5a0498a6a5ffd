"""Sessions and logons for any ASGI application, in process, through two applications of one site."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from holdfast.config import Settings
from holdfast.core.model import Reason
from holdfast.core.ports import Store
from holdfast.engine import open_engine
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.testing.sink import RecordingSink
from holdfast.web.kinds import KINDS
from holdfast.web.middleware import SessionMiddleware, current, login, logout, require
from holdfast.web.site import Running, Security

HOST = "https://site.example"


async def show(request: Request) -> Response:
    logon = current(request)
    return JSONResponse({"who": logon.subject if logon else None, "data": dict(request.session)})


async def put(request: Request) -> Response:
    request.session.update(request.query_params)
    return JSONResponse(dict(request.session))


async def log_in(request: Request) -> Response:
    await login(request, request.path_params["who"], roles=("clerk",))
    return await show(request)


async def log_out(request: Request) -> Response:
    await logout(request)
    return await show(request)


async def orders(request: Request) -> Response:
    logon = await require(request, role=request.query_params.get("role"), max_age=600)
    return JSONResponse(logon.subject)


@dataclass
class Site:
    clock: Clock
    security: Security
    running: Running
    sink: RecordingSink
    apps: dict[str, SessionMiddleware | Starlette]

    @asynccontextmanager
    async def browser(self, jar: httpx2.Cookies | None = None) -> AsyncIterator["Browser"]:
        jar = jar if jar is not None else httpx2.Cookies()
        yield Browser(self, jar)


@dataclass
class Browser:
    site: Site
    jar: httpx2.Cookies

    async def get(self, app: str, path: str = "/", **headers: str) -> httpx2.Response:
        return await self.send("GET", app, path, **headers)

    async def send(self, method: str, app: str, path: str = "/", data: Any = None, **headers: str) -> httpx2.Response:
        more = {} if data is None else {"content" if isinstance(data, str) else "data": data}
        transport = httpx2.ASGITransport(self.site.apps[app])  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url=HOST, cookies=self.jar) as client:
            answer = await client.request(
                method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}, **more
            )
            self.jar = httpx2.Cookies(client.cookies)
            return answer

    async def seen(self, app: str, path: str = "/") -> Any:
        return (await self.get(app, path)).json()


@asynccontextmanager
async def site_on(store: Store, settings: Settings | None = None) -> AsyncIterator[Site]:
    """Two applications under one logon, on a store."""
    clock, sink = Clock(1000.0), RecordingSink()
    routes = [
        Route("/", show),
        Route("/put", put),
        Route("/login/{who}", log_in),
        Route("/logout", log_out),
        Route("/orders", orders),
    ]
    async with open_engine(
        store, kinds=KINDS, settings=settings or Settings(), clock=clock, sink=sink, keeper=False
    ) as engine:
        security = Security(engine=engine)
        apps: dict[str, SessionMiddleware | Starlette] = {
            name: Starlette(
                routes=routes,
                middleware=[
                    Middleware(
                        SessionMiddleware, security=security, application=name, keeps=["basket"], logon_path="/logon"
                    )
                ],
            )
            for name in ("shop", "bank")
        }
        running = await security.opened.get()
        yield Site(clock, security, running, sink, apps)
        await security.opened.aclose()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with site_on(memory_store()) as made:
        yield made


async def rows(site: Site) -> int:
    return len([record async for record in site.running.manager.each("all", b"")])


async def test_a_visitor_who_leaves_nothing_is_not_stored_and_gets_no_cookie(site: Site) -> None:  # S16, R68
    async with site.browser() as browser:
        for _ in range(20):
            answer = await browser.get("shop")
            assert "set-cookie" not in answer.headers
            assert answer.headers["vary"] == "Cookie"
    assert await rows(site) == 0


async def test_what_a_visitor_leaves_is_there_with_the_next_request(site: Site) -> None:  # S16, R13
    async with site.browser() as browser:
        answer = await browser.get("shop", "/put?basket=tea")
        assert answer.headers["cache-control"] == "no-store"
        assert "__Host-shop=" in answer.headers["set-cookie"]
        again = await browser.get("shop")
        assert again.json() == {"who": None, "data": {"basket": "tea"}}
        assert "set-cookie" not in again.headers
        assert (await browser.seen("bank"))["data"] == {}  # S1
    assert await rows(site) == 1


async def test_an_id_that_nobody_issued_is_never_taken_over(site: Site) -> None:  # R3, T1
    planted = "A" * 43
    async with site.browser(httpx2.Cookies({"__Host-shop": planted, "__Host-holdfast-logon": planted})) as browser:
        assert "set-cookie" not in (await browser.get("shop")).headers  # it may be overtaken by a logon's (T14)
        answer = await browser.get("shop", sec_fetch_mode="navigate")
        assert answer.json() == {"who": None, "data": {}}
        assert answer.headers.get_list("set-cookie") == [
            f"{name}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure"
            for name in ("__Host-shop", "__Host-holdfast-logon")
        ]
    async with site.browser(httpx2.Cookies({"__Host-shop": planted})) as browser:
        answer = await browser.get("shop", "/put?x=1")
        assert planted not in str(answer.headers)
    async with site.browser(httpx2.Cookies({"__Host-shop": planted})) as browser:
        assert (await browser.seen("shop"))["data"] == {}


async def test_one_logon_serves_both_applications_and_one_logout_ends_both(site: Site) -> None:  # S2, S4, T11
    async with site.browser() as browser:
        await browser.get("shop", "/login/ann")
        await browser.get("shop", "/put?a=1")
        assert await browser.seen("bank") == {"who": "ann", "data": {}}
        await browser.get("bank", "/put?b=2")
        stolen = httpx2.Cookies(browser.jar)
        answer = await browser.get("shop", "/logout")
        assert answer.json() == {"who": None, "data": {}}
        assert answer.headers["clear-site-data"] == '"cookies", "storage"'
        assert await browser.seen("bank") == {"who": None, "data": {}}
    async with site.browser(stolen) as thief:
        for app in ("shop", "bank"):
            assert await thief.seen(app) == {"who": None, "data": {}}


async def test_at_logon_the_visitors_id_is_new_and_only_what_is_kept_survives(site: Site) -> None:  # S3, S10, T2
    async with site.browser() as browser:
        await browser.get("shop", "/put?basket=tea&draft=x")
        attacker = httpx2.Cookies(browser.jar)
        assert await browser.seen("shop", "/login/ann") == {"who": "ann", "data": {"basket": "tea"}}
        assert await browser.seen("shop") == {"who": "ann", "data": {"basket": "tea"}}
    async with site.browser(attacker) as other:
        assert await other.seen("shop") == {"who": None, "data": {}}


async def test_a_visitor_of_one_application_who_logs_on_at_another_is_known_at_both(site: Site) -> None:  # S2, S3
    async with site.browser() as browser:
        await browser.get("bank", "/put?basket=gold&draft=x")
        before = browser.jar["__Host-bank"]
        await browser.get("shop", "/login/ann")
        assert await browser.seen("bank") == {"who": "ann", "data": {"basket": "gold"}}
        assert browser.jar["__Host-bank"] != before


async def test_who_logs_on_as_another_is_logged_off_first(site: Site) -> None:  # S10, R8
    async with site.browser() as browser:
        await browser.get("shop", "/login/ann")
        await browser.get("shop", "/put?a=1")
        old = httpx2.Cookies(browser.jar)
        assert await browser.seen("shop", "/login/bob") == {"who": "bob", "data": {}}
    async with site.browser(old) as thief:
        assert (await thief.seen("shop"))["who"] is None


async def test_logging_on_again_goes_on_with_the_session_under_new_ids(site: Site) -> None:  # S10, S14, R8
    async with site.browser() as browser:
        await browser.get("shop", "/login/ann")
        await browser.get("shop", "/put?a=1")
        old = httpx2.Cookies(browser.jar)
        site.clock.now += 700.0
        assert (await browser.get("shop", "/orders")).status_code == 401
        assert (await browser.get("shop", "/orders")).json()["error"]["code"] == "step_up_needed"
        assert await browser.seen("shop", "/login/ann") == {"who": "ann", "data": {"a": "1"}}
        assert (await browser.get("shop", "/orders")).json() == "ann"
    async with site.browser(old) as thief:
        assert (await thief.seen("shop"))["who"] is None


async def test_what_needs_a_logon_or_a_role_says_so_and_sends_browsers_where_they_can_log_on(
    site: Site,
) -> None:  # S17, S20
    async with site.browser() as browser:
        refused = await browser.get("shop", "/orders")
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "not_logged_on")
        sent = await browser.get("shop", "/orders?a=1&b=2", accept="text/html")
        assert (sent.status_code, sent.headers["location"]) == (303, "/logon?next=%2Forders%3Fa%3D1%26b%3D2")
        await browser.get("shop", "/login/ann")
        assert (await browser.get("shop", "/orders?role=clerk")).json() == "ann"
        refused = await browser.get("shop", "/orders?role=boss")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")


async def test_two_cookies_of_one_name_are_nobodys(site: Site) -> None:  # R18, T3
    async with site.browser() as browser:
        await browser.get("shop", "/login/ann")
        cookie = f"__Host-holdfast-logon={browser.jar['__Host-holdfast-logon']}"
    async with site.browser() as browser:
        answer = await browser.get("shop", cookie=f"{cookie}; {cookie}")
        assert answer.json()["who"] is None
    assert [event.detail for event in site.sink.events if event.fact == "two_ids"]


async def test_a_session_that_an_administrator_ends_serves_no_further_request(site: Site) -> None:  # S5, R32
    async with site.browser() as browser:
        await browser.get("shop", "/login/ann")
        await browser.get("shop", "/put?a=1")
        assert await site.running.logons.end_all("ann", Reason.ADMIN) == 1
        assert await browser.seen("shop") == {"who": None, "data": {}}
