"""Who may use a session: its owner, from where it was opened, under the id that it has now (M12, M13).

The owner is the principal of the request's token, whatever token that is. The fingerprint is the address and the
program (`User-Agent`) that opened the session; a request that differs is told of, or refused as if there were no such
session. In the source's dialect the first principal who uses a session that was opened without logon gets one of his
own in its place, under a fresh id: who knew the old one is out, with all streams and calls. Elsewhere clients could not
follow, so they get 404.
"""

import logging
from typing import Any, Final

import msgspec

from holdfast.core.events import Fact, visible
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.session import Session
from holdfast.errors import SessionNotFound
from holdfast.mcp import identity_context
from holdfast.mcp.exchange import Exchange
from holdfast.mcp.kinds import SESSION, STREAM
from holdfast.mcp.rules import SessionRules
from holdfast.mcp.showing import FINGERPRINT, shown
from holdfast.mcp.standalone import Streams
from holdfast.web.binding import AGENT_BYTES, Fingerprint, difference, fingerprint, used
from holdfast.web.security import Logons

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
        self._logons = Logons(manager)

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
        rejects, who = self._rules.fingerprint == "reject", exchange.principal
        may_log_on = self._rules.dialect and who != ""
        try:
            session = await self._manager.load(
                session_id, kind=SESSION, owner=who, touch=not rejects, quietly=may_log_on
            )
        except SessionNotFound:
            if not may_log_on:
                raise
            session = await self._logged_on(exchange, session_id)
        await self._compare(exchange, session)
        await self._know(exchange, session)
        if rejects:
            await used(self._manager, session)
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

    def _fingerprint(self, exchange: Exchange) -> Fingerprint:
        agent = exchange.head.fields.get(b"user-agent", b"")
        return fingerprint(exchange.address, agent[:AGENT_BYTES], self._rules.fingerprint_prefix)

    async def _compare(self, exchange: Exchange, session: Session) -> None:
        known = session.content.get(FINGERPRINT)
        if known is None or self._rules.fingerprint == "off":
            return
        seen = self._fingerprint(exchange)
        if seen == known:
            return
        detail = f"{difference(known, seen)}: {self._rules.fingerprint}"
        self._manager.tell(Fact.FINGERPRINT, session.record, detail=detail)
        if self._rules.fingerprint == "reject":
            raise SessionNotFound("there is no such session")
        await self._manager.merge(session, {FINGERPRINT: seen})  # told of once for each change

    async def logon(self, exchange: Exchange) -> Session | None:
        """Return the logon below which a session of who sends a request hangs, if there is a person (M6, S6)."""
        return await self._logons.of_bearer(exchange.identity)

    # -- a change of authentication

    async def _logged_on(self, exchange: Exchange, session_id: str) -> Session:
        """Return a session that nobody has owned, taken over; where there is none, that is told of, once."""
        try:
            session = await self._manager.load(session_id, kind=SESSION, owner="", touch=False, quietly=True)
        except SessionNotFound:
            return await self._manager.load(session_id, kind=SESSION, owner=exchange.principal)
        return await self._taken_over(exchange, session)

    async def _taken_over(self, exchange: Exchange, session: Session) -> Session:
        """Put a session of the principal in the place of one that nobody owns; it begins with what was settled there.

        The old one is ended with its streams and calls: whoever knows its id need not be the principal.
        """
        if self._rules.fingerprint == "reject":
            await self._compare(exchange, session)
        if not await self._manager.end(session, Reason.SECURITY):
            raise SessionNotFound("there is no such session")  # somebody else was faster
        fresh = await self._manager.open(
            SESSION,
            session.content,
            parent=await self.logon(exchange),
            owner=exchange.principal,
            client=exchange.client,
            label=session.record.label,
        )
        self._manager.tell(Fact.ROTATED, fresh.record)
        exchange.fresh_id = fresh.id or ""
        return fresh

    # -- debugging

    async def _show(self, session: Session) -> None:
        """Log what there is to know of a session; its id is cut (E4)."""
        if self._rules.log.isEnabledFor(logging.DEBUG):
            connections = len(await self._manager.children(session.ref, STREAM))
            known = shown(session.record, session.content, connections)
            self._rules.log.debug("%s", visible(msgspec.json.encode(known).decode()))
