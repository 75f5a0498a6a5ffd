"""A site of two applications that log on by SAML, in process, and an identity provider in the test's memory."""

import re
import zlib
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from lxml import etree, html
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from holdfast.config import Settings
from holdfast.core.keeper import Keeper
from holdfast.core.ports import Store
from holdfast.engine import open_engine
from holdfast.identity.saml.names import NSMAP
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.testing.sink import RecordingSink
from holdfast.web.kinds import KINDS
from holdfast.web.middleware import SessionMiddleware, current, require
from holdfast.web.saml import Partner, People, Saml
from holdfast.web.saml.gate import Gate
from holdfast.web.saml.partners import Get
from holdfast.web.site import Running, Security
from identity.saml.idp import IDP, NOW, form, identity_metadata, service_provider, signed_response

HOST = "https://site.example"


async def show(request: Request) -> Response:
    logon = current(request)
    request.session["seen"] = request.session.get("seen", 0) + 1
    return JSONResponse({"who": logon.subject if logon else None, "roles": logon.roles if logon else []})


async def orders(request: Request) -> Response:
    logon = await require(request, max_age=60)
    return JSONResponse(logon.subject)


@dataclass
class Site:
    clock: Clock
    running: Running
    sink: RecordingSink
    saml: Saml
    app: Starlette
    posted: list[tuple[str, bytes]] = field(default_factory=list)
    answer: Callable[[bytes], bytes] | None = None

    def browser(self) -> "Browser":
        return Browser(self)

    async def settle(self) -> None:
        """Let what has ended be cleared away, as an engine does by itself."""
        keeper = Keeper(self.running.manager)
        for _ in range(3):
            await keeper.turn()


@dataclass
class Browser:
    """Sends cookies as browsers do: those that are Lax stay at home when another site posts a form."""

    site: Site
    jar: dict[str, str] = field(default_factory=dict)

    async def send(
        self, method: str, path: str, *, cross_site: bool = False, keep: bool = True, **options: Any
    ) -> httpx2.Response:
        transport = httpx2.ASGITransport(self.site.app)  # type: ignore[arg-type]
        sent = {name: value for name, value in self.jar.items() if not cross_site or name == "__Host-holdfast-saml"}
        given = options.pop("headers", {})
        told = {} if "origin" in given else {"sec-fetch-site": "cross-site" if cross_site else "same-origin"}
        cookie = "; ".join(f"{name}={value}" for name, value in sent.items())
        headers = {"cookie": cookie, **told, **given}
        if method == "POST":
            headers.setdefault("origin", "https://idp.example" if cross_site else HOST)
        async with httpx2.AsyncClient(transport=transport, base_url=HOST) as client:
            answer = await client.request(method, path, headers=headers, **options)
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            value = rest.partition(";")[0]
            self.jar = {**self.jar, name: value} if value else {k: v for k, v in self.jar.items() if k != name}
        return answer

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.send("GET", path, **options)

    async def post(self, path: str, data: Any = None, **options: Any) -> httpx2.Response:
        return await self.send("POST", path, data=data, **options)

    async def who(self, app: str = "shop") -> Any:
        return (await self.get(f"/{app}/")).json()["who"]

    async def leave(self, path: str = "/saml/logon?next=/shop/") -> tuple[str, str, Any]:
        """Begin a logon; return the request's ID, its RelayState and the request."""
        answer = await self.get(path)
        assert answer.status_code == 303, answer.text
        request, relay_state = carried(answer.headers["location"])
        return request.get("ID"), relay_state, request

    async def come_back(self, text: str | bytes, relay_state: str) -> httpx2.Response:
        """Post a response from the identity provider's page, and once more from ours where that asks for it."""
        answer = await self.post("/saml/acs", dict(form(text, relay_state=relay_state)), cross_site=True)
        if 'name="again"' not in answer.text:
            return answer
        [posted] = html.fromstring(answer.content).forms
        return await self.post(posted.get("action") or "", dict(posted.form_values()))

    async def log_on(self, **said: Any) -> httpx2.Response:
        request_id, relay_state, _ = await self.leave()
        said = {"answers": request_id, "r_answers": request_id, "id": "_" + request_id[-20:], **said}
        return await self.come_back(signed_response(**said), relay_state)


def carried(location: str) -> tuple[Any, str]:
    """Return the message in an address, and its RelayState."""
    query = parse_qs(urlsplit(location).query)
    [packed] = query.get("SAMLRequest") or query["SAMLResponse"]
    return etree.fromstring(zlib.decompress(b64decode(packed), -15)), query.get("RelayState", [""])[0]


def link_in(page: str) -> str:
    """Return where a page goes on to by itself."""
    found = re.search(r'url=([^"]+)"', page)
    assert found is not None, page
    return found.group(1).replace("&amp;", "&")


def status_of(message: Any) -> list[str]:
    """Return the status codes of a response, without their prefix."""
    return [code.get("Value").rpartition(":")[2] for code in message.iterfind(".//samlp:StatusCode", NSMAP)]


@asynccontextmanager
async def site(
    store: Store | None = None,
    *,
    gate: Gate | None = None,
    get: Get | None = None,
    idps: tuple[tuple[str, str], ...] = ((IDP, "idp"),),
    **said: Any,
) -> AsyncIterator[Site]:
    """Open a site; `idps` are names and keys of identity providers, `said` more about each as a partner."""
    clock, sink = Clock(NOW), RecordingSink()
    async with open_engine(
        store or memory_store(), kinds=KINDS, settings=Settings(), clock=clock, sink=sink, keeper=False
    ) as engine:
        security = Security(engine=engine)
        partners = [
            Partner(**{"metadata": identity_metadata(name, key), "people": People(roles_in="groups"), **said})
            for name, key in idps
        ]
        made: list[Site] = []

        async def post(url: str, envelope: bytes) -> bytes:
            made[0].posted.append((url, envelope))
            assert made[0].answer is not None
            return made[0].answer(envelope)

        saml = Saml(
            security, service_provider(), *partners, gate=gate, post=post, get=get, clock=clock, monotonic=clock
        )
        routes = [Route("/", show), Route("/orders", orders)]
        apps = [
            Mount(
                f"/{name}",
                Starlette(
                    routes=routes,
                    middleware=[
                        Middleware(SessionMiddleware, security=security, application=name, logon_path="/saml/logon")
                    ],
                ),
            )
            for name in ("shop", "bank")
        ]
        running = await security.opened.get()
        made.append(Site(clock, running, sink, saml, Starlette(routes=[Mount("/saml", saml), *apps])))
        yield made[0]
        await security.opened.aclose()
