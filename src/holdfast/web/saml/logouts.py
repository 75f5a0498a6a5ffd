"""Single logout by messages between us and an identity provider, with nobody's browser in it (R42 to R45, S19)."""

import secrets
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import quote

from holdfast.errors import HoldfastError, StoreUnavailable
from holdfast.identity.facts import IssuerUnavailable
from holdfast.identity.saml.bindings import Received, from_envelope, to_envelope
from holdfast.identity.saml.logouts import (
    LogoutRequest,
    logout_request,
    logout_response,
    read_logout_request,
    read_logout_response,
)
from holdfast.identity.saml.names import SOAP
from holdfast.identity.saml.parties import IdentityProvider, NameId, ServiceProvider
from holdfast.identity.saml.refusals import SamlReplayed, SamlUnavailable
from holdfast.identity.saml.responses import RESPONSE_AGE_S, SKEW_S, Asserted
from holdfast.identity.saml.xml import Element
from holdfast.web.saml.gate import Gate
from holdfast.web.saml.partners import Partners
from holdfast.web.security import Logon
from holdfast.web.site import Running

ROUNDS: Final = 3
Post = Callable[[str, bytes], Awaitable[bytes]]


class Done(NamedTuple):
    """What a request for a logout has come to."""

    idp: IdentityProvider
    request: LogoutRequest
    complete: bool


class Logouts:
    """Ends what an identity provider asks to end, and asks it to end what was ended here.

    Args:
        post: Sends a SOAP envelope and returns the answer's.
    """

    def __init__(self, sp: ServiceProvider, partners: Partners, gate: Gate, post: Post) -> None:
        self._sp, self._partners, self._gate, self._post = sp, partners, gate, post

    # -- they ask us

    async def obey(self, running: Running, received: Received, destination: str) -> Done:
        """End the logons that a request names, at whichever worker it arrives (R43, R47).

        Raises:
            SamlRefused: It is not to be believed. Nothing was ended.
            SamlUnavailable: Too many wait already.
        """
        manager = running.manager
        metadata = self._partners.named(received.claimed_issuer)
        request = await metadata.judged(self._gate, read_logout_request, received, destination, now=manager.clock())
        idp = await metadata.current()
        try:
            await once(running, request.issuer, request.id, request.valid_until)
            await _note(running, request)
            return Done(idp, request, await self._end(running, request))
        except StoreUnavailable:
            return Done(idp, request, complete=False)

    async def _end(self, running: Running, request: LogoutRequest) -> bool:
        """End what is named, and say whether nothing of it is left."""
        names = request.name_id.spellings(request.issuer, self._sp.entity_id)
        for _ in range(ROUNDS):
            ended = [
                await running.logons.end_at_issuer(request.issuer, name_id=name, sid=sid)
                for name in names
                for sid in request.sessions or ("",)
            ]
            if not any(ended):
                return True
        return False

    def answer(self, done: Done, to: str, now: float) -> Element:
        """Return the answer to a request: success only if nothing is left (R44)."""
        return logout_response(self._sp, to, new_id(), done.request.id, complete=done.complete, now=now)

    # -- we ask them

    def request(self, logon: Logon, to: str, request_id: str, now: float) -> Element:
        """Return the request to end a logon at its identity provider."""
        return logout_request(self._sp, to, request_id, NameId.of(logon.name_id), session=logon.sid, now=now)

    async def reaches(self, issuer: str) -> bool:
        """Say whether an identity provider takes logouts by SOAP, as far as is known now."""
        try:
            return SOAP in (await self._partners.named(issuer).current()).logout
        except SamlUnavailable:
            return False

    async def ask(self, logon: Logon, now: Callable[[], float]) -> list[str]:
        """Ask by SOAP, and return what stays logged on (S19).

        Raises:
            SamlRefused: The answer is not to be believed.
            SamlUnavailable: There is no answer.
        """
        metadata = self._partners.named(logon.issuer)
        idp = await metadata.current()
        if SOAP not in idp.logout:
            return [idp.called]
        to, request_id = idp.logout[SOAP].location, new_id()
        envelope = to_envelope(self.request(logon, to, request_id, now()), self._sp.credentials[0])
        try:
            answer = await self._post(to, envelope)
        except IssuerUnavailable as exc:
            raise SamlUnavailable(str(exc)) from None
        complete = await metadata.judged(
            self._gate, read_logout_response, from_envelope(answer), None, request_id, now=now()
        )
        return [] if complete else [f"systems that {idp.called} could not log off"]

    async def stays(self, logon: Logon, now: Callable[[], float]) -> list[str]:
        """Ask by SOAP, and return what stays logged on, the identity provider if it does not answer as it should."""
        try:
            return await self.ask(logon, now)
        except HoldfastError:
            return [logon.issuer]


async def once(running: Running, issuer: str, message_id: str, until: float) -> None:
    """Note that a message has been here; raise SamlReplayed if it has been before, at any worker."""
    name = "saml " + sha256(f"{issuer} {message_id}".encode()).hexdigest()
    manager = running.manager
    now = manager.clock()
    if not await manager.store.counters.once(name, now=now, ttl=max(until - now, 1.0)):
        raise SamlReplayed("the message has been here before")


async def has_ended(running: Running, asserted: Asserted) -> bool:
    """Say whether the identity provider has ended what it asserts: on the way here, its logout may have been faster.

    Ask once the logon can be found: then either the logout finds it, or this finds the logout.
    """
    names = [_ended(asserted.issuer, asserted.name_id.value, sid) for sid in (asserted.session, "")]
    manager = running.manager
    return asserted.issued_at <= max(await manager.store.counters.read(names, now=manager.clock()))


async def _note(running: Running, request: LogoutRequest) -> None:
    """Note when sessions ended, in whole seconds, for as long as a response could still be under way."""
    manager = running.manager
    now, counters = manager.clock(), manager.store.counters
    names = [_ended(request.issuer, request.name_id.value, sid) for sid in request.sessions or ("",)]
    for name, before in zip(names, await counters.read(names, now=now), strict=True):
        await counters.add(name, int(now) - before, now=now, ttl=RESPONSE_AGE_S + 2 * SKEW_S)


def _ended(issuer: str, name: str, sid: str) -> str:
    return "saml ended " + sha256(" ".join(map(quote, (issuer, name, sid))).encode()).hexdigest()


def new_id() -> str:
    """Return a fresh ID for a message: 256 bits, behind a letter as XML wants it."""
    return "_" + secrets.token_hex(32)
