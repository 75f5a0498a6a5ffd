"""The routes of SAML, relative to where the application is mounted.

GET  /logon?next=…      sends the browser to the identity provider; `idp` says which, `fresh` asks for a new proof
POST /acs               where it comes back to, with an assertion
POST /logout?next=…     logs off here, then there; GET shows a button (R49)
GET  /slo, POST /slo    messages of single logout that a browser carries, requests and responses
POST /slo/soap          requests that the identity provider sends by itself; any worker, no cookie
GET  /metadata          what we are, for the identity provider
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from lxml import etree

from holdfast._asgi import Receive, Scope, Send
from holdfast.errors import ConfigurationError, HoldfastError
from holdfast.identity.saml.bindings import enveloped, from_envelope, to_envelope
from holdfast.identity.saml.metadata import METADATA_BYTES, our_metadata
from holdfast.identity.saml.names import SOAP, SOAP_ENVELOPE
from holdfast.identity.saml.parties import ServiceProvider
from holdfast.identity.saml.xml import MESSAGE_BYTES
from holdfast.web.body import ClientGone
from holdfast.web.cookies import Cookie
from holdfast.web.fetch import open_fetch, post_xml
from holdfast.web.middleware import VISIT, SessionMiddleware, visit_of
from holdfast.web.notice import Notice, page, problem
from holdfast.web.query import below, query_of
from holdfast.web.reply import Header, come_back
from holdfast.web.returns import local_path
from holdfast.web.saml.configured import configured
from holdfast.web.saml.gate import Gate
from holdfast.web.saml.logouts import Logouts, Post
from holdfast.web.saml.partner import Partner
from holdfast.web.saml.partners import Get, Partners
from holdfast.web.saml.shared import METHOD, Shared, body_of
from holdfast.web.saml.slo import SingleLogout
from holdfast.web.saml.sso import SingleSignOn
from holdfast.web.security import Logon
from holdfast.web.site import Running, Security

APPLICATION: Final = "holdfast-saml-pages"  # these pages, where no other application is around them; keeps nothing
XML: Final[Header] = (b"content-type", b"text/xml; charset=utf-8")
METADATA: Final[Header] = (b"content-type", b"application/samlmetadata+xml")
METHODS: Final = {
    "/logon": "GET",
    "/acs": "POST",
    "/logout": "GET, POST",
    "/slo": "GET, POST",
    "/slo/soap": "POST",
    "/metadata": "GET",
}


class Saml:
    """The pages and endpoints of a service provider, for one identity provider or several.

    Args:
        security: What the applications of the process share.
        sp: What we are to identity providers; its `url` is where this application is mounted. Left out, it and the
            one identity provider are what `[saml]` says.
        partners: The identity providers; the first is asked if nobody says which.
        landing: Where people go who did not come from a page.
        gate: Bounds how many messages are checked at once.
        post: Sends SOAP, instead of a client of its own.
        get: Asks for metadata at an address, instead of a client of its own.
        clock: Unix seconds.
        monotonic: Seconds, monotonic.

    Raises:
        ConfigurationError: There is no identity provider, or the metadata of one cannot be taken; or a setting is
            missing or contradicts another.
    """

    def __init__(
        self,
        security: Security,
        sp: ServiceProvider | None = None,
        *partners: Partner,
        landing: str = "/",
        gate: Gate | None = None,
        post: Post | None = None,
        get: Get | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if sp is None:
            if partners:
                raise ConfigurationError(
                    "whose SAML identity providers are these?", hint="Pass a ServiceProvider, too."
                )
            sp, partner = configured(security.settings.saml)
            partners = (partner,)
        self._shared = shared = Shared(
            security=security,
            sp=sp,
            partners=Partners(partners, clock, get or _get, monotonic),
            gate=gate or Gate(),
            landing=local_path(landing),
            away=Cookie("holdfast-saml", same_site="none", proxies=security.proxies),
            was_here=Cookie("holdfast-saml-was", proxies=security.proxies),
            clock=clock,
        )
        self._logouts = Logouts(sp, shared.partners, shared.gate, post or _post)
        self._sso, self._slo = SingleSignOn(shared), SingleLogout(shared, self._logouts)
        self._formats = tuple({partner.name_format for partner in partners} - {""})
        self._sessions = SessionMiddleware(
            self._with_visit, security, application=APPLICATION, csrf_exempt=[urlsplit(sp.url).path + "/acs"]
        )
        security.federations.append(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the pages of SAML know nothing of {scope['type']}")
        path, method = below(scope), scope["method"].replace("HEAD", "GET")
        if method not in METHODS.get(path, ""):
            status = 405 if path in METHODS else 404
            await page("Not here", "There is nothing to be seen here.", status=status).send(send)
        elif path in ("/slo", "/slo/soap", "/metadata"):
            await self._without_visit(scope, receive, send)
        elif VISIT in scope:
            await self._with_visit(scope, receive, send)
        else:
            await self._sessions(scope, receive, send)

    def knows(self, logon: Logon) -> bool:
        """Say whether a logon came by SAML from one of these identity providers (S19)."""
        return logon.method == METHOD and logon.issuer in self._shared.partners

    async def reaches(self, logon: Logon) -> bool:
        """Say whether the identity provider takes logouts by SOAP."""
        return await self._logouts.reaches(logon.issuer)

    async def ended(self, logon: Logon) -> list[str]:
        """Tell the identity provider by SOAP that a logon has ended here; return what stays logged on (S19).

        Raises:
            SamlUnavailable, SamlRefused: It does not answer, or not as it should.
        """
        return await self._logouts.ask(logon, self._shared.clock)

    # -- serving

    async def _with_visit(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = visit_of(scope)
        at = (scope["method"].replace("HEAD", "GET"), below(scope))

        async def answer() -> Notice:
            if at == ("POST", "/acs"):
                return await self._sso.come_back(visit, scope, receive)
            pages = {"/logon": self._sso.leave, "/logout": self._slo.ask}
            shown: Callable[..., Awaitable[Notice]] = self._slo.leave if at[0] == "POST" else pages[at[1]]
            return await shown(visit, query_of(scope))

        await self._answered(visit.services, scope, send, answer, logon=at[1] == "/acs")

    async def _without_visit(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = below(scope)
        if path == "/metadata":
            await Notice(200, our_metadata(self._shared.sp, name_formats=self._formats), (METADATA,)).send(send)
            return
        running = await self._shared.security.opened.get()
        if path == "/slo/soap":
            await self._by_soap(running, scope, receive, send)
            return

        async def answer() -> Notice:
            if scope["method"] == "POST":
                return await self._slo.carried_in_form(running, scope, receive)
            return await self._slo.carried_in_query(running, scope)

        await self._answered(running, scope, send, answer, logon=False)

    async def _answered(
        self, running: Running, scope: Scope, send: Send, answer: Callable[[], Awaitable[Notice]], *, logon: bool
    ) -> None:
        try:
            notice = await answer()
        except ClientGone:
            return
        except HoldfastError as exc:
            self._shared.tell(running, scope, exc, logon=logon)
            title, link = "The logon failed" if logon else "This did not work", f"{scope.get('root_path', '')}/logon"
            notice = problem(title, exc, link=(link, "Log on"))
        await notice.send(send)

    async def _by_soap(self, running: Running, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the identity provider sends by itself (Bindings §3.2)."""
        shared = self._shared
        try:
            received = await shared.gate.run(from_envelope, await body_of(scope, receive, MESSAGE_BYTES))
            done = await self._logouts.obey(running, received, shared.sp.soap)
            endpoint = done.idp.logout.get(SOAP)
            answer = self._logouts.answer(done, endpoint.response_location if endpoint else "", shared.clock())
            notice = Notice(200, to_envelope(answer, shared.sp.credentials[0]), (XML,))
        except ClientGone:
            return
        except HoldfastError as exc:
            shared.tell(running, scope, exc, logon=False)
            notice = Notice(exc.status, _fault(exc), (XML, *come_back(exc.status)))
        await notice.send(send)


async def _get(url: str) -> bytes:
    async with open_fetch() as fetch:
        return await fetch(url, limit=METADATA_BYTES)


async def _post(url: str, envelope: bytes) -> bytes:
    return await post_xml(url, envelope, limit=MESSAGE_BYTES)


def _fault(error: HoldfastError) -> bytes:
    """Return what SOAP says of a message that was refused: the code, and nothing of the message."""
    fault = etree.Element(f"{{{SOAP_ENVELOPE}}}Fault", nsmap={"soap": SOAP_ENVELOPE})
    etree.SubElement(fault, "faultcode").text = "soap:Client" if error.status < 500 else "soap:Server"
    etree.SubElement(fault, "faultstring").text = error.code
    return enveloped(fault)
