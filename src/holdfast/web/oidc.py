"""Logging on and off at an OpenID provider: one small application, to be mounted anywhere (S7, S9).

oidc = Oidc(security)                              # as [oidc] says; several providers: Oidc(security, settings) each
routes = [Mount("/oidc", oidc), …]                 # [oidc] url = "https://shop.example/oidc"
SessionMiddleware(app, security, application="shop", logon_path="/oidc/login")

    GET  /login?next=…          sends the browser to the provider; `max_age`, `anew` and `level` ask for a fresher or
                                stronger logon
    GET  /callback              where the provider sends it back to, with a logon
    POST /logout?next=…         logs off here, then at the provider; GET shows a button (R49)
    GET  /logged-out            where the provider sends it back to, without one
    POST /backchannel-logout    the provider tells that somebody has logged off, whichever worker hears it (R47)
    GET  /frontchannel-logout   the same, in a frame of one of the provider's pages
"""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Final

import msgspec

from holdfast._asgi import Receive, Scope, Send
from holdfast.config import OidcSettings
from holdfast.errors import BadInput, Forbidden, HoldfastError
from holdfast.identity.facts import InvalidToken, IssuerRefused, IssuerUnavailable
from holdfast.identity.fetching import Fetch
from holdfast.identity.oidc import Asked, Person, RelyingParty
from holdfast.identity.oidc.party import check
from holdfast.web.body import ClientGone
from holdfast.web.cookies import Cookie
from holdfast.web.csrf import check_origin
from holdfast.web.fetch import open_fetch
from holdfast.web.middleware import VISIT, SessionMiddleware, login, visit_of
from holdfast.web.notice import Notice, onward, onward_from_here, page, problem
from holdfast.web.oidc_logout import back_channel, front_channel
from holdfast.web.opened import Opened
from holdfast.web.pending import Pending, browser_token
from holdfast.web.query import Query, below, number_in, query_of
from holdfast.web.returns import local_path
from holdfast.web.security import Logon
from holdfast.web.site import Security
from holdfast.web.visit import Visit

METHOD: Final = "oidc"
KEPT: Final = "id_token"  # in the content of the logon: the provider wants to see it again at logout
COOKIE: Final = "holdfast-oidc"  # stays in the browser that is at the provider
APPLICATION: Final = "holdfast-oidc-pages"  # these pages, where no other application is around them; keeps nothing
FAILED: Final = "The logon failed"

Page = Callable[[Scope, Query], Awaitable[Notice]]


class Way(msgspec.Struct, frozen=True):
    """What is kept of a browser that is at the provider."""

    asked: Asked
    next: str
    level: int


class Oidc:
    """The pages of one provider.

    Args:
        security: What the applications of the process share.
        settings: Instead of `[oidc]`.
        landing: Where people go who did not come from a page.
        fetch: Asks the provider, instead of a client of its own.
        clock: Unix seconds.
        monotonic: Seconds, monotonic.

    Raises:
        ConfigurationError: A setting is missing or contradicts another.
    """

    def __init__(
        self,
        security: Security,
        settings: OidcSettings | None = None,
        *,
        landing: str = "/",
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or security.settings.oidc
        check(self.settings)
        self._security, self._landing, self._fetch = security, local_path(landing), fetch
        self._clock, self._monotonic = clock, monotonic
        self._cookie = Cookie(COOKIE, proxies=security.proxies)
        self._party = Opened(self._open)
        self._sessions = SessionMiddleware(self._with_visit, security, application=APPLICATION)
        self._pages: dict[tuple[str, str], Page] = {
            ("GET", "/login"): self._login,
            ("GET", "/callback"): self._callback,
            ("GET", "/logout"): self._ask_to_log_out,
            ("POST", "/logout"): self._logout,
            ("GET", "/logged-out"): self._logged_out,
        }
        security.federations.append(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the pages of an OpenID provider know nothing of {scope['type']}")
        at = (scope["method"], below(scope))
        if at == ("POST", "/backchannel-logout"):
            await self._told(scope, receive, send)
        elif at == ("GET", "/frontchannel-logout"):
            running = await self._security.opened.get()
            await (await front_channel(self.settings.issuer, running, scope)).send(send)
        elif VISIT in scope:
            await self._with_visit(scope, receive, send)
        else:
            await self._sessions(scope, receive, send)

    def knows(self, logon: Logon) -> bool:
        """Say whether a logon is this provider's (S19)."""
        return logon.method == METHOD and logon.issuer == self.settings.issuer

    async def reaches(self, logon: Logon) -> bool:
        """Say no: a provider tells us over the back channel, and is told by people's own browsers alone."""
        return False

    async def ended(self, logon: Logon) -> list[str]:
        """Return the provider: it logs people off only in their own browsers, so it stays logged on (S19)."""
        return [logon.issuer]

    # -- serving

    async def _told(self, scope: Scope, receive: Receive, send: Send) -> None:
        running, party = await self._security.opened.get(), await self._party.get()
        try:
            notice = await back_channel(party, running, scope, receive)
        except ClientGone:
            return
        await notice.send(send)

    async def _with_visit(self, scope: Scope, receive: Receive, send: Send) -> None:
        at = (scope["method"], below(scope))
        shown = self._pages.get(at)
        if shown is None:
            known = any(path == at[1] for _, path in self._pages)
            await page("Not here", "There is nothing to be seen here.", status=405 if known else 404).send(send)
            return
        try:
            notice = await shown(scope, query_of(scope))
        except HoldfastError as exc:
            self._tell(visit_of(scope), exc)
            notice = problem(FAILED, exc, link=(f"{scope.get('root_path', '')}/login", "Log on"))
        await notice.send(send)

    # -- logon

    async def _login(self, scope: Scope, query: Query) -> Notice:
        """Send the browser to the provider."""
        visit = visit_of(scope)
        max_age = 0 if "anew" in query else number_in(query, "max_age")
        way = Way(
            asked=(await self._party.get()).asks(max_age=max_age),
            next=local_path(query.get("next", self._landing)),
            level=int(number_in(query, "level") or 1),
        )
        party, browser = await self._party.get(), browser_token(scope, self._cookie)
        pending = Pending(visit.services.manager)
        state = await pending.begin(msgspec.to_builtins(way), browser, client=visit.address)
        there = onward(await party.authorization_url(way.asked, state=state, level=way.level))
        cookie = self._cookie.put(scope, browser)
        if cookie is None:
            raise BadInput("the logon would travel over plain HTTP", hint="Use the https:// address of this site.")
        return msgspec.structs.replace(there, headers=(*there.headers, cookie))

    async def _callback(self, scope: Scope, query: Query) -> Notice:
        """Take the browser back from the provider, with a logon."""
        visit = visit_of(scope)
        pending = Pending(visit.services.manager)
        kept = await pending.take(query.get("state", ""), self._cookie.read(scope) or "")
        way = msgspec.convert(kept, Way, strict=False)
        party = await self._party.get()
        if not await party.answers_for(query.get("iss")):
            raise BadInput("the answer is that of another provider")
        if "code" not in query:
            raise IssuerRefused(f"the provider did not log you on: {plain(query.get('error', ''))}")
        person = await party.takes(way.asked, query["code"])
        logon = self._logon(person)
        if logon.level < way.level:
            raise Forbidden(f"that needs a logon of level {way.level}; the provider's is of level {logon.level}")
        await login(scope, logon, ends_at=person.ends_at)
        await keep(visit, person.id_token)
        strict = self._security.cookie.same_site == "strict"
        return onward_from_here(way.next, "You are logged on") if strict else onward(way.next)

    def _logon(self, person: Person) -> Logon:
        return Logon(
            issuer=person.issuer,
            subject=person.subject,
            method=METHOD,
            at=person.at,
            level=person.level(self.settings.acr_levels),
            name=next(iter(person.texts(self.settings.name_claim)), ""),
            roles=person.texts(self.settings.roles_claim),
            sid=person.sid,
        )

    # -- logout in the person's own browser

    async def _ask_to_log_out(self, scope: Scope, query: Query) -> Notice:
        visit = visit_of(scope)
        if visit.logon is None:
            return page("Log out", "You are not logged on.", link=(self._landing, "Go on"))
        said = f"You are logged on as {visit.logon.name or visit.logon.subject}."
        return page("Log out", said, form="Log out", token=await visit.token())

    async def _logout(self, scope: Scope, query: Query) -> Notice:
        """Log off here first, and then at the provider (R45)."""
        visit = visit_of(scope)
        check_origin(scope, visit.site.proxies)
        to = local_path(query["next"]) if "next" in query else ""
        logon, id_token = visit.logon, await kept_by(visit)
        if logon is None or not self.knows(logon):
            await visit.log_out()
            return onward(to or self._landing)
        await visit.log_out(wipe=False)  # the provider may be a neighbour, and needs its cookies
        try:
            url = await (await self._party.get()).logout_url(id_token=id_token, state=to)
        except IssuerUnavailable:
            return self._stays("does not answer")
        return onward(url) if url else self._stays("does not offer to log you out")

    async def _logged_out(self, scope: Scope, query: Query) -> Notice:
        if query.get("state"):
            return onward(local_path(query["state"]))
        return page("Logged out", "You are logged out.", link=(self._landing, "Go on"))

    def _stays(self, why: str) -> Notice:
        issuer = self.settings.issuer
        return page(
            "Logged out here",
            f"You are logged out here, but {issuer} {why}: you may still be logged on there.",
            "Close your browser if others can use it.",
            link=(self._landing, "Go on"),
        )

    # -- inside

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[RelyingParty]:
        async with open_fetch() if self._fetch is None else nullcontext(self._fetch) as fetch:
            yield RelyingParty(fetch, self.settings, clock=self._clock, monotonic=self._monotonic)

    def _tell(self, visit: Visit, error: HoldfastError) -> None:
        if isinstance(error, InvalidToken | IssuerRefused | Forbidden):
            visit.services.logon_failed(visit.address, f"{self.settings.issuer}: {error}")


async def keep(visit: Visit, id_token: str) -> None:
    """Keep an ID token with the logon it belongs to; that is sealed, and nobody is shown it."""
    security = await visit.of_logon()
    if security is not None:
        await visit.services.manager.merge(security, {KEPT: id_token})


async def kept_by(visit: Visit) -> str:
    """Return the ID token of a visit's logon; empty if there is none."""
    security = await visit.of_logon()
    return str(security.content.get(KEPT, "")) if security is not None else ""


def plain(code: str) -> str:
    """Return an error code of a provider as it may be shown: what is none is not repeated."""
    return code if re.fullmatch(r"[a-z_]{1,64}", code) else "it said nothing that can be shown"
