"""What belongs to one process for a while: a call running in a session, a lease held on a node.

Two clocks bound both. A lease is asked for in Unix seconds, and stands at the store until `lease.until`; its holder
stops a fifth of the lease's time earlier, counted by the event loop's clock from before the lease was asked for. So
neither a slow answer, nor a store that hangs, nor a jump of the wall clock lets a holder act under a lease that others
may take (E26).
"""

from collections.abc import Collection
from contextlib import suppress
from functools import cache
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import msgspec

from holdfast.core.model import Lease, Record, State
from holdfast.core.session import Session, records_of
from holdfast.errors import HoldfastError, LeaseLost, SessionConflict, SessionEnded, StoreUnavailable

if TYPE_CHECKING:
    from holdfast.core.manager import Manager

PUT_TRIES = 5


@cache
def _scopes() -> type[anyio.CancelScope]:
    """Return the class of scopes of the event loop. Made through anyio's own each one is set up twice, and slowly."""
    return type(anyio.CancelScope())


class Running:
    """A call that runs in a session: counted as use unless it is background traffic, and cancelled when the session or
    one above it ends (E18). Whether that is there is looked after by the manager, or, if `watched`, by the caller.
    """

    __slots__ = ("_keys", "_manager", "_scope", "_withdrawn", "counts", "session", "watched")

    def __init__(self, manager: "Manager", session: Session, *, counts: bool = True, watched: bool = False) -> None:
        self._manager, self.session, self.counts, self.watched = manager, session, counts, watched
        self._scope = _scopes()()
        self._keys: set[bytes] = set()
        self._withdrawn = False

    async def __aenter__(self) -> None:
        self.follow((self.session.record.key, *self.session.above))
        self.mind_the_end()
        self._scope.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._follow_none()
        handled = self._scope.__exit__(kind, error, trace)
        if self._scope.cancelled_caught and not self._withdrawn:
            raise SessionEnded("the session has ended while the call was running")
        return handled

    def follow(self, keys: Collection[bytes]) -> None:
        """Be cancelled when one of these nodes ends."""
        running = self._manager.calls
        for key in keys:
            if (calls := running.get(key)) is None:
                running[key] = {self}
            else:
                calls.add(self)
        self._keys.update(keys)

    def _follow_none(self) -> None:
        running = self._manager.calls
        for key in self._keys:
            calls = running[key]
            calls.discard(self)
            if not calls:
                del running[key]
        self._keys.clear()

    def mind_the_end(self) -> None:
        """Be cancelled at the instant at which the session's absolute clock runs out, if that is near."""
        left = self.session.record.ends_at - self._manager.clock()
        if left < self._manager.tuning.lease_ttl:
            self._scope.deadline = anyio.current_time() + max(left, 0.0)

    def cancel(self) -> None:
        """Cancel the call because its session has ended."""
        self._scope.cancel()

    def let_go(self) -> None:
        """Go on whatever ends: for the call that ends its own session."""
        self._follow_none()
        self._scope.deadline = inf

    def withdraw(self) -> None:
        """Cancel the call for a reason of the caller's own: its block is left without an error."""
        self._withdrawn = True
        self._scope.cancel()


class Held:
    """A lease held by this process, renewed until its block ends, and released with what was `put`.

    The content of every session that is written under a lease belongs to its holder: if such a node was marked as
    ending meanwhile, the mark stays and the content is written all the same, so that what a back end has answered
    (a cookie, a lock handle) is never forgotten by those who have to close it.

    If the store is out of reach at the end of the block, giving the lease back is tried again until it has run out.
    """

    def __init__(self, manager: "Manager", lease: Lease, asked_at: float) -> None:
        self._manager = manager
        self.lease = lease
        self._put: dict[bytes, Session] = {}
        self._scope = anyio.CancelScope(deadline=asked_at + manager.tuning.lease_use)
        self._turn = anyio.Lock(fast_acquire=True)  # a renewal that overtakes the release would lease to nobody
        self._lost = False
        self._released = False

    def put(self, session: Session) -> None:
        """Write this session's content in the same trip as the release."""
        self._put[session.key] = session

    async def save(self, session: Session) -> None:
        """Write this session's content now, under the lease."""
        await self._write([session], release=False)

    def check(self) -> None:
        """Raise LeaseLost if nothing may be sent under the lease any more.

        Asked right before something is sent, this catches a process that was frozen for longer than the lease: its
        cancellation comes only with the event loop's next turn.
        """
        if self._lost or self._over():
            raise LeaseLost("the time of the lease on the session has run out")

    @property
    def deadline(self) -> float:
        """When the block is cancelled unless the lease is renewed, by the event loop's clock."""
        return self._scope.deadline

    def forget(self) -> None:
        """Release nothing at the end: the node and its lease have been removed."""
        self._released = True

    async def renew(self) -> None:
        """Extend the lease; if another has it, cancel the block: it must not send anything more."""
        async with self._turn:
            if self not in self._manager.held:
                return  # given back meanwhile
            try:
                await self._renew([])
            except StoreUnavailable:
                if self._over():
                    self._scope.cancel()
            except LeaseLost:
                self._lost = True
                self._scope.cancel()

    async def give_back(self) -> bool:
        """Release after an outage, with what was put; say whether there is nothing more to try."""
        try:
            await self._release()
        except StoreUnavailable:
            return self._manager.clock() >= self.lease.until
        except Exception:  # noqa: BLE001 - what cannot be written now can never be; the next one may have the lease
            return True
        return True

    async def __aenter__(self) -> Self:
        self._manager.held.add(self)
        self._scope.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._manager.held.discard(self)
        handled = self._scope.__exit__(kind, error, trace)
        if not self._lost and not self._released:
            with anyio.CancelScope(shield=True):
                await self._leave(error)
        if self._lost or self._scope.cancelled_caught:
            raise LeaseLost("the lease on the session was lost") from error
        return handled

    async def _leave(self, error: BaseException | None) -> None:
        if isinstance(error, StoreUnavailable) or self._scope.cancelled_caught:  # do not wait in vain once more
            self._manager.leaving.add(self)
            return
        try:
            await self._release()
        except StoreUnavailable:
            self._manager.leaving.add(self)
            if error is None:
                raise
        except LeaseLost:
            if error is None:
                raise

    async def _release(self) -> None:
        try:
            await self._write(list(self._put.values()), release=True)
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception:  # what cannot be written must not keep the next one waiting
            with suppress(HoldfastError):
                await self._leave_content()
            raise

    async def _leave_content(self) -> None:
        """Release; of what was put write all but the content: when a node is due again, above all."""
        try:
            await self._send([session.record for session in self._put.values()], release=True)
        except SessionConflict:
            await self._send([], release=True)

    def _over(self) -> bool:
        early = self._manager.tuning.lease_ttl - self._manager.tuning.lease_use
        return anyio.current_time() >= self._scope.deadline or self._manager.clock() >= self.lease.until - early

    async def _write(self, sessions: list[Session], *, release: bool) -> None:
        for _ in range(PUT_TRIES):
            try:
                await self._send(records_of(sessions, self._manager.codec), release=release)
            except SessionConflict:
                sessions = [s for s in sessions if await self._rebase(s)]
            else:
                for session in sessions:
                    session.record = msgspec.structs.replace(session.record, version=session.record.version + 1)
                    self._put.pop(session.key, None)
                return
        raise SessionConflict("the session is written by others without end")

    async def _send(self, records: list[Record], *, release: bool) -> None:
        async with self._turn:
            if release:
                await self._manager.store.leases.release(self.lease, put=records)
            else:
                await self._renew(records)

    async def _renew(self, records: list[Record]) -> None:
        manager, asked_at = self._manager, anyio.current_time()
        self.lease = await manager.store.leases.renew(
            self.lease, now=manager.clock(), ttl=manager.tuning.lease_ttl, put=records
        )
        if not self._scope.cancel_called:
            self._scope.deadline = asked_at + manager.tuning.lease_use

    async def _rebase(self, session: Session) -> bool:
        """Put our content on top of the stored record; False if the node has gone."""
        stored = await self._manager.current(session.ref)
        if stored is None:
            return False
        ours = session.record
        marks = {"due_at": ours.due_at, "label": ours.label} if stored.state is State.LIVE else {}
        session.record = msgspec.structs.replace(stored, **marks)
        return True
