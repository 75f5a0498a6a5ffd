"""Logging on at the identity provider: the way there, and the way back with an assertion (R28, R29, R40, R41)."""

from typing import Final

import msgspec

from holdfast._asgi import Receive, Scope
from holdfast.core.model import Ref
from holdfast.errors import BadInput, SessionNotFound
from holdfast.identity.saml.bindings import Received, from_form, to_form, to_redirect
from holdfast.identity.saml.names import POST, REDIRECT
from holdfast.identity.saml.parties import IdentityProvider
from holdfast.identity.saml.refusals import SamlBadAssertion, SamlOutOfTime
from holdfast.identity.saml.responses import RESPONSE_AGE_S, Asked, Asserted, authn_request, read_response
from holdfast.web.middleware import login
from holdfast.web.notice import Notice, onward
from holdfast.web.query import Query
from holdfast.web.returns import local_path
from holdfast.web.saml.logouts import has_ended, new_id, once
from holdfast.web.saml.pages import posting
from holdfast.web.saml.partner import Partner
from holdfast.web.saml.shared import METHOD, Shared, fields_of
from holdfast.web.security import Logon
from holdfast.web.visit import Visit

KIND: Final = "saml logon"


class Way(msgspec.Struct, frozen=True):
    """What is kept of a browser that is at the identity provider.

    Args:
        there: The logon that it had when it left: tree and key. The way back is from another site, so browsers leave
            the cookies out that would tell.
    """

    kind: str
    asked: Asked
    idp: str
    next: str
    there: tuple[bytes, bytes] | None = None


class SingleSignOn:
    """The two routes of a logon."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def leave(self, visit: Visit, query: Query) -> Notice:
        """Send the browser to the identity provider."""
        shared = self._shared
        metadata = shared.partners.named(query["idp"]) if query.get("idp") else shared.partners.first()
        idp, there = await metadata.current(), await visit.of_logon()
        way = Way(
            kind=KIND,
            asked=Asked(id=new_id(), at=shared.clock(), force=self._force(visit, query, metadata.partner)),
            idp=metadata.entity_id,
            next=local_path(query.get("next", shared.landing)),
            there=None if there is None else (there.record.tree, there.record.key),
        )
        relay_state, cookies = await shared.send_away(
            visit.services, visit.scope, msgspec.to_builtins(way, builtin_types=(bytes,))
        )
        notice = self._to(idp, metadata.partner, way.asked, relay_state)
        return msgspec.structs.replace(notice, headers=(*notice.headers, *cookies))

    async def come_back(self, visit: Visit, scope: Scope, receive: Receive) -> Notice:
        """Take the browser back, with an assertion, and log it on."""
        shared = self._shared
        fields = await fields_of(scope, receive)
        again = shared.once_more(scope, fields, shared.sp.acs)
        if again is not None:
            return again
        received = await shared.gate.run(from_form, fields)
        begun_there = self._begun_there(visit, received)
        again = None if begun_there is None else shared.once_more(scope, fields, shared.sp.acs, always=True)
        if again is not None:
            return again
        way = begun_there or await self._kept(visit, scope, received)
        metadata = shared.partners.named(way.idp)
        partner = metadata.partner
        asserted = await metadata.judged(
            shared.gate, read_response, received, shared.sp, way.asked, now=shared.clock(), signed=partner.signed
        )
        await once(visit.services, asserted.issuer, asserted.id, asserted.valid_until)
        await self._find_again(visit, way)
        await login(scope, self._logon(asserted, partner), ends_at=asserted.ends_at)
        if await has_ended(visit.services, asserted):
            await visit.log_out(wipe=False)
            raise SamlOutOfTime("the identity provider has ended this session meanwhile")
        notice, cookie = onward(way.next), shared.was_here.put(scope, "1")
        return notice if cookie is None else msgspec.structs.replace(notice, headers=(*notice.headers, cookie))

    # -- inside

    async def _kept(self, visit: Visit, scope: Scope, received: Received) -> Way:
        """Return what was kept of a browser that comes back; raise SamlUnsolicited if it was not away."""
        kept = await self._shared.take_back(visit.services, scope, received.relay_state, KIND)
        return msgspec.convert(kept, Way, strict=False, builtin_types=(bytes,))

    def _begun_there(self, visit: Visit, received: Received) -> Way | None:
        """Return the way of a logon that begins at the identity provider, where that may be; else None.

        A logon here that has ended by itself is not undone by an old one there: then it has to be minutes old (R29).
        """
        shared, issuer = self._shared, received.claimed_issuer
        if received.root.get("InResponseTo") is not None or issuer not in shared.partners:
            return None
        partner = shared.partners.named(issuer).partner
        if not partner.unsolicited:
            return None
        try:
            to = local_path(received.relay_state or shared.landing)
        except BadInput:
            to = shared.landing
        asked = Asked(id="", at=shared.clock() - RESPONSE_AGE_S, force=self._force(visit, {}, partner))
        return Way(kind=KIND, asked=asked, idp=issuer, next=to)

    def _force(self, visit: Visit, query: Query, partner: Partner) -> bool:
        """Say whether the person has to prove anew who they are."""
        ended = visit.logon is None and self._shared.was_here.read(visit.scope) is not None
        return (
            not {"fresh", "anew"}.isdisjoint(query)
            or partner.fresh == "always"
            or (partner.fresh == "after_end" and ended)
        )

    def _to(self, idp: IdentityProvider, partner: Partner, asked: Asked, relay_state: str) -> Notice:
        shared = self._shared
        binding = REDIRECT if REDIRECT in idp.logon else POST
        to = idp.logon[binding]
        request = authn_request(shared.sp, to, asked, name_format=partner.name_format)
        credentials = shared.sp.credentials[0]
        if binding == REDIRECT:
            return onward(to_redirect(request, to, credentials, relay_state=relay_state))
        fields = to_form(request, credentials, relay_state=relay_state)
        return posting(to, fields, "Log on", f"You are sent to {idp.called} to log on.")

    async def _find_again(self, visit: Visit, way: Way) -> None:
        """Find the logon that the browser had when it left, so that it goes on instead of a second one beginning."""
        if visit.logon is None and way.there is not None:
            try:
                visit.security = await visit.services.manager.get(Ref(*way.there))
            except SessionNotFound:
                return

    def _logon(self, asserted: Asserted, partner: Partner) -> Logon:
        people = partner.people
        subject = people.subject_of(asserted)
        if len(asserted.session) > 1024:
            raise SamlBadAssertion("the identity provider's name of its session is too long")
        return Logon(
            issuer=asserted.issuer,
            subject=subject,
            method=METHOD,
            at=asserted.at,
            level=people.level_of(asserted),
            name=people.name_of(asserted),
            roles=people.roles_of(asserted),
            sid=asserted.session,
            name_id=asserted.name_id.text,
        )
