"""Taking a lock: in which logon it lives, the intent before it is asked for, and a second request for it (A1, A2)."""

import contextlib
from functools import partial
from typing import Final

import anyio
import msgspec

from holdfast.adt.desk import (
    Desk,
    is_live,
    plain,
    purpose_of,
    workspace_of,
)
from holdfast.adt.drafts import writes_of
from holdfast.adt.locksmith import Locksmith, Place
from holdfast.adt.tokens import Stamp, Ticket
from holdfast.adt.types import ObjectType
from holdfast.backend.errands import Errands
from holdfast.backend.locks import Lock, Operation, Outcome, Phase
from holdfast.backend.session import BackendSession
from holdfast.backend.wire import AnswerLost
from holdfast.core.model import Reason, Record, Ref
from holdfast.core.session import Session
from holdfast.errors import (
    Busy,
    HoldfastError,
    SessionEnded,
    SessionExpiredError,
    SessionNotFound,
)

TRIES: Final = 8
CLOSING_WAIT_S: Final = 2.0
FIRST_LOOK_S: Final = 30.0


class Locked(msgspec.Struct, frozen=True):
    """A lock taken, or one the workspace had already (`again`)."""

    ticket: Ticket
    lock: Lock
    backend: BackendSession
    stamp: Stamp
    again: bool = False


class Locking:
    """Takes locks, one per edit logon."""

    def __init__(self, desk: Desk, errands: Errands) -> None:
        self._desk, self._errands, self._smith = desk, errands, Locksmith(desk)

    async def lock(self, workspace: Session, kind: ObjectType, name: str) -> Locked:
        """Lock an object for this workspace. One that it holds already is answered again, with its handle.

        Raises:
            ObjectLocked: Somebody else holds it.
        """
        return await self._errands.run(partial(self._lock, workspace, kind, name), left_alone=self.give_up)

    async def touch(self, record: Record) -> None:
        """Record a use of a lock, so that it is not given up as idle (A3)."""
        with contextlib.suppress(SessionNotFound):
            await self._desk.manager.get(record.ref, touch=True)

    async def give_up(self, locked: Locked) -> None:
        """End a lock that nobody was told of; one the workspace had before stays."""
        if not locked.again:
            await self._desk.manager.end(locked.ticket.lock_ref, Reason.CLIENT)

    async def _lock(self, workspace: Session, kind: ObjectType, name: str) -> Locked:
        for _ in range(TRIES):
            logons, locks = await self._desk.below(workspace)
            own = next((record for record in locks if is_about(record, kind, name)), None)
            if own is not None:
                found = await self._rejoin(workspace, own)
                if found is not None:
                    return found
                continue
            ref = await self._free_logon(workspace, logons, locks)
            locked = await self._lock_in(workspace, ref, kind, name)
            if locked is not None:
                return locked
        raise Busy("the locks of this session change all the time")

    async def _rejoin(self, workspace: Session, own: Record) -> Locked | None:
        """Return a lock this workspace has already; None if it is on its way out, once it is out."""
        manager = self._desk.manager
        if self._is_ending(own):
            if not await manager.gone(own.ref, timeout=manager.tuning.closer_timeout):
                raise Busy("the object's previous lock is still being released")
            return None
        try:
            async with self._smith.place(Ref(own.tree, own.parent or own.key)) as place:
                node = await manager.get(own.ref, touch=True)
                lock = await self._smith.settle(place, node)
                if lock.phase is not Phase.HELD:
                    await manager.end(node, Reason.CLIENT)
                    return None
                self._schedule(place)
                return self._locked(workspace, place, node, lock, again=True)
        except (SessionEnded, SessionNotFound):
            return None

    async def _free_logon(self, workspace: Session, logons: list[Record], locks: list[Record]) -> Ref:
        """Return an edit logon of this workspace without a lock, if need be a new one (A23)."""
        manager = self._desk.manager
        edits = [record for record in logons if is_live(record) and purpose_of(record) == "edit"]
        for record in edits:
            if not record.held:
                return record.ref
        for record in edits:
            ending = [lock for lock in locks if lock.parent == record.key and self._is_ending(lock)]
            if ending and await manager.gone(ending[0].ref, timeout=CLOSING_WAIT_S):
                return record.ref
        return (await self._desk.log_on("edit", workspace)).ref

    def _is_ending(self, lock: Record) -> bool:
        return not is_live(lock) or lock.key in self._desk.releasing

    async def _lock_in(self, workspace: Session, ref: Ref, kind: ObjectType, name: str) -> Locked | None:
        """Lock in this logon; None if it is not free after all."""
        try:
            async with self._desk.in_flight(workspace), self._smith.place(ref) as place:
                if place.node.record.held:
                    return None
                return await self._take(workspace, place, kind, name)
        except SessionNotFound:
            return None

    async def _take(self, workspace: Session, place: Place, kind: ObjectType, name: str) -> Locked:
        manager, logon, now = self._desk.manager, place.backend.logon, self._desk.manager.clock()
        content = workspace_of(workspace)
        content.generation += 1  # so that a `session_state` from before it can be told (A11)
        lock = Lock(
            system=logon.system,
            user=logon.user,
            type=kind.type,
            name=name,
            generation=content.generation,
            taken_at=now,
        ).begun(Operation(kind="lock", at=now))
        node = await self._desk.intend(lock, place.node)
        try:
            lock = (await self._smith.take(place, lock, node.key)).settled(Outcome.APPLIED, at=now)
            lock = msgspec.structs.replace(lock, writes=await self._written(lock, kind))
        except BaseException as exc:
            known = isinstance(exc, HoldfastError) and not isinstance(exc, AnswerLost | SessionExpiredError)
            self._smith.store(place, node, lock.settled(Outcome.NOT_APPLIED, at=now) if known else lock)
            with anyio.CancelScope(shield=True):
                await manager.end(node, Reason.CLIENT)
            raise
        self._schedule(place)
        self._smith.store(place, node, lock)
        workspace.content = plain(content)
        place.held.put(workspace)
        return self._locked(workspace, place, node, lock)

    async def _written(self, lock: Lock, kind: ObjectType) -> dict[str, int]:
        """Return how many writes of ours each part has seen; from now on only the holder of the lock writes (A8)."""
        manager, parts = self._desk.manager, ("main", *kind.parts)
        names = [writes_of(lock.system, lock.type, lock.name, part) for part in parts]
        counts = await manager.store.counters.read(names, now=manager.clock())
        return {part: count for part, count in zip(parts, counts, strict=True) if count}

    def _schedule(self, place: Place) -> None:
        """Have the keeper look at the logon soon; from then on it says itself when it looks again (A3)."""
        due_at = self._desk.manager.clock() + min(FIRST_LOOK_S, self._desk.hold_limit)
        place.node.record = msgspec.structs.replace(place.node.record, due_at=due_at)

    def _locked(self, workspace: Session, place: Place, node: Session, lock: Lock, *, again: bool = False) -> Locked:
        ticket = Ticket(node.record.tree, place.node.key, node.key, lock.system, lock.held_at, lock.writes)
        stamp = Stamp(workspace_of(workspace).generation, place.node.key, place.backend.logon.version)
        return Locked(ticket, lock, place.backend, stamp, again)


def is_about(record: Record, kind: ObjectType, name: str) -> bool:
    """Say whether a lock's node is about this object: its label names type and name before the instant."""
    return record.label.split(" ")[-3:-1] == [kind.type, name]
