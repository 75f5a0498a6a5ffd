"""LOCK and what surrounds it, under the lease of an edit logon: taking, taking again, settling, ending (A1, A4-A6).

Nothing here is guessed. A LOCK whose answer was lost is undone by ending its logon, and sent again in a new one. An
operation that a dead worker left open is settled: its context is ended first, which lets a running write finish or
kills it; then the object is locked again and the text read back.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec

from holdfast.adt import calls
from holdfast.adt.desk import LOCK, Desk, lock_of, object_label
from holdfast.adt.documents import LockResult, read_lock
from holdfast.adt.door import close_call, touch_call
from holdfast.adt.refusals import error_for, locked_by, raise_for, read_refusal
from holdfast.adt.types import TYPES
from holdfast.backend.cookies import parse_date
from holdfast.backend.locks import Lock, Operation, Outcome, Phase, Signal, Step, digest_of
from holdfast.backend.session import BackendSession, ContextGone, LogonGone
from holdfast.backend.signs import ends_context
from holdfast.backend.wire import AnswerLost
from holdfast.core.holding import Held
from holdfast.core.model import Reason, Ref
from holdfast.core.session import Session
from holdfast.errors import (
    BackendError,
    LockLostError,
    ObjectLocked,
    SessionConflict,
    SessionEnded,
    SessionExpiredError,
    SessionNotFound,
)

OWN_LOCK_PATIENCE_S: Final = 5.0  # the release of a lock is asynchronous: 1 to 2 s (ADT §6)
OWN_LOCK_PAUSE_S: Final = 0.5
SECOND_LOOK_S: Final = 5.0
MOST_RECENT: Final = 1000


class Place:
    """An edit logon in use: its node, its driver and the lease on it. Everything is written back under the lease."""

    def __init__(self, held: Held, node: Session, backend: BackendSession) -> None:
        self.held, self.node, self.backend = held, node, backend
        backend.check = held.check

    async def save(self) -> None:
        """Store cookies, token and context now, before anything that they may be needed to undo."""
        self.node.content = self.backend.dump()
        await self.held.save(self.node)

    def put(self) -> None:
        """Store them in the trip that gives the lease back."""
        self.node.content = self.backend.dump()
        self.held.put(self.node)


class Locksmith:
    """Takes and releases locks in an edit logon whose lease the caller holds."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @asynccontextmanager
    async def place(self, ref: Ref, put: Sequence[Session] = (), *, known: bool = False) -> AsyncIterator[Place]:
        """Hold a logon's lease and open it as it is under the lease.

        With `known`, the node as this process has left it is used if nobody has written it since: the trip that takes
        the lease checks that, and one that reads the node is saved.

        Raises:
            SessionNotFound: The logon has ended.
            SessionConflict: A node of `put` was written by somebody else; nothing was leased or written.
        """
        recent = self._desk.recent
        left = recent.pop(ref.key, None)
        try:
            async with AsyncExitStack() as stack:
                held, node = await self._hold(stack, ref, put, left if known else None)
                yield Place(held, node, self._desk.driver(node))
            if len(recent) >= MOST_RECENT:
                recent.clear()
            recent[ref.key] = node
        except SessionEnded as exc:
            raise SessionNotFound("the session at the back end has ended") from exc

    async def _hold(
        self, stack: AsyncExitStack, ref: Ref, put: Sequence[Session], node: Session | None
    ) -> tuple[Held, Session]:
        manager = self._desk.manager
        if node is not None:
            with contextlib.suppress(SessionConflict):
                return await stack.enter_async_context(manager.hold(ref, put=[*put, node])), node
        held = await stack.enter_async_context(manager.hold(ref, put=put))
        return held, await manager.get(ref)

    async def take(self, place: Place, lock: Lock, lock_key: bytes) -> Lock:
        """Send LOCK and return the lock as held; the intent is stored already (A1).

        Raises:
            ObjectLocked: Somebody else holds the object, or another session of the same SAP user.
            BackendError: The release keeps no sessions, so that a lock would not last.
        """
        result, at = await self._obtain(place, lock, lock_key)
        held = lock.after(Signal.LOCKED, handle=result.handle, transport=result.transport)
        return msgspec.structs.replace(held, held_at=lock.held_at or at)  # locked again: the first time counts (A8)

    async def settle(self, place: Place, node: Session) -> Lock:
        """Do first what the lock's last holder left undone, and return the lock as it is then; its node is `put`.

        Raises:
            LockLostError: A foreign user was faster. The lock is marked as gone.
            ObjectLocked: Likewise, of a lock that was asked for and never had.
        """
        lock = lock_of(node)
        if lock.step is Step.RELEASE:
            lock = lock.after(Signal.UNLOCKED).settled(Outcome.APPLIED, at=self._now())
        elif lock.step is Step.LOCK_AGAIN:
            lock = await self._lock_again(place, node, lock)
        self.store(place, node, lock)
        return lock

    def store(self, place: Place, node: Session, lock: Lock) -> None:
        """Write lock and logon in the trip that gives the lease back."""
        node.content = lock.dump()
        place.held.put(node)
        place.put()

    async def read_back(self, place: Place, lock: Lock, operation: Operation) -> Outcome:
        """Say whether a PUT has been applied, asked in the same context: behind the PUT itself."""
        return await self.compare(place, lock, operation.part, operation.digest)

    async def compare(self, place: Place, lock: Lock, part: str, digest: bytes) -> Outcome:
        """Compare the inactive source with what was to be written."""
        call = calls.read_source(TYPES[lock.type], lock.name, version="inactive", part=part, stateful=True)
        reply = await place.backend.send(call)
        if reply.status == 404:
            return Outcome.NOT_APPLIED  # an include that has never been written is not there
        raise_for(reply, f"read {lock.name} back")
        return Outcome.APPLIED if digest_of(reply.text) == digest else Outcome.NOT_APPLIED

    async def touch(self, place: Place) -> None:
        """Use the context, so that it stays (A3). Raises SessionExpiredError if it is gone."""
        await place.backend.send(touch_call(place.backend.system.route))

    async def lose(self, place: Place, node: Session, lock: Lock) -> None:
        """Mark a lock as gone. Its closer ends the logon with everything on it: it may not be used again."""
        self.store(place, node, lock.after(Signal.GONE).settled(Outcome.NOT_APPLIED, at=self._now()))
        await self._desk.manager.end(node, Reason.BACKEND_GONE)

    # -- ending

    async def release(self, place: Place, lock: Lock) -> None:
        """Undo a lock for good: UNLOCK, then the end of its context, which alone proves it (A4). Safe to repeat."""
        backend = place.backend
        # a LOCK whose answer was lost may have left a lock in a context that we were never told of
        told = lock.phase is Phase.RELEASED or backend.logon.broken or bool(backend.logon.context)
        if lock.handle and backend.logon.context:
            with contextlib.suppress(SessionExpiredError, AnswerLost):  # the end of the context decides
                await backend.send(calls.unlock(TYPES[lock.type], lock.name, lock.handle))
        late = lock.operation is not None and lock.operation.kind == "lock"  # it may still be on its way
        if late or not told or lock.phase is Phase.GONE:
            await backend.log_off()
        else:
            await self.end_context(backend)

    async def end_context(self, backend: BackendSession) -> None:
        """End the context of a logon and make sure of it; one that is gone already is fine.

        An end that cannot be proved is answered by ending the whole logon.
        """
        if not backend.logon.context or backend.logon.broken:
            return
        route = backend.system.route
        try:
            proved = ends_context(await backend.send(close_call(route)))
        except ContextGone:
            proved = route > 0  # without the session resource 400 is how an end looks (ADT §4.2)
        except LogonGone:
            return
        if not proved:
            await backend.log_off()

    # -- inside

    async def _lock_again(self, place: Place, node: Session, lock: Lock) -> Lock:
        """End the old context, lock in a new one, and settle what was open (A5)."""
        operation = lock.operation
        await self.end_context(place.backend)  # waits for a write that still runs in it
        await self._start_over(place, ended=False)  # no old cookie may live: a request may still be on its way
        try:
            lock = await self.take(place, lock, node.key)
        except ObjectLocked as exc:
            await self.lose(place, node, lock)
            if lock.phase is Phase.INTENT:  # nobody was told of it: this is the answer to the LOCK of a dead worker
                raise
            raise LockLostError(f"the lock on {lock.subject} was lost, and somebody was faster: {exc}") from exc
        if operation is None or operation.kind != "put":
            return lock.settled(Outcome.APPLIED, at=self._now())
        outcome = await self.read_back(place, lock, operation)
        return lock.settled(outcome, at=self._now(), until=self._now() + SECOND_LOOK_S)

    async def _obtain(self, place: Place, lock: Lock, lock_key: bytes) -> tuple[LockResult, float]:
        """Lock, and return what the back end said and when it was there, as it says; else as our clock says."""
        kind, doing = TYPES[lock.type], f"lock {lock.name}"
        waited, started_over = 0.0, False
        while True:
            try:
                reply = await place.backend.send(calls.lock(kind, lock.name))
            except (LogonGone, ContextGone, AnswerLost) as exc:
                if started_over:
                    raise
                started_over = True
                await self._start_over(place, ended=isinstance(exc, LogonGone) and exc.refused)
                continue
            refusal = read_refusal(reply)
            if refusal is None:
                result = self._lasting(place.backend, read_lock(reply.body), lock)
                return result, parse_date(reply.headers.get("date", "")) or self._now()
            own = locked_by(refusal) == lock.user
            if not own or waited >= OWN_LOCK_PATIENCE_S or await self._held_elsewhere(lock, lock_key):
                raise error_for(refusal, doing)
            await self._desk.sleep(OWN_LOCK_PAUSE_S)
            waited += OWN_LOCK_PAUSE_S

    async def _start_over(self, place: Place, *, ended: bool) -> None:
        """End the logon, whatever was locked in it, and log on afresh (A6)."""
        if not ended:
            await place.backend.log_off()
        await place.backend.log_on()
        await place.save()

    def _lasting(self, backend: BackendSession, result: LockResult, lock: Lock) -> LockResult:
        if not backend.logon.context:
            raise BackendError(
                f"{lock.system} keeps no stateful sessions: a lock would not outlast its request",
                hint="Releases below 7.51 need the back-port abapfs_extensions for this.",
            )
        return result

    async def _held_elsewhere(self, lock: Lock, lock_key: bytes) -> bool:
        """Say whether another live lock node of ours holds the object: then there is no use in waiting."""
        mine = object_label(lock.system, lock.user, lock.type, lock.name)
        async for record in self._desk.manager.each("kind", LOCK):
            if record.key != lock_key and record.label.startswith(mine) and record.ended_at is None:
                return True
        return False

    def _now(self) -> float:
        return self._desk.manager.clock()
