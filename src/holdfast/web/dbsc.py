"""Logons that are bound to the device of their browser, where it can: Device Bound Session Credentials (S15).

The answer to a logon offers it. The browser then makes a key that does not leave its device, registers it, and gets a
second cookie that is good for minutes. Before that one ends, it proves that it has the key, and gets another. From then
on the cookies of the logon and of its applications alone are nobody's (T5).

A registration is allowed by the challenge of the offer alone: a browser that comes back from another site may not send
its cookies with it. The bound cookie is sealed and names its logon, so a request that has it costs no trip to the
store more than without. What a proof has to hold next is kept in the logon: any worker can tell.
"""

import base64
import binascii
import re
import secrets
from functools import partial
from typing import Final

import msgspec

from holdfast._asgi import Scope, Send
from holdfast.config import DbscSettings
from holdfast.core.events import ADDRESS, Fact
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Ref
from holdfast.core.sealing import Unreadable
from holdfast.core.session import Session
from holdfast.errors import BadInput, HoldfastError, SessionNotFound
from holdfast.identity.dbsc import ALGORITHMS, Device, ForeignKey, ProofRefused, read_refresh, read_registration
from holdfast.web.address import network_of
from holdfast.web.application import Paths
from holdfast.web.cookies import NO_STORE, Cookie, TwoCookies
from holdfast.web.kinds import SECURITY
from holdfast.web.places import until_written
from holdfast.web.rates import Rates
from holdfast.web.reply import JSON_TYPE, Header, reply
from holdfast.web.security import BOUND, GRACE_S, Logons
from holdfast.web.served import refuse

COOKIE: Final = "holdfast-bound"
OFFER_S: Final = 300.0  # in which a browser has to register its key
OUTLIVES_S: Final = 300.0  # by which a challenge outlives the cookie: the next proof needs no question
GUARDS: Final[tuple[Header, ...]] = (  # R54: no other site reads an answer, frames it, or has it from a cache
    NO_STORE,
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
TEXT: Final = re.compile(r'(?:"([\x20-\x21\x23-\x5b\x5d-\x7e]*)"|([A-Za-z0-9._-]+))\s*(?:;.*)?')  # RFC 9651 §3.3.3
SKIPPED: Final = re.compile(r'(unreachable|server_error|quota_exceeded)\s*;\s*session_identifier="([^"]*)"')
OFFER: Final = b"dbsc offer"
COOKIE_OF: Final = b"dbsc cookie"


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed for a browser: of which logon, for which id or device, and until when (Unix seconds)."""

    logon: str
    of: str
    ends_at: float


class Devices:
    """Binds logons to devices.

    Args:
        settings: `[dbsc]`.
        cookie: The bound one.
    """

    def __init__(self, settings: DbscSettings, cookie: Cookie) -> None:
        self._settings, self._cookie, self._excluded = settings, cookie, Paths(settings.excluded)
        self._register, self._refresh = f"{settings.path}/register", f"{settings.path}/refresh"
        self._challenge_s = settings.lifetime + OUTLIVES_S

    def __contains__(self, path: str) -> bool:
        """Say whether a path of the site is one of those that browsers register at and prove at."""
        return path in (self._register, self._refresh)

    def offer(self, scope: Scope, manager: Manager, security: Session) -> Header | None:
        """Return the header that offers to bind a logon; None where its cookie could not be set."""
        alias = security.record.alias
        if alias is None or self._cookie.described(scope) is None:
            return None
        challenge = _seal(manager, OFFER, Ticket(security.key.hex(), alias.hex(), manager.clock() + OFFER_S))
        offered = f'({" ".join(ALGORITHMS)});path="{self._register}";challenge="{challenge}"'
        return b"secure-session-registration", offered.encode()

    async def refuses(self, scope: Scope, manager: Manager, session: Session, *, tells: bool = True) -> bool:
        """Say whether a request may not use a session because its logon is bound, and it cannot show that it is there.

        It is told of, if it `tells`, but for paths that browsers show nothing for.

        Raises:
            SessionNotFound: The logon has ended.
        """
        key = session.key if session.record.kind == SECURITY else session.record.parent
        if key is None or self._shows(scope, manager, key):
            return False
        security = session if session.record.kind == SECURITY else await manager.get(Ref(session.record.tree, key))
        device, now = device_of(security), manager.clock()
        if device is None or now < device.bound_at + GRACE_S:  # sent before the answer with the cookie was there
            return False
        if scope["path"] in self._excluded:
            return True
        why, allowed = self._skipped(scope, device, now)
        if tells:
            manager.tell(Fact.FINGERPRINT, session.record, detail=f"{why}: {'allow' if allowed else 'step_up'}")
        return not allowed

    async def serve(self, scope: Scope, send: Send, manager: Manager, rates: Rates) -> None:
        """Register a key, or take a proof and give a fresh cookie.

        A browser forgets its key at most answers of 400 to 499, so what will pass is answered 500 or higher (R53).
        """
        ADDRESS.set(self._cookie.proxies.client_of(scope))
        if scope["method"] != "POST":
            await reply(send, 405, headers=(*GUARDS, (b"allow", b"POST")))
            return
        try:
            if scope["path"] == self._register:
                headers, said = await self._registered(scope, manager)
            else:
                headers, said = await self._refreshed(scope, manager, rates)
        except HoldfastError as exc:
            await refuse(scope, send, exc, GUARDS)
            return
        status = 200 if said else 403
        await reply(send, status, said, (*GUARDS, *((JSON_TYPE,) if said else ()), *headers))

    # -- the two exchanges

    async def _registered(self, scope: Scope, manager: Manager) -> tuple[list[Header], bytes]:
        key, challenge = read_registration(_proof(scope))
        ticket, now = _open(manager, OFFER, challenge), manager.clock()
        if ticket is None or ticket.ends_at <= now:
            raise ProofRefused("the challenge is none that was offered lately")
        security = await _logon(manager, ticket.logon)
        fresh = Device(id=f"{ticket.logon}.{secrets.token_urlsafe(16)}", key=key, bound_at=now, proven_at=now)

        async def write() -> Device:
            bound = device_of(security)
            if (security.record.alias or b"").hex() != ticket.of or (bound is not None and bound.key != key):
                raise ProofRefused("the logon has another id since, or is bound to another key")
            if bound is None:
                await _keep(manager, security, fresh)
            return bound or fresh  # the same one: its first answer was lost

        device = await until_written(manager, security, write)
        return self._given(scope, manager, security, device)

    async def _refreshed(self, scope: Scope, manager: Manager, rates: Rates) -> tuple[list[Header], bytes]:
        """Return what is answered to a proof; to none, or one of a challenge that is spent or stale, a challenge."""
        security, device = await self._named(scope, manager, rates)
        try:
            answered = read_refresh(_proof(scope), device.key) if _said(scope, b"secure-session-response") else ""
        except ForeignKey:
            manager.tell(Fact.FINGERPRINT, security.record, detail="key of the device: kill")
            await Logons(manager).end(security, Reason.SECURITY)
            raise

        async def write() -> tuple[Device, bool]:
            now, fresh, known = manager.clock(), secrets.token_urlsafe(32), device_of(security)
            if known is None or known.id != device.id:
                raise SessionNotFound("there is no such binding any more")
            good = known.asks(answered, now)
            turn = partial(known.proven, answered) if good else known.asked
            turned = turn(fresh, now, self._challenge_s)
            if turned != known:
                await _keep(manager, security, turned)
            return turned, good

        turned, good = await until_written(manager, security, write)
        headers, said = self._given(scope, manager, security, turned) if good else ([], b"")
        asked = f'"{turned.challenge}";id="{turned.id}"'.encode()
        return [*headers, (b"secure-session-challenge", asked)], said

    async def _named(self, scope: Scope, manager: Manager, rates: Rates) -> tuple[Session, Device]:
        """Return what a refresh is for. Pages cannot send its header, so what other sites send learns nothing (R54)."""
        name = _text(_said(scope, b"sec-secure-session-id"))
        if not name:
            raise BadInput("this is for browsers that prove that they have the key of their device")
        try:
            security = await _logon(manager, name.partition(".")[0])
            device = device_of(security)
            if device is not None and secrets.compare_digest(device.id, name):
                return security, device
        except SessionNotFound:
            pass
        await rates.unknown.take(network_of(ADDRESS.get()))
        raise SessionNotFound("there is no such binding (any more)")

    def _given(self, scope: Scope, manager: Manager, security: Session, device: Device) -> tuple[list[Header], bytes]:
        """Return a fresh cookie, and what the browser is told of it."""
        described, lifetime = self._cookie.described(scope), self._settings.lifetime
        ticket = Ticket(security.key.hex(), device.id, manager.clock() + lifetime)
        put = self._cookie.put(scope, _seal(manager, COOKIE_OF, ticket), max_age=int(lifetime - GRACE_S))
        if described is None or put is None:
            raise BadInput("a bound cookie is not set over plain HTTP")
        name, attributes = described
        excluded = [{"type": "exclude", "domain": "*", "path": path} for path in self._settings.excluded]
        told = {
            "session_identifier": device.id,
            "refresh_url": self._refresh,
            "scope": {"include_site": False, "scope_specification": excluded},
            "credentials": [{"type": "cookie", "name": name, "attributes": attributes}],
        }
        return [put], msgspec.json.encode(told)

    # -- what a request shows

    def _shows(self, scope: Scope, manager: Manager, key: bytes) -> bool:
        """Say whether a request has a cookie that is bound to this logon and good now."""
        try:
            ticket = _open(manager, COOKIE_OF, self._cookie.read(scope) or "")
        except TwoCookies:
            return False
        return ticket is not None and ticket.logon == key.hex() and manager.clock() < ticket.ends_at

    def _skipped(self, scope: Scope, device: Device, now: float) -> tuple[str, bool]:
        """Return why a request comes without its cookie, and whether it is served all the same (R55)."""
        for why, name in SKIPPED.findall(_said(scope, b"secure-session-skipped")):
            if name == device.id:
                late = device.proven_at + self._settings.lifetime + self._settings.skipped_for
                return f"bound cookie skipped, {why}", self._settings.skipped == "allow" and now < late
        return "bound cookie missing or over", False


def device_of(security: Session) -> Device | None:
    """Return the device that a logon is bound to; None for one that is not."""
    kept = security.content.get(BOUND)
    return msgspec.convert(kept, Device, strict=False) if kept else None


async def _keep(manager: Manager, security: Session, device: Device) -> None:
    security.content = {**security.content, BOUND: msgspec.to_builtins(device)}
    await manager.save(security)


async def _logon(manager: Manager, name: str) -> Session:
    """Return a logon by the digits of its key."""
    try:
        key = bytes.fromhex(name)
    except ValueError:
        raise SessionNotFound("there is no such logon") from None
    session = await manager.get(Ref(key, key))
    if session.record.kind != SECURITY:
        raise SessionNotFound("there is no such logon")
    return session


def _seal(manager: Manager, purpose: bytes, ticket: Ticket) -> str:
    sealed = manager.keys.seal(msgspec.json.encode(ticket), purpose)
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _open(manager: Manager, purpose: bytes, text: str) -> Ticket | None:
    try:
        sealed = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
        return msgspec.json.decode(manager.keys.open(sealed, purpose), type=Ticket)
    except (binascii.Error, ValueError, Unreadable):
        return None


def _proof(scope: Scope) -> str:
    return _text(_said(scope, b"secure-session-response"))


def _said(scope: Scope, header: bytes) -> str:
    """Return what a header says: all of its lines, as one list."""
    return ", ".join(value.decode("latin-1") for name, value in scope["headers"] if name == header)


def _text(value: str) -> str:
    """Return a text as headers have it, or bare, as some browsers send it; empty if it is neither."""
    found = TEXT.fullmatch(value.strip())
    return (found[1] or found[2] or "") if found else ""
