"""Security sessions: who logged on and how, what hangs below that, and how all of it ends at once (S1 to S6).

A logon is a node. Below it hang the HTTP sessions of the applications, one each, and whatever else works for the same
person: MCP sessions, sticky sessions, sessions at back ends. An HTTP session may begin before there is a logon, and is
attached to it then, under a new id. Ending the logon is one write; nothing below it loads any more.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec

from holdfast.core.ids import alias_of
from holdfast.core.kinds import Clocks
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Record, State
from holdfast.core.policy import expires_at
from holdfast.core.session import Session
from holdfast.core.together import every
from holdfast.errors import SessionEnded, SessionNotFound
from holdfast.identity.facts import Identity, InvalidToken
from holdfast.web.address import network_of
from holdfast.web.epochs import Epochs
from holdfast.web.kinds import HTTP, SECURITY
from holdfast.web.places import Places, until_written

LOGON: Final = "logon"  # in the content of a logon, and as a copy in the HTTP sessions below it
APP: Final = "app"
BOUND: Final = "bound"  # in the content of a logon: to which device, until its owner proves anew who they are
WITH: Final = "with"  # in the content of an HTTP session: under which id of the logon its copy was made
TURNED: Final = "turned"  # when that was
DEVICE_CHARACTERS: Final = 256
GRACE_S: Final = 10.0  # for which requests that were sent together with the one that got a new id are served


class Logon(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How somebody has logged on.

    Args:
        issuer: Who vouches for them: an identity provider; empty for ourselves.
        subject: Who they are, unique at the issuer.
        method: How: `password`, `basic`, `bearer`, `oidc`, `saml`.
        at: When they proved who they are (Unix seconds).
        level: How strongly: 1 for one factor, 2 for two; a method may know more.
        name: What to call them on a page.
        roles: What they are.
        scopes: What their token allows, where there is one.
        sid: What the issuer calls its own session: OIDC's `sid`, SAML's `SessionIndex`.
        name_id: What the issuer calls them when it ends a session, where that is not `subject`: SAML's `NameID`, with
            its format and qualifiers.
        address: Where from.
        device: With what: their `User-Agent`, cut.
    """

    issuer: str = ""
    subject: str
    method: str
    at: float
    level: int = 1
    name: str = ""
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    sid: str = ""
    name_id: str = ""
    address: str = ""
    device: str = ""

    @property
    def principal(self) -> str:
        """The name under which everything of theirs is kept."""
        return principal_of(self.issuer, self.subject)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A logon as its owner or an administrator sees it. `handle` names it and opens nothing (R7)."""

    handle: str
    logon: Logon
    created_at: float
    used_at: float
    ends_at: float
    applications: tuple[str, ...] = ()


def principal_of(issuer: str, subject: str) -> str:
    """Return the name of a person, whatever program they use."""
    return Identity(issuer=issuer, subject=subject).principal


def logon_of(session: Session) -> Logon | None:
    """Return the logon that a security session is, or that an HTTP session hangs below; None for a visitor's."""
    kept = session.content.get(LOGON)
    return msgspec.convert(kept, Logon, strict=False) if kept else None


def mark_with(logon_id: str) -> str:
    """Return what an HTTP session keeps of its logon's id: enough to tell it from the next one."""
    return alias_of(logon_id).hex()[:16]


class Logons:
    """Begins, finds and ends logons and the HTTP sessions below them."""

    def __init__(self, manager: Manager) -> None:
        self._manager, self._epochs, self.places = manager, Epochs(manager), Places(manager)

    # -- logons

    async def begin(self, logon: Logon, *, ends_at: float | None = None) -> Session:
        """Open a security session; its `id` is for the browser's cookie and is known only now.

        `ends_at` is when the issuer says that it ends, at the latest (R28).

        Raises:
            LimitReached: They are logged on as often as they may be.
        """
        return await self._manager.open(
            SECURITY,
            {LOGON: _plain(logon)},
            owner=logon.principal,
            client=_found_by(logon),
            label=logon.method,
            clocks=self._clocks(ends_at),
        )

    async def load(self, session_id: str, *, touch: bool = True) -> Session:
        """Return the logon with this id; raise SessionNotFound if there is none (any more)."""
        security = await self._manager.load(session_id, kind=SECURITY, touch=touch)
        due_at = security.record.due_at
        if due_at is not None and self._manager.clock() >= due_at and not await self._lives_below(security):
            await self._manager.end(security, Reason.IDLE)  # as a keeper would have done by now (S4, S21)
            raise SessionNotFound("nothing is left below this logon")
        return security

    async def renew(
        self, security: Session, logon: Logon, *, ends_at: float | None = None, here: Session | None = None
    ) -> str:
        """Write down that somebody has proved anew, or more strongly, who they are; return the new id (R8, S14).

        From now on the issuer's new names of person and session count; `ends_at` may make it end earlier (R28). The
        HTTP sessions below, but the one that is `here`, are found by the new id alone, and get new ones when it comes.

        Raises:
            SessionNotFound: It is somebody else: that is another logon.
        """
        if logon.principal != security.owner:
            raise SessionNotFound("this logon is another person's")

        async def write() -> str:
            ends = min(security.record.ends_at, security.record.ends_at if ends_at is None else ends_at)
            security.record = msgspec.structs.replace(security.record, client=_found_by(logon), ends_at=ends)
            kept = {name: value for name, value in security.content.items() if name != BOUND}
            security.content = {**kept, LOGON: _plain(logon)}
            await self._manager.save(security)
            return await self._manager.rotate(security)

        session_id = await until_written(self._manager, security, write)
        for http in await self._manager.children(security.ref, HTTP):
            if here is None or http.key != here.key:
                with suppress(SessionNotFound, SessionEnded):
                    await until_written(self._manager, http, partial(self._manager.rotate, http))
        return session_id

    async def end(self, security: Session | Record, reason: Reason = Reason.LOGOUT, *, by: str = "") -> bool:
        """End a logon and all below it; False if it had ended already. `by` is the administrator who does it.

        No token begins anything any more that was issued for it before.
        """
        record = security.record if isinstance(security, Session) else security
        await self._epochs.note(record.client)
        return await self._manager.end(record.ref, reason, by=by)

    async def end_each(self, records: Sequence[Record], reason: Reason, *, by: str = "") -> list[bool]:
        """End many logons as `end` does, all at once, and say of each whether it had not ended already."""
        await every(self._epochs.note, sorted({record.client for record in records}))
        return await every(lambda record: self._manager.end(record.ref, reason, by=by), records)

    async def end_at_issuer(self, issuer: str, *, subject: str = "", sid: str = "", name_id: str = "") -> int:
        """End what an issuer says has ended, and return how many logons that were (R43).

        With `sid`, those of that session of the issuer's; with `subject` alone, all of that person's; with both, those
        that are of both. With `name_id`, those of whom the issuer calls that, and of them with `sid` those of that
        session.
        """
        records = [record async for record in self._at_issuer(issuer, subject, sid, name_id)]
        return sum(await self.end_each(records, Reason.LOGOUT))

    async def end_others(self, security: Session, reason: Reason = Reason.SECURITY) -> int:
        """End every other logon of the same person, such as after their password was changed (R34)."""
        others = [record async for record in self._of(security.owner) if record.key != security.key]
        return sum(await self.end_each(others, reason))

    async def end_all(self, principal: str, reason: Reason = Reason.ADMIN) -> int:
        """End every logon of a person (R33)."""
        records = [record async for record in self._of(principal)]
        return sum(await self.end_each(records, reason))

    async def listed(self, principal: str) -> list[Listed]:
        """Return a person's logons, the latest first."""
        found = [await self.shown(record) async for record in self._of(principal)]
        return sorted((one for one in found if one is not None), key=lambda one: one.created_at, reverse=True)

    async def shown(self, record: Record) -> Listed | None:
        """Return a logon as it is shown; None if it has ended, or cannot be read."""
        try:
            session = await self._manager.get(record.ref)
        except SessionNotFound:
            return None
        logon = logon_of(session)
        if logon is None:
            return None
        now, below = self._manager.clock(), self._manager.each("parent", record.key)
        applications = [one async for one in below if one.kind == HTTP and _lives(one, now)]
        return Listed(
            handle=record.key.hex(),
            logon=logon,
            created_at=record.created_at,
            used_at=max((child.used_at for child in applications), default=record.used_at),
            ends_at=expires_at(record),
            applications=tuple(sorted({child.label for child in applications})),
        )

    async def end_listed(self, principal: str, handle: str, reason: Reason = Reason.LOGOUT) -> bool:
        """End one of a person's logons by its handle; False for one that is another's or is not there (R36)."""
        async for record in self._of(principal):
            if record.key.hex() == handle:
                return await self.end(record, reason)
        return False

    async def of_bearer(self, identity: Identity) -> Session | None:
        """Return the logon that a program's token belongs to; None for a token that is no person's.

        It is the one of the issuer's session that the token names, else the person's latest; if they have none, the
        token is a logon of its own (S6). A token that was issued before its person logged off begins nothing.

        Raises:
            InvalidToken: It is such a token.
        """
        if not (identity.issuer and identity.subject):
            return None
        sid = str(identity.claims.get("sid") or "")
        fresh = Logon(
            issuer=identity.issuer,
            subject=identity.subject,
            method="bearer",
            at=identity.authenticated_at or self._manager.clock(),
            scopes=tuple(sorted(identity.scopes)),
            sid=sid,
        )
        issued_at = identity.claims.get("iat")
        ended_at = await self._epochs.last(fresh.principal, _found_by(fresh))
        if isinstance(issued_at, int | float) and issued_at <= ended_at:
            raise InvalidToken("the token was issued before its person logged off")
        found = [session async for session in self._joined(fresh.principal, sid)]
        return max(found, key=lambda one: one.record.created_at) if found else await self.begin(fresh)

    # -- HTTP sessions

    async def open_http(
        self,
        app: str,
        content: Mapping[str, Any] | None = None,
        *,
        below: Session | None = None,
        logon_id: str = "",
        client: str = "",
        key: bytes | None = None,
    ) -> Session:
        """Open an HTTP session of an application: below a logon, whose id may be named, or for a visitor from `client`.

        Raises:
            SessionEnded: The logon has ended.
            SessionExists: The `key` is taken.
            LimitReached: There are as many as there may be.
        """
        values = {**(content or {}), APP: app}
        if below is not None:
            values |= self._copied(below, logon_id)
        owner = below.owner if below else ""
        return await self._manager.open(
            HTTP, values, parent=below, owner=owner, client=network_of(client), label=app, app=app, key=key
        )

    async def load_http(self, session_id: str, app: str, *, touch: bool = True) -> Session:
        """Return an application's HTTP session; another application's is not found (S1)."""
        session = await self._manager.load(session_id, kind=HTTP, app=app, touch=touch)
        if session.content.get(APP) != app:
            raise SessionNotFound("there is no such session")
        return session

    async def enter(
        self, security: Session, app: str, content: Mapping[str, Any] | None = None, *, logon_id: str = ""
    ) -> tuple[Session, bool]:
        """Return the one HTTP session of an application below a logon, and whether it was opened for this (S2).

        Raises SessionNotFound if the logon has ended, and what `open_http` raises.
        """
        return await self.places.take(
            security, app, lambda key: self.open_http(app, content, below=security, logon_id=logon_id, key=key)
        )

    async def attach(
        self,
        http: Session,
        security: Session,
        *,
        logon_id: str = "",
        keeps: Callable[[str], bool] = lambda name: True,
    ) -> bool:
        """Hang a visitor's HTTP session below a logon, under a new id and with what it `keeps` of its content (S3).

        False if the application has another one there: this one is over then. Raises SessionNotFound if another
        request has attached it meanwhile, and SessionEnded if one of the two has ended.
        """
        await until_written(self._manager, http, lambda: self._manager.rotate(http, parent=security))

        async def write() -> None:
            kept = {name: value for name, value in http.content.items() if keeps(name)}
            http.content = {**kept, **self._copied(security, logon_id)}
            http.record = msgspec.structs.replace(http.record, owner=security.owner, client=security.owner)
            await self._manager.save(http)

        await until_written(self._manager, http, write)
        if await self.places.claim(security, http.content[APP], http):
            return True
        await self._manager.end(http, Reason.REPLACED)
        return False

    async def follow(
        self, http: Session, security: Session, *, logon_id: str, more: Mapping[str, Any] | None = None
    ) -> bool:
        """Bring an HTTP session up to date with its logon, under a new id (R8); False if another request just has.

        The new id is for who brought the logon's own: who knows only the old one of the HTTP session is out.

        Raises:
            SessionNotFound, SessionEnded: It has ended.
        """
        copied = {**self._copied(security, logon_id), **(more or {})}

        async def write() -> bool:
            if http.content.get(WITH) == copied[WITH] and copied[TURNED] - http.content.get(TURNED, 0.0) < GRACE_S:
                return False  # R9: the one that has it may still be on its way back
            http.content = {**http.content, **copied}
            await self._manager.save(http)
            return True

        if not await until_written(self._manager, http, write):
            return False
        await until_written(self._manager, http, lambda: self._manager.rotate(http))
        return True

    def _copied(self, security: Session, logon_id: str) -> dict[str, Any]:
        marked = {WITH: mark_with(logon_id)} if logon_id else {}
        return {LOGON: security.content[LOGON], TURNED: self._manager.clock(), **marked}

    # -- inside

    async def _lives_below(self, security: Session) -> bool:
        now = self._manager.clock()
        below = self._manager.each("parent", security.key)
        return any([_lives(child, now) async for child in below])

    def _clocks(self, ends_at: float | None) -> Clocks | None:
        if ends_at is None:
            return None
        usual = self._manager.rules(SECURITY)[0]
        left = max(ends_at - self._manager.clock(), 0.0)
        return msgspec.structs.replace(usual, absolute=min(usual.absolute, left))

    async def _joined(self, principal: str, sid: str) -> AsyncIterator[Session]:
        """Yield the logons of a person that a token with this `sid` may belong to."""
        async for record in self._of(principal):
            try:
                session = await self._manager.get(record.ref)
            except SessionNotFound:
                continue
            logon = logon_of(session)
            if logon is not None and (not sid or logon.sid == sid):
                yield session

    async def _of(self, principal: str) -> AsyncIterator[Record]:
        async for record in self._manager.each("owner", principal):
            if record.kind == SECURITY and record.state is State.LIVE:
                yield record

    async def _at_issuer(self, issuer: str, subject: str, sid: str, name_id: str) -> AsyncIterator[Record]:
        principal = principal_of(issuer, subject)
        by = _found_by(Logon(issuer=issuer, subject=subject, method="", at=0.0, sid=sid, name_id=name_id))
        async for record in self._manager.each("client", by) if name_id or sid else self._of(principal):
            if record.kind != SECURITY or record.state is not State.LIVE or (subject and record.owner != principal):
                continue
            if not (name_id and sid) or await self._has_sid(record, sid):
                yield record

    async def _has_sid(self, record: Record, sid: str) -> bool:
        try:
            logon = logon_of(await self._manager.get(record.ref))
        except SessionNotFound:
            return False
        return logon is not None and logon.sid == sid


def _lives(record: Record, now: float) -> bool:
    return record.state is State.LIVE and expires_at(record) > now


def _plain(logon: Logon) -> dict[str, Any]:
    """Return a logon as it is kept."""
    cut = msgspec.structs.replace(logon, device=logon.device[:DEVICE_CHARACTERS])
    return dict(msgspec.to_builtins(cut))


def _found_by(logon: Logon) -> str:
    """Return under what a logon is found when its issuer ends a session, without knowing whose it is (R47)."""
    if logon.name_id:
        return "name " + principal_of(logon.issuer, logon.name_id)
    return "sid " + principal_of(logon.issuer, logon.sid) if logon.sid else logon.principal
