"""A shop and a bank with the ready-made pages, in process: one store, any number of browsers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from holdfast.config import Settings
from holdfast.core.ports import Store
from holdfast.core.sealing import new_key_text
from holdfast.engine import open_engine
from holdfast.identity.attempts import Most
from holdfast.identity.passwords import Cost, Passwords
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.testing.sink import RecordingSink
from holdfast.web.account import Account
from holdfast.web.kinds import KINDS
from holdfast.web.middleware import SessionMiddleware, current, require
from holdfast.web.passwords import PasswordLogon
from holdfast.web.site import Running, Security

SITE = "https://site.example"
SECRET = "correct horse"
CHEAP = Cost(passes=1, memory=8, lanes=1)
LOGON, LOGOUT, SESSIONS = "/account/logon", "/account/logout", "/account/sessions"


async def show(request: Request) -> Response:
    logon = current(request)
    return JSONResponse(logon.subject if logon else None)


async def orders(request: Request) -> Response:
    logon = await require(request)
    request.session["seen"] = request.session.get("seen", 0) + 1
    return JSONResponse({"who": logon.subject, "query": str(request.query_params), "seen": request.session["seen"]})


@dataclass
class Browser:
    """One browser: what it keeps, and what it is."""

    app: Any
    agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    address: str = "10.0.0.1"
    jar: httpx2.Cookies = field(default_factory=httpx2.Cookies)

    async def ask(
        self, method: str, path: str, data: Mapping[str, str] | None = None, **headers: str
    ) -> httpx2.Response:
        transport = httpx2.ASGITransport(self.app, client=(self.address, 1234))
        sent = {"user-agent": self.agent, "accept": "text/html", **{k.replace("_", "-"): v for k, v in headers.items()}}
        async with httpx2.AsyncClient(transport=transport, base_url=SITE, cookies=self.jar) as client:
            answer = await client.request(method, path, data=data, headers=sent)
            self.jar = httpx2.Cookies(client.cookies)
            return answer

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, data: Mapping[str, str] | None = None, **headers: str) -> httpx2.Response:
        return await self.ask("POST", path, data or {}, **{"origin": SITE, **headers})

    async def log_on(self, name: str = "ann", password: str = SECRET, to: str = "/orders") -> httpx2.Response:
        return await self.post(LOGON, {"name": name, "password": password, "next": to})

    async def who(self) -> Any:
        return (await self.get("/")).json()


@dataclass
class World:
    """All of it."""

    clock: Clock
    sink: RecordingSink
    security: Security
    running: Running
    passwords: Passwords
    app: Any

    def browser(self, **more: Any) -> Browser:
        return Browser(self.app, **more)


def site_of(security: Security, account: Any, *, inside: bool = True, **options: Any) -> Any:
    """Return a shop; the account pages are within its sessions, or beside them."""
    routes = [Route("/", show), Route("/orders", orders)]
    pages = [Mount("/account", account)]
    around = Middleware(SessionMiddleware, security=security, application="shop", **{"logon_path": LOGON, **options})
    if inside:
        return Starlette(routes=[*routes, *pages], middleware=[around])
    return Starlette(routes=[*pages, Mount("/", Starlette(routes=routes, middleware=[around]))])


@asynccontextmanager
async def world(
    folder: Path, *, inside: bool = True, most: Most | None = None, store: Store | None = None, **options: Any
) -> AsyncIterator[World]:
    clock, sink = Clock(1_700_000_000.0), RecordingSink()
    passwords = Passwords(folder / "people", cost=CHEAP)
    passwords.add("ann", SECRET, roles=("clerk",), shown="Ann Example")
    passwords.add("bob", SECRET)
    async with open_engine(
        store or memory_store(),
        keys=new_key_text(),
        kinds=KINDS,
        settings=Settings(),
        clock=clock,
        sink=sink,
        keeper=False,
    ) as engine:
        security = Security(engine=engine)
        account = Account(security, PasswordLogon(passwords, most), **options)
        running = await security.opened.get()
        yield World(clock, sink, security, running, passwords, site_of(security, account, inside=inside))
        await security.opened.aclose()
