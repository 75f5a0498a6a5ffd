"""Changes under a lock: update and unlock, in the one logon that holds it.

Each change is written down before it is sent, in the trip that takes the lease (A1), and settled in the trip that
gives it back. Whoever finds an open change settles that first (A5). An answer that was lost is found out, never
guessed, and nothing is sent twice blindly (A6).
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import msgspec

from holdfast.adt import calls
from holdfast.adt.desk import Desk, driver_of, lock_of, workspace_of
from holdfast.adt.documents import Message, message
from holdfast.adt.drafts import LIFE_S, writes_of
from holdfast.adt.locksmith import Locksmith, Place
from holdfast.adt.refusals import SAVE_FINDINGS, Refusal, error_for, read_refusal
from holdfast.adt.tokens import Stamp, Ticket
from holdfast.adt.types import TYPES, ObjectType
from holdfast.backend.errands import Errands
from holdfast.backend.locks import Lock, Operation, Outcome, Phase, Signal, Step, digest_of
from holdfast.backend.logon import PastLock
from holdfast.backend.session import BackendSession
from holdfast.backend.wire import AnswerLost
from holdfast.core.model import Reason, Ref
from holdfast.core.sealing import Unreadable
from holdfast.core.session import Session
from holdfast.errors import (
    BackendError,
    BackendUnavailable,
    BadInput,
    Busy,
    LockLostError,
    SessionConflict,
    SessionExpiredError,
    SessionNotFound,
    StoreUnavailable,
)

T = TypeVar("T")
TRIES: Final = 8
COUNTED_S: Final = 7 * LIFE_S


class Changed(msgspec.Struct, frozen=True):
    """What became of a change. `recorded` is False if our store could not be told (A6)."""

    outcome: Outcome
    backend: BackendSession
    version: int
    messages: list[Message] = []
    reason: str = ""
    recorded: bool = True

    def stamp(self, workspace: Session, ticket: Ticket) -> Stamp:
        """Return what the `session_state` after it stands for."""
        return Stamp(workspace_of(workspace).generation, ticket.backend, self.version)


Send = Callable[[Place, Session, Lock], Awaitable[Changed]]


class Changing:
    """Writes under locks and gives them back."""

    def __init__(self, desk: Desk, errands: Errands) -> None:
        self._desk, self._errands, self._smith = desk, errands, Locksmith(desk)

    async def update(
        self,
        workspace: Session,
        ticket: Ticket,
        kind: ObjectType,
        name: str,
        *,
        node: Session,
        part: str,
        source: str,
        transport: str,
    ) -> Changed:
        """Write one source under its lock; a text that this lock wrote last is not sent again (A6).

        `node` is the lock as it has just been found.

        Raises:
            LockLostError, SessionExpiredError: The lock is gone; everything that hung on it is being ended.
        """
        digest = digest_of(source)
        operation = Operation(kind="put", at=self._desk.manager.clock(), part=part, digest=digest)

        async def send(place: Place, node: Session, lock: Lock) -> Changed:
            return await self._put(place, node, lock, source.encode(), transport)

        return await self._errands.run(
            partial(self._in_turn, workspace, partial(self._update, ticket, kind, name, node, operation, send))
        )

    async def unlock(self, ticket: Ticket, kind: ObjectType, name: str, *, node: Session) -> Changed:
        """Give a lock back. It counts as released when its context has ended; the keeper sees to that (A4)."""
        changed = await self._errands.run(partial(self._unlock, ticket, kind, name, node))
        if changed.outcome is not Outcome.UNKNOWN:
            return changed
        gone = await self._desk.manager.gone(ticket.lock_ref, timeout=self._desk.manager.tuning.closer_timeout)
        return msgspec.structs.replace(changed, outcome=Outcome.APPLIED) if gone else changed

    async def delete(
        self, workspace: Session, ticket: Ticket, kind: ObjectType, name: str, *, transport: str
    ) -> Refusal | None:
        """Delete a locked object and let go of its lock, whatever the answer; return what was refused."""
        refusals: list[Refusal | None] = []

        async def send(place: Place, node: Session, lock: Lock) -> Changed:
            call = calls.delete_locked(kind, name, handle=lock.handle, transport=transport or lock.transport)
            try:
                refusals.append(read_refusal(await place.backend.send(call)))
            finally:
                place.put()
                await self._desk.manager.end(node, Reason.CLIENT)
            return _changed(Outcome.APPLIED, place)

        operation = Operation(kind="unlock", at=self._desk.manager.clock())  # what a successor finds: only to release
        node = await self.find(ticket, kind, name)
        await self._errands.run(partial(self._in_turn, workspace, partial(self._send, ticket, node, operation, send)))
        if not refusals:
            raise Busy("the lock is used by another call")
        return refusals[0]

    async def find(self, ticket: Ticket, kind: ObjectType, name: str) -> Session:
        """Return the node of a live lock and record its use.

        Raises:
            LockLostError: It is not there any more; the message says why.
            BadInput: The handle is of another object.
        """
        try:
            node = await self._desk.manager.get(ticket.lock_ref, touch=True)
        except SessionNotFound as exc:
            raise LockLostError(await self._why_lost(ticket)) from exc
        lock = lock_of(node)
        if (lock.type, lock.name) != (kind.type, name):
            raise BadInput(f"lock_handle is of {lock.subject}, not of {kind.type} {name}", hint="Use the right handle.")
        return node

    async def past(self, ticket: Ticket) -> PastLock | None:
        """Return what is remembered of a lock that has ended; None if nothing is."""
        try:
            node = await self._desk.manager.get(ticket.backend_ref)
        except SessionNotFound:
            return None
        return driver_of(self._desk.systems, node).logon.past_lock(ticket.lock)

    async def base(self, ticket: Ticket, part: str) -> bytes:
        """Return the digest of what was last written to a part under a lock, in whatever state that is (A8)."""
        manager = self._desk.manager
        record = await manager.current(ticket.lock_ref)
        if record is None:
            past = await self.past(ticket)
            return past.known.get(part, b"") if past else b""
        try:
            return lock_of(await manager.read(record)).known.get(part, b"")
        except Unreadable:
            return b""

    async def _in_turn(self, workspace: Session, work: Callable[[], Awaitable[T]]) -> T:
        """Wait for a place before a lease is asked for: giving back and keeping alive do not wait behind it (A29)."""
        async with self._desk.in_flight(workspace):
            return await work()

    # -- update

    async def _update(
        self, ticket: Ticket, kind: ObjectType, name: str, node: Session, operation: Operation, send: Send
    ) -> Changed:
        for attempt in range(TRIES):
            node = await self.find(ticket, kind, name) if attempt else node
            lock = lock_of(node)
            if lock.step is not Step.GO_ON:
                await self._settle(ticket)
            elif lock.phase is not Phase.HELD:
                raise LockLostError(f"the lock on {lock.subject} has been released (reason: client)")
            elif lock.has_written(operation.part, operation.digest):
                return await self._as_before(ticket)
            else:
                changed = await self._send(ticket, node, operation, send)
                if changed is not None:
                    self._note_write(lock, operation.part, changed)
                    return changed
        raise Busy("the lock is used by others all the time")

    def _note_write(self, lock: Lock, part: str, changed: Changed) -> None:
        """Count a write, for those who come back to this source with a draft (A8)."""
        manager = self._desk.manager
        if changed.outcome is Outcome.APPLIED:
            name = writes_of(lock.system, lock.type, lock.name, part)
            self._errands.later(partial(manager.store.counters.add, name, now=manager.clock(), ttl=COUNTED_S))

    async def _settle(self, ticket: Ticket) -> None:
        """Finish what a holder before us left undone."""
        try:
            async with self._smith.place(ticket.backend_ref) as place:
                await self._smith.settle(place, await self._desk.manager.get(ticket.lock_ref))
        except SessionNotFound as exc:
            raise LockLostError(await self._why_lost(ticket)) from exc

    async def _as_before(self, ticket: Ticket) -> Changed:
        backend = self._desk.driver(await self._desk.manager.get(ticket.backend_ref))
        return Changed(Outcome.APPLIED, backend, backend.logon.version, reason="this text was written already")

    async def _send(self, ticket: Ticket, node: Session, operation: Operation, send: Send) -> Changed | None:
        """Write the operation down, send it, settle it; None if somebody else has used the lock meanwhile."""
        lock = lock_of(node).begun(operation)
        node.content = lock.dump()
        begun, changed = False, None
        try:
            async with self._smith.place(ticket.backend_ref, put=[node], known=True) as place:
                begun = True
                changed = await send(place, node, lock)
        except SessionConflict:
            if begun:
                raise
        except SessionNotFound as exc:
            raise LockLostError(await self._why_lost(ticket)) from exc
        except StoreUnavailable:
            if changed is None:
                raise
            return msgspec.structs.replace(changed, recorded=False)
        return changed

    async def _put(self, place: Place, node: Session, lock: Lock, source: bytes, transport: str) -> Changed:
        part = lock.operation.part if lock.operation else "main"
        call = calls.write_source(
            TYPES[lock.type],
            lock.name,
            part=part,
            source=source,
            handle=lock.handle,
            transport=transport or lock.transport,
        )
        try:
            reply = await place.backend.send(call)
        except AnswerLost as lost:
            return await self._find_out(place, node, lock, lost)
        except SessionExpiredError:
            await self._smith.lose(place, node, lock)
            raise
        except BackendUnavailable:
            self._smith.store(place, node, lock.settled(Outcome.NOT_APPLIED, at=self._now()))
            raise
        refusal = read_refusal(reply)
        if refusal is not None:
            return await self._refused(place, node, lock, refusal)
        self._smith.store(place, node, lock.settled(Outcome.APPLIED, at=self._now()))
        return _changed(Outcome.APPLIED, place)

    async def _refused(self, place: Place, node: Session, lock: Lock, refusal: Refusal) -> Changed:
        """A write was refused: the lock is gone, or its handle may be dead from now on (ADT §7.3)."""
        error = error_for(refusal, f"update {lock.name}")
        if isinstance(error, LockLostError):
            await self._smith.lose(place, node, lock)
            raise error
        self._smith.store(place, node, lock.settled(Outcome.NOT_APPLIED, at=self._now(), spent=True))
        if refusal.t100 in SAVE_FINDINGS:
            return _changed(Outcome.NOT_APPLIED, place, messages=[message("E", refusal.message)])
        raise error

    async def _find_out(self, place: Place, node: Session, lock: Lock, lost: AnswerLost) -> Changed:
        """Find out what became of a write whose answer was lost; what cannot be found out now stays open."""
        try:
            if await self._is_written(place, lock):
                self._smith.store(place, node, lock.settled(Outcome.APPLIED, at=self._now()))
                return _changed(Outcome.APPLIED, place, reason=f"{lost}; the text was read back and is there")
            lock = await self._smith.settle(place, node)
        except LockLostError:
            raise
        except BackendError as exc:
            place.put()
            return _changed(Outcome.UNKNOWN, place, reason=f"{lost}; and it could not be found out yet: {exc}")
        outcome = lock.last.outcome if lock.last else Outcome.UNKNOWN
        return _changed(outcome, place, reason=f"{lost}; the object was locked again and the text compared")

    async def _is_written(self, place: Place, lock: Lock) -> bool:
        if lock.operation is None:
            return False
        try:
            return await self._smith.read_back(place, lock, lock.operation) is Outcome.APPLIED
        except SessionExpiredError:
            return False  # the context is gone: only a new lock tells for certain

    # -- unlock

    async def _unlock(self, ticket: Ticket, kind: ObjectType, name: str, node: Session) -> Changed:
        operation = Operation(kind="unlock", at=self._desk.manager.clock())
        for attempt in range(TRIES):
            node = await self.find(ticket, kind, name) if attempt else node
            lock = lock_of(node)
            if lock.step is not Step.GO_ON or lock.phase is not Phase.HELD:
                return await self._let_go(ticket)
            changed = await self._send(ticket, node, operation, self._give_back)
            if changed is not None:
                return changed
        raise Busy("the lock is used by others all the time")

    async def _let_go(self, ticket: Ticket) -> Changed:
        """Leave the release to the closer: what is open on the lock is ended with its context."""
        backend = self._desk.driver(await self._desk.manager.get(ticket.backend_ref))
        await self._desk.manager.end(ticket.lock_ref, Reason.CLIENT)
        return Changed(Outcome.UNKNOWN, backend, backend.logon.version, reason="the release goes on in the background")

    async def _give_back(self, place: Place, node: Session, lock: Lock) -> Changed:
        try:
            reply = await place.backend.send(calls.unlock(TYPES[lock.type], lock.name, lock.handle))
        except SessionExpiredError:
            await self._smith.lose(place, node, lock)
            raise
        except BackendUnavailable as exc:
            place.put()
            await self._desk.manager.end(node, Reason.CLIENT)
            return _changed(Outcome.UNKNOWN, place, reason=f"{exc}; the release goes on in the background")
        place.backend.logon.version += 1
        refusal = read_refusal(reply)
        if refusal is not None:
            place.put()
            await self._desk.manager.end(node, Reason.CLIENT)
            return _changed(Outcome.UNKNOWN, place, reason=f"{error_for(refusal, f'unlock {lock.name}')}; it is closed")
        self._smith.store(place, node, lock.after(Signal.UNLOCKED).settled(Outcome.APPLIED, at=self._now()))
        self._desk.releasing.add(node.key)
        self._errands.later(partial(self._end_released, node.ref))
        return _changed(Outcome.APPLIED, place)

    async def _end_released(self, ref: Ref) -> None:
        """Mark a lock that has been given back, so that the keeper ends its context."""
        try:
            await self._desk.manager.end(ref, Reason.CLIENT)
        finally:
            self._desk.releasing.discard(ref.key)

    async def _why_lost(self, ticket: Ticket) -> str:
        record = await self._desk.manager.current(ticket.lock_ref)
        if record is not None and record.reason is not None:
            return f"the lock on {' '.join(record.label.split(' ')[-3:-1])} is being released (reason: {record.reason})"
        if record is not None:
            return "the lock is being released: its session has ended"
        past = await self.past(ticket)
        if past is None:
            return "there is no such lock any more: its session has ended"
        return f"the lock on {past.subject} has been released (reason: {past.reason})"

    def _now(self) -> float:
        return self._desk.manager.clock()


def _changed(outcome: Outcome, place: Place, *, messages: list[Message] | None = None, reason: str = "") -> Changed:
    return Changed(outcome, place.backend, place.backend.logon.version, messages or [], reason)
