"""What belongs to one process for a while: a call running in a session, a lease held on a node."""

from collections.abc import Iterable
from contextlib import suppress
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


class Running:
    """A call that runs in a session: counted as use, and cancelled when the session or one above it ends (E18)."""

    __slots__ = ("_ended", "_keys", "_manager", "_scope", "session")

    def __init__(self, manager: "Manager", session: Session) -> None:
        self._manager, self.session = manager, session
        self._scope = anyio.CancelScope()
        self._ended = False
        self._keys: set[bytes] = set()

    async def __aenter__(self) -> None:
        self.follow((self.session.key, *self.session.above))
        self._scope.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        running = self._manager.calls
        for key in self._keys:
            calls = running[key]
            calls.discard(self)
            if not calls:
                del running[key]
        handled = self._scope.__exit__(kind, error, trace)
        if self._ended and self._scope.cancelled_caught:
            raise SessionEnded("the session has ended while the call was running")
        return handled

    def follow(self, keys: Iterable[bytes]) -> None:
        """Be cancelled when one of these nodes ends."""
        self._keys.update(keys)
        for key in self._keys:
            self._manager.calls.setdefault(key, set()).add(self)

    def cancel(self) -> None:
        """Cancel the call because its session has ended."""
        self._ended = True
        self._scope.cancel()


class Held:
    """A lease held by this process, renewed until its block ends, and released with what was `put`.

    The content of every session that is written under a lease belongs to its holder: if such a node was marked as
    ending meanwhile, the mark stays and the content is written all the same, so that what a back end has answered
    (a cookie, a lock handle) is never forgotten by those who have to close it.
    """

    def __init__(self, manager: "Manager", lease: Lease) -> None:
        self._manager = manager
        self.lease = lease
        self._put: dict[bytes, Session] = {}
        self._scope = anyio.CancelScope()
        self._lost = False
        self._released = False

    def put(self, session: Session) -> None:
        """Write this session's content in the same trip as the release."""
        self._put[session.key] = session

    async def save(self, session: Session) -> None:
        """Write this session's content now, under the lease."""
        await self._write([session], release=False)

    def forget(self) -> None:
        """Release nothing at the end: the node and its lease have been removed."""
        self._released = True

    async def renew(self) -> None:
        """Extend the lease; if that cannot be done in time, cancel the block: it must not send anything more (E26)."""
        manager = self._manager
        try:
            self.lease = await manager.store.leases.renew(self.lease, now=manager.clock(), ttl=manager.tuning.lease_ttl)
        except StoreUnavailable:
            if manager.clock() >= self.lease.until:
                self._give_up()
        except LeaseLost:
            self._give_up()

    async def __aenter__(self) -> Self:
        self._manager.held.add(self)
        self._scope.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._manager.held.discard(self)
        handled = self._scope.__exit__(kind, error, trace)
        if self._lost:
            raise LeaseLost("the lease on the session was lost") from error
        if self._released:
            return handled
        with anyio.CancelScope(shield=True):
            await self._release(error)
        return handled

    async def _release(self, error: BaseException | None) -> None:
        try:
            await self._write(list(self._put.values()), release=True)
        except (LeaseLost, StoreUnavailable):
            if error is None:
                raise
        except Exception:  # what cannot be written must not keep the next one waiting
            with suppress(HoldfastError):
                await self._send([], release=True)
            raise

    def _give_up(self) -> None:
        self._lost = True
        self._scope.cancel()

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
        manager = self._manager
        if release:
            await manager.store.leases.release(self.lease, put=records)
            return
        self.lease = await manager.store.leases.renew(
            self.lease, now=manager.clock(), ttl=manager.tuning.lease_ttl, put=records
        )

    async def _rebase(self, session: Session) -> bool:
        """Put our content on top of the stored record; False if the node has gone."""
        stored = await self._manager.current(session.ref)
        if stored is None:
            return False
        ours = session.record
        marks = {"due_at": ours.due_at, "label": ours.label} if stored.state is State.LIVE else {}
        session.record = msgspec.structs.replace(stored, **marks)
        return True
