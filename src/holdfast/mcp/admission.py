"""Who may use a session: its owner, from where it was opened, under the id that it has now (M12, M13).

The owner is the principal of the request's token, whatever token that is. The fingerprint is the address and the
program (`User-Agent`) that opened the session; a request that differs is told of, or refused as if there were no such
session. In the source's dialect a session that was opened without logon becomes that of the first principal who uses
it, under a fresh id: who knew the old one is out, and so is who has a stream open under it. Elsewhere clients could not
follow, so they get 404.
"""

import hashlib
import logging
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final

import msgspec

from holdfast.core.events import Fact, visible
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.policy import touched
from holdfast.core.session import Session
from holdfast.errors import SessionConflict, SessionNotFound
from holdfast.mcp import identity_context
from holdfast.mcp.exchange import Exchange
from holdfast.mcp.kinds import SESSION, STREAM
from holdfast.mcp.rules import SessionRules
from holdfast.mcp.showing import FINGERPRINT, shown
from holdfast.mcp.standalone import Streams

ADDRESS: Final = "address"
AGENT: Final = "user agent"
DIGITS: Final = 16
FOUND: Final = "holdfast.session"  # in the scope


class Found(msgspec.Struct, frozen=True):
    """A session that the middleware has found for a request, with all that this takes, before it came here."""

    manager: Manager
    session_id: str  # as it was sent
    principal: str
    session: Session


class Admission:
    """Finds the sessions that requests name, and binds new ones to who opens them."""

    def __init__(self, manager: Manager, streams: Streams, rules: SessionRules) -> None:
        self._manager, self._streams, self._rules = manager, streams, rules

    def marks(self, exchange: Exchange) -> dict[str, Any]:
        """Return what a new session's content has to hold for its use to be judged later."""
        marks = identity_context.kept(exchange.identity, self._manager.clock())
        if self._rules.fingerprint != "off":
            marks[FINGERPRINT] = self._fingerprint(exchange)
        return marks

    def found(self, exchange: Exchange) -> Session | None:
        """Return the session that a request names if it was found before, so that nothing is done twice."""
        found = exchange.scope.get(FOUND)
        if found is None or found.manager is not self._manager:
            return None
        same = found.session_id == exchange.head.session_ids[0] and found.principal == exchange.principal
        return found.session if same else None

    async def load(self, exchange: Exchange) -> Session:
        """Return the session that a request names, and record its use.

        Raises:
            SessionNotFound: There is none for this request, for whatever reason.
        """
        session_id = exchange.head.session_ids[0]
        rejects = self._rules.fingerprint == "reject"
        try:
            session = await self._manager.load(session_id, kind=SESSION, owner=exchange.principal, touch=not rejects)
        except SessionNotFound:
            if not (self._rules.dialect and exchange.principal):
                raise
            session = await self._taken_over(exchange, session_id)
        await self._compare(exchange, session)
        await self._know(exchange, session)
        if rejects:
            await self._touch(session)
        if self._rules.debug:
            await self._show(session)
        return session

    async def _know(self, exchange: Exchange, session: Session) -> None:
        """Keep what a later token says of the session's user, and show the user in the request's scope (M23)."""
        fresh = identity_context.changed(session, exchange.identity, self._manager.clock())
        if fresh:
            await self._manager.merge(session, fresh)
        exchange.scope.update(identity_context.in_scope(session, exchange.identity))

    # -- fingerprint

    def _fingerprint(self, exchange: Exchange) -> dict[str, str]:
        agent = exchange.head.fields.get(b"user-agent", b"")
        return _fingerprint(exchange.address, agent, self._rules.fingerprint_prefix)

    async def _compare(self, exchange: Exchange, session: Session) -> None:
        known = session.content.get(FINGERPRINT)
        if known is None or self._rules.fingerprint == "off":
            return
        seen = self._fingerprint(exchange)
        if seen == known:
            return
        differs = " and ".join(name for name in seen if seen[name] != known.get(name))
        self._manager.tell(Fact.FINGERPRINT, session.record, detail=f"{differs}: {self._rules.fingerprint}")
        if self._rules.fingerprint == "reject":
            raise SessionNotFound("there is no such session")
        await self._manager.merge(session, {FINGERPRINT: seen})  # told of once for each change

    async def _touch(self, session: Session) -> None:
        """Record the use now that it is known to be one of the owner's."""
        after = self._manager.rules(SESSION)[0].touch_after
        if after is not None and touched(session.record, self._manager.clock(), after) is not None:
            await self._manager.get(session.ref, touch=True)

    # -- a change of authentication

    async def _taken_over(self, exchange: Exchange, session_id: str) -> Session:
        """Make a session that nobody owns that of the principal, under a fresh id.

        Its streams are ended: they were opened by whoever knew the old id, who need not be the principal.
        """
        session = await self._manager.load(session_id, kind=SESSION, owner="", touch=False)
        if self._rules.fingerprint == "reject":
            await self._compare(exchange, session)
        session.record = msgspec.structs.replace(session.record, owner=exchange.principal, client=exchange.client)
        try:
            await self._manager.save(session)
            exchange.fresh_id = await self._manager.rotate(session)
        except SessionConflict:
            raise SessionNotFound("there is no such session") from None
        for stream in await self._manager.children(session.ref, STREAM):
            await self._manager.end(stream, Reason.SECURITY)
        return session

    # -- debugging

    async def _show(self, session: Session) -> None:
        """Log what there is to know of a session; its id is cut (E4)."""
        if self._rules.log.isEnabledFor(logging.DEBUG):
            connections = len(await self._manager.children(session.ref, STREAM))
            known = shown(session.record, session.content, connections)
            self._rules.log.debug("%s", visible(msgspec.json.encode(known).decode()))


@lru_cache(maxsize=1024)
def _fingerprint(address: str, agent: bytes, prefix: int) -> dict[str, str]:
    return {ADDRESS: _digest(_network(address, prefix).encode()), AGENT: _digest(agent)}


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:DIGITS]


def _network(address: str, prefix: int) -> str:
    """Return what counts of an address: an IPv6 network, since hosts change their addresses within it; else all."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, prefix), strict=False))
    return str(parsed)
