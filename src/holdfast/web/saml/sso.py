"""Logging on at the identity provider: the way there, and the way back with an assertion (R28, R29, R40, R41)."""

from typing import Final

import msgspec

from holdfast._asgi import Receive, Scope
from holdfast.core.model import Ref
from holdfast.errors import SessionNotFound
from holdfast.identity.saml.bindings import from_form, to_form, to_redirect
from holdfast.identity.saml.names import POST, REDIRECT
from holdfast.identity.saml.refusals import SamlBadAssertion, SamlOutOfTime
from holdfast.identity.saml.responses import Asked, Asserted, authn_request, read_response
from holdfast.web.middleware import login
from holdfast.web.notice import Notice, onward
from holdfast.web.query import Query
from holdfast.web.returns import local_path
from holdfast.web.saml.logouts import has_ended, new_id, once
from holdfast.web.saml.pages import posting
from holdfast.web.saml.partner import Metadata, Partner
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
        there = await visit.of_logon()
        way = Way(
            kind=KIND,
            asked=Asked(id=new_id(), at=shared.clock(), force=self._force(visit, query, metadata.partner)),
            idp=metadata.current().entity_id,
            next=local_path(query.get("next", shared.landing)),
            there=None if there is None else (there.record.tree, there.record.key),
        )
        relay_state, cookies = await shared.send_away(
            visit.services, visit.scope, msgspec.to_builtins(way, builtin_types=(bytes,))
        )
        notice = self._to(metadata, way.asked, relay_state)
        return msgspec.structs.replace(notice, headers=(*notice.headers, *cookies))

    async def come_back(self, visit: Visit, scope: Scope, receive: Receive) -> Notice:
        """Take the browser back, with an assertion, and log it on."""
        shared = self._shared
        fields = await fields_of(scope, receive)
        again = shared.once_more(scope, fields, shared.sp.acs)
        if again is not None:
            return again
        received = await shared.gate.run(from_form, fields)
        kept = await shared.take_back(visit.services, scope, received.relay_state, KIND)
        way = msgspec.convert(kept, Way, strict=False, builtin_types=(bytes,))
        metadata = shared.partners.named(way.idp)
        idp, partner = metadata.current(), metadata.partner
        asserted = await shared.gate.run(
            read_response, received, idp, shared.sp, way.asked, now=shared.clock(), signed=partner.signed
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

    def _force(self, visit: Visit, query: Query, partner: Partner) -> bool:
        """Say whether the person has to prove anew who they are."""
        ended = visit.logon is None and self._shared.was_here.read(visit.scope) is not None
        return (
            not {"fresh", "anew"}.isdisjoint(query)
            or partner.fresh == "always"
            or (partner.fresh == "after_end" and ended)
        )

    def _to(self, metadata: Metadata, asked: Asked, relay_state: str) -> Notice:
        shared, idp = self._shared, metadata.current()
        binding = REDIRECT if REDIRECT in idp.logon else POST
        to = idp.logon[binding]
        request = authn_request(shared.sp, to, asked, name_format=metadata.partner.name_format)
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
