"""A shop whose people log on at a provider in the test's memory; any number of workers on one store, and browsers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from holdfast.config import Settings
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.engine import open_engine
from holdfast.identity.fetching import Fetch
from holdfast.identity.oidc import Asked
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.testing.sink import RecordingSink
from holdfast.web.cookies import SameSite
from holdfast.web.kinds import KINDS
from holdfast.web.middleware import SessionMiddleware, current, require
from holdfast.web.oidc import Oidc
from holdfast.web.site import Running, Security
from identity.issuer import NOW, Signer
from identity.oidc.provider import Provider, id_claims, id_token, logout_claims, logout_token, oidc

SITE = "https://shop.example"
SIGNER = Signer()


async def show(request: Request) -> Response:
    logon = current(request)
    request.session["seen"] = request.session.get("seen", 0) + 1
    return JSONResponse({"who": logon.subject if logon else None, "seen": request.session["seen"]})


async def orders(request: Request) -> Response:
    logon = await require(request, role=request.query_params.get("role"))
    return JSONResponse({"who": logon.subject, "level": logon.level, "at": logon.at, "name": logon.name})


async def strong(request: Request) -> Response:
    return JSONResponse({"level": (await require(request, level=3)).level})


async def fresh(request: Request) -> Response:
    return JSONResponse({"who": (await require(request, max_age=60)).subject})


@dataclass
class Worker:
    """One process's worth of it."""

    security: Security
    running: Running
    oidc: Oidc
    app: Any


@dataclass
class World:
    """All of it. `around` is how the pages are mounted: inside the application's sessions, or beside them."""

    clock: Clock = field(default_factory=lambda: Clock(NOW))
    provider: Provider = field(default_factory=lambda: Provider(SIGNER))
    sink: RecordingSink = field(default_factory=RecordingSink)
    store: Store = field(default_factory=memory_store)
    keys: KeyRing = field(default_factory=lambda: KeyRing.parse(new_key_text()))
    inside: bool = True
    fetch: Fetch | None = None  # instead of the provider's own
    same_site: SameSite = "lax"
    workers: list[Worker] = field(default_factory=list)

    @asynccontextmanager
    async def worker(self, **settings: Any) -> AsyncIterator[Worker]:
        async with open_engine(
            self.store, kinds=KINDS, keys=self.keys, settings=Settings(), clock=self.clock, sink=self.sink, keeper=False
        ) as engine:
            security = Security(engine=engine, same_site=self.same_site)
            pages = Oidc(
                security, oidc(**settings), fetch=self.fetch or self.provider, clock=self.clock, monotonic=self.clock
            )
            shown = [
                Route("/", show, methods=["GET", "POST"]),
                Route("/orders", orders),
                Route("/fresh", fresh),
                Route("/strong", strong),
            ]
            sessions = Middleware(SessionMiddleware, security=security, application="shop", logon_path="/oidc/login")
            mounted = Mount("/oidc", pages)
            if self.inside:
                app = Starlette(routes=[mounted, *shown], middleware=[sessions])
            else:
                app = Starlette(routes=[mounted, Mount("/", Starlette(routes=shown, middleware=[sessions]))])
            made = Worker(security, await security.opened.get(), pages, app)
            self.workers.append(made)
            yield made
            await security.opened.aclose()

    def browser(self, worker: int = 0) -> "Browser":
        return Browser(self, worker)

    async def tell(self, token: str, worker: int = 0, **more: Any) -> httpx2.Response:
        """Send a logout token, as the provider does."""
        return await self.browser(worker).post("/oidc/backchannel-logout", data={"logout_token": token}, **more)

    def logout_token(self, **changed: Any) -> str:
        return logout_token(
            SIGNER, logout_claims(**{"iat": self.clock.now - 1, "exp": self.clock.now + 120, **changed})
        )


class Browser:
    """Somebody's browser, which follows no redirect by itself."""

    def __init__(self, world: World, worker: int = 0) -> None:
        self.world, self.worker, self.jar = world, worker, httpx2.Cookies()

    async def send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(self.world.workers[self.worker].app)
        async with httpx2.AsyncClient(transport=transport, base_url=SITE, cookies=self.jar) as client:
            answer = await client.request(method, path, **more)
            self.jar = httpx2.Cookies(client.cookies)
            return answer

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.send("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def post(self, path: str, **more: Any) -> httpx2.Response:
        return await self.send("POST", path, **more)

    async def logs_out(self, query: str = "", **headers: str) -> httpx2.Response:
        """Press the button on a page of the site."""
        return await self.post(f"/oidc/logout{query}", headers={"origin": SITE, **headers})

    async def leaves(self, query: str = "") -> dict[str, str]:
        """Ask for the logon page; return what is sent to the provider."""
        answer = await self.get(f"/oidc/login{query}")
        assert answer.status_code == 303, answer.text
        return {name: value for name, [value] in parse_qs(urlsplit(answer.headers["location"]).query).items()}

    async def returns(self, sent: dict[str, str], **changed: Any) -> httpx2.Response:
        """Come back from the provider, where somebody has logged on; None leaves a claim out."""
        asked = Asked(nonce=sent["nonce"], verifier="")
        now = self.world.clock.now
        times = {"iat": now, "exp": now + 300, "auth_time": now - 1}
        token = id_token(SIGNER, id_claims(asked, **{**times, **changed}))
        self.world.provider.challenged("code", sent["code_challenge"], token)
        return await self.get(f"/oidc/callback?code=code&state={sent['state']}")

    async def logs_on(self, query: str = "", **changed: Any) -> httpx2.Response:
        return await self.returns(await self.leaves(query), **changed)

    async def who(self) -> str | None:
        return (await self.get("/")).json()["who"]


@asynccontextmanager
async def oidc_world(
    count: int = 1,
    *,
    inside: bool = True,
    fetch: Fetch | None = None,
    same_site: SameSite = "lax",
    **settings: Any,
) -> AsyncIterator[World]:
    world = World(inside=inside, fetch=fetch, same_site=same_site)
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(world.worker(**settings))
        yield world
