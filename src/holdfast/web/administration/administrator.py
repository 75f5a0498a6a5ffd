"""Lists and ends other people's logons, and single applications' sessions; the issuers of logons are told (S5, S19).

Handles name logons and open nothing. Nothing here reads all there is at once: lists come in pages. Ending is one write
for each logon; what hangs below is gone with it.
"""

import binascii
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import msgspec

from holdfast.core.events import ADDRESS, Event, Fact
from holdfast.core.manager import Manager
from holdfast.core.model import KEY_BYTES, Reason, Record, State
from holdfast.core.policy import expires_at
from holdfast.core.ports import Index
from holdfast.core.sealing import Unreadable
from holdfast.core.together import every
from holdfast.errors import BadInput, NotFound, SessionNotFound
from holdfast.web.administration.tree import Tree, arranged
from holdfast.web.federation import Federation, out_of_reach, told_each
from holdfast.web.kinds import HTTP, SECURITY
from holdfast.web.security import Listed, Logon, Logons, logon_of

PAGE: Final = 50
LONGEST_PAGE: Final = 200
MOST_TRIPS: Final = 20  # for one page: among many nodes few may be the logons that were asked for
TREE_PAGE: Final = 500
ALL: Final = "all"  # the kind of what is ended, in the audit trail


class Page(msgspec.Struct, frozen=True):
    """Some logons, and where the next page begins; empty at the end. A page may have fewer than were asked for."""

    logons: tuple[Listed, ...]
    after: str = ""


class Ended(msgspec.Struct, frozen=True):
    """What was ended.

    Args:
        logons: How many.
        sessions: How many HTTP sessions, where these alone were ended.
        stays: Systems that somebody may still be logged on at.
    """

    logons: int = 0
    sessions: int = 0
    stays: tuple[str, ...] = ()


class Administrator:
    """One who acts on a site.

    Args:
        manager: The site's.
        federations: How logons come from elsewhere.
        by: Who it is, for the audit trail.
        local: Leave the issuers of logons alone, and what they have logged on elsewhere.
    """

    def __init__(
        self, manager: Manager, federations: Iterable[Federation] = (), *, by: str, local: bool = False
    ) -> None:
        self._manager, self._logons = manager, Logons(manager)
        self._federations, self._by, self._local = tuple(federations), by, local

    async def page(self, *, user: str = "", application: str = "", after: str = "", count: int = PAGE) -> Page:
        """Return logons, ordered by handle: all, a principal's, or those an application has sessions of.

        However many nodes there are, it asks the store for some of them only; the next page goes on there.

        Raises:
            BadInput: `after` is no page's, or `count` is not between 1 and 200.
        """
        if not 1 <= count <= LONGEST_PAGE:
            raise BadInput(f"a page has 1 to {LONGEST_PAGE} logons")
        index: Index = "owner" if user else "kind"
        start = _key(after) if after else b""
        found: list[Listed] = []
        for _ in range(MOST_TRIPS):
            wanted = count - len(found)
            records = await self._manager.store.sessions.find(index, user or SECURITY, after=start, count=wanted)
            shown = [await self._logons.shown(record) for record in records if _is_logon(record)]
            found += [one for one in shown if one and application in ("", *one.applications)]
            if len(records) < wanted:
                return Page(tuple(found))
            start = records[-1].key
            if len(found) == count:
                break
        return Page(tuple(found), start.hex())

    async def show(self, handle: str) -> Listed:
        """Return one logon; raise NotFound if there is none with this handle."""
        shown = await self._logons.shown(await self._record(handle))
        if shown is None:
            raise _no_such()
        return shown

    async def below(self, handle: str, *, after: str = "", count: int = TREE_PAGE) -> Tree:
        """Return what hangs below a logon, of whatever kind; raise NotFound if there is none with this handle."""
        record, start = await self._record(handle), _key(after) if after else b""
        found = await self._manager.store.sessions.find("tree", record.tree, after=start, count=count)
        nodes = arranged(record.key, found, self._manager.clock())
        return Tree(nodes, found[-1].key.hex() if len(found) == count else "")

    async def stays(self, logons: Iterable[Listed]) -> tuple[str, ...]:
        """Return, before logons are ended, the issuers that cannot be told: there people stay logged on (S19)."""
        return await out_of_reach(self._federations, [one.logon for one in logons])

    async def end(self, handle: str) -> Ended:
        """End one logon; raise NotFound if there is none with this handle."""
        ended = await self._end([await self._record(handle)])
        if not ended.logons:
            raise _no_such()
        return ended

    async def end_user(self, principal: str) -> Ended:
        """End all logons of a principal (R33)."""
        return await self._end([record async for record in self._each("owner", principal) if record.kind == SECURITY])

    async def end_application(self, application: str) -> Ended:
        """End all sessions of an application, visitors' as well; the logons above them go on with the others."""
        return Ended(sessions=await self._end_sessions(lambda record: record.label == application))

    async def end_all(self) -> Ended:
        """End all sessions, in one write however many there are: logons, and what goes on without one (R35).

        Then, unless they are left alone, logons are counted and their issuers told.
        """
        manager = self._manager
        await manager.end_everything(leave=not self._local)
        manager.sink.emit(
            Event(fact=Fact.FORCED_END, at=manager.clock(), kind=ALL, address=ADDRESS.get(), detail=self._by)
        )
        if self._local:
            return Ended()
        now = manager.clock()
        records = [record async for record in self._each("kind", SECURITY) if expires_at(record) > now]
        logons = [logon for record in records if (logon := await self._read(record)) is not None]
        return Ended(logons=len(records), stays=await told_each(self._federations, logons))

    # -- inside

    async def _each(self, index: Index, value: str) -> AsyncIterator[Record]:
        async for record in self._manager.each(index, value):
            if record.state is State.LIVE:
                yield record

    async def _record(self, handle: str) -> Record:
        found = await self._manager.store.sessions.find("key", _key(handle), count=1)
        if not found or not _is_logon(found[0]):
            raise _no_such()
        return found[0]

    async def _end(self, records: list[Record]) -> Ended:
        """End logons here first, all of them, and then tell their issuers (R45)."""
        logons = await every(self._logon, records)
        ended = await self._logons.end_each(records, Reason.ADMIN, by=self._by)
        known = [logon for logon, done in zip(logons, ended, strict=True) if done and logon and not self._local]
        return Ended(logons=sum(ended), stays=await told_each(self._federations, known))

    async def _end_sessions(self, chosen: Callable[[Record], bool]) -> int:
        """End those HTTP sessions that are chosen and live; a logon that has ended has ended its own already."""
        ended = 0
        async for record in self._each("kind", HTTP):
            if chosen(record) and await self._manager.store.sessions.load(record.ref, now=self._manager.clock()):
                ended += await self._manager.end(record.ref, Reason.ADMIN, by=self._by)
        return ended

    async def _logon(self, record: Record) -> Logon | None:
        try:
            return logon_of(await self._manager.get(record.ref))
        except SessionNotFound:
            return None

    async def _read(self, record: Record) -> Logon | None:
        """Return the logon that a record is, though all have ended."""
        try:
            return logon_of(await self._manager.read(record))
        except Unreadable:
            return None


def _is_logon(record: Record) -> bool:
    return record.kind == SECURITY and record.state is State.LIVE


def _key(handle: str) -> bytes:
    try:
        key = binascii.unhexlify(handle)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise _no_such()
    return key


def _no_such() -> NotFound:
    return NotFound("there is no such logon", hint="It may have ended already; list those there are.")
