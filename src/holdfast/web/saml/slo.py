"""Single logout with a browser in it: ours that goes to the identity provider, and theirs that comes through here."""

from typing import Final

import msgspec

from holdfast._asgi import Receive, Scope
from holdfast.identity.saml.bindings import (
    REQUEST,
    RESPONSE,
    Received,
    from_form,
    from_redirect,
    to_form,
    to_redirect,
)
from holdfast.identity.saml.logouts import read_logout_response
from holdfast.identity.saml.names import POST, REDIRECT
from holdfast.identity.saml.parties import IdentityProvider
from holdfast.identity.saml.refusals import SamlMalformed, SamlUnavailable, SamlWrongIssuer
from holdfast.identity.saml.xml import Element
from holdfast.web.cookies import CLEAR_SITE_DATA
from holdfast.web.csrf import check_origin
from holdfast.web.middleware import VISIT
from holdfast.web.notice import Notice, onward, page
from holdfast.web.query import Query
from holdfast.web.reply import Header
from holdfast.web.returns import local_path
from holdfast.web.saml.logouts import Done, Logouts, new_id
from holdfast.web.saml.pages import leaving, posting
from holdfast.web.saml.shared import METHOD, Shared, fields_of
from holdfast.web.security import Logon
from holdfast.web.site import Running
from holdfast.web.visit import Visit

KIND: Final = "saml logout"
FRONT: Final = (REDIRECT, POST)
OUT: Final = "Logged out"
ONLY_HERE: Final = "Logged out here"


class Way(msgspec.Struct, frozen=True):
    """What is kept of a browser that logs off at the identity provider."""

    kind: str
    request: str
    idp: str
    next: str


class SingleLogout:
    """The routes of a logout."""

    def __init__(self, shared: Shared, logouts: Logouts) -> None:
        self._shared, self._logouts = shared, logouts

    # -- ours

    async def ask(self, visit: Visit, query: Query) -> Notice:
        """Show a button: an address alone logs nobody off (R49)."""
        if visit.logon is None:
            return page("Log out", "You are not logged on.", link=(self._shared.landing, "Go on"))
        return page("Log out", f"You are logged on as {visit.logon.name or visit.logon.subject}.", form="Log out")

    async def leave(self, visit: Visit, query: Query) -> Notice:
        """Log off here first, then at the identity provider (R45)."""
        check_origin(visit.scope, visit.site.proxies)
        shared, logon = self._shared, visit.logon
        to = local_path(query.get("next", "")) if query.get("next") else ""
        if logon is None or logon.method != METHOD:
            await visit.log_out()
            return onward(to or shared.landing)
        await visit.log_out(wipe=False)
        try:
            metadata = shared.partners.named(logon.issuer)
            idp = await metadata.current()
        except (SamlUnavailable, SamlWrongIssuer):
            return self._said([logon.issuer], to)
        binding = next((one for one in FRONT if one in idp.logout), None)
        if binding is None or metadata.partner.logout == "back":
            return self._said(await self._logouts.stays(logon, shared.clock), to)
        return await self._away(visit, logon, idp, binding, to)

    async def _away(self, visit: Visit, logon: Logon, idp: IdentityProvider, binding: str, to: str) -> Notice:
        shared, way = self._shared, Way(kind=KIND, request=new_id(), idp=idp.entity_id, next=to)
        relay_state, cookies = await shared.send_away(visit.services, visit.scope, msgspec.to_builtins(way))
        location = idp.logout[binding].location
        request = self._logouts.request(logon, location, way.request, shared.clock())
        notice = self._carried(request, location, binding, REQUEST, relay_state, words=_leaving_words(idp))
        return msgspec.structs.replace(notice, headers=(*notice.headers, *cookies, *self._forget(visit.scope)))

    async def _back(self, running: Running, scope: Scope, received: Received) -> Notice:
        """Take the browser back, with what has come of it at the identity provider."""
        shared = self._shared
        kept = await shared.take_back(running, scope, received.relay_state, KIND)
        way = msgspec.convert(kept, Way)
        metadata = shared.partners.named(way.idp)
        complete = await metadata.judged(
            shared.gate, read_logout_response, received, shared.sp.slo, way.request, now=shared.clock()
        )
        return self._said([] if complete else [(await metadata.current()).called], way.next)

    def _said(self, stays: list[str], to: str) -> Notice:
        """Return what a person is told at the end: everything, or what is left (R45)."""
        if not stays:
            notice = onward(to) if to else page(OUT, "You are logged out.", link=(self._shared.landing, "Go on"))
        else:
            notice = page(
                ONLY_HERE,
                f"You are logged out here, but perhaps not everywhere: {', '.join(stays)} did not confirm it.",
                "Close your browser if others can use it.",
                link=(to or self._shared.landing, "Go on"),
            )
        return msgspec.structs.replace(notice, headers=(*notice.headers, CLEAR_SITE_DATA))

    # -- theirs

    async def carried_in_query(self, running: Running, scope: Scope) -> Notice:
        """Take a message that a browser carries in the address."""
        received = await self._shared.gate.run(from_redirect, scope["query_string"])
        return await self._taken(running, scope, received)

    async def carried_in_form(self, running: Running, scope: Scope, receive: Receive) -> Notice:
        """Take a message that a browser posts."""
        fields = await fields_of(scope, receive)
        again = self._shared.once_more(scope, fields, self._shared.sp.slo) if RESPONSE in dict(fields) else None
        return again or await self._taken(running, scope, await self._shared.gate.run(from_form, fields))

    async def _taken(self, running: Running, scope: Scope, received: Received) -> Notice:
        if received.kind == RESPONSE:
            return await self._back(running, scope, received)
        _let_go(scope)
        done = await self._logouts.obey(running, received, self._shared.sp.slo)
        return self._answered(scope, received, done)

    def _answered(self, scope: Scope, received: Received, done: Done) -> Notice:
        """Send the browser back with our answer, the way it came if the other side takes answers so."""
        came_by = REDIRECT if received.in_query else POST
        binding = next((one for one in (came_by, *FRONT) if one in done.idp.logout), None)
        if binding is None:
            raise SamlMalformed("the identity provider's metadata name no address for the answer")
        to = done.idp.logout[binding].response_location
        answer = self._logouts.answer(done, to, self._shared.clock())
        notice = self._carried(answer, to, binding, RESPONSE, received.relay_state)
        return msgspec.structs.replace(notice, headers=(*notice.headers, *self._forget(scope)))

    # -- what they share

    def _carried(
        self, message: Element, to: str, binding: str, kind: str, relay_state: str, *, words: str = ""
    ) -> Notice:
        credentials = self._shared.sp.credentials[0]
        if binding == POST:
            fields = to_form(message, credentials, kind=kind, relay_state=relay_state)
            return posting(to, fields, "Logging out", words)
        address = to_redirect(message, to, credentials, kind=kind, relay_state=relay_state)
        return leaving(address, "Logging out", words) if words else onward(address)

    def _forget(self, scope: Scope) -> list[Header]:
        """Return what takes the cookies of a logon from a browser. Those of the identity provider it still needs."""
        cleared = (self._shared.security.cookie.clear(scope), self._shared.was_here.clear(scope))
        return [header for header in cleared if header is not None]


def _let_go(scope: Scope) -> None:
    """Let the request go on when the session that it belongs to ends with it."""
    visit = scope.get(VISIT)
    if isinstance(visit, Visit):
        visit.let_go()


def _leaving_words(idp: IdentityProvider) -> str:
    return (
        f"You are logged out here. Now {idp.called} is asked to log you out there and everywhere else; "
        "if it does not answer, you are still logged on there."
    )
