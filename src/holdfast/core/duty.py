"""What a closer or an upkeep is given to do its work with: its node, opened, and the leases of its run."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio

from holdfast.core.holding import Held
from holdfast.core.manager import Manager
from holdfast.core.model import Record, Ref
from holdfast.core.sealing import Unreadable
from holdfast.core.session import Session


class Run:
    """The leases of one closing run, shared by its closers; a node of the run is leased once, whoever asks."""

    def __init__(self, manager: Manager, top: Record, held: Held) -> None:
        self._manager = manager
        self.began = manager.clock() if top.ended_at is None else top.ended_at
        self.held = {top.key: held}
        self.failed: set[bytes] = set()
        self.unreadable = False
        self._turns: dict[bytes, anyio.Lock] = {}

    @asynccontextmanager
    async def hold(self, ref: Ref) -> AsyncIterator[Held]:
        """Hold a node's lease, the run's own if it has one; one closer at a time either way."""
        ours = self.held.get(ref.key)
        if ours is None:
            async with self._manager.hold(ref, wait=self._manager.tuning.closer_timeout, closing=True) as held:
                yield held
            return
        async with self._turns.setdefault(ref.key, anyio.Lock()):
            yield ours


class Duty:
    """What a closer or an upkeep is given: the node, opened, and the means to reach those around it."""

    def __init__(self, manager: Manager, session: Session, run: Run) -> None:
        self.manager, self.session, self._run = manager, session, run

    @property
    def now(self) -> float:
        """The present instant, Unix seconds."""
        return self.manager.clock()

    @property
    def held(self) -> Held:
        """The lease on the node itself; `held.put(session)` writes its content when the duty is done."""
        return self._run.held[self.session.key]

    def hold(self, ref: Ref) -> AbstractAsyncContextManager[Held]:
        """Hold the lease of another node, for example the back-end session of a lock."""
        return self._run.hold(ref)

    async def parent(self) -> Session | None:
        """Return the parent, opened, in whatever state it is; None if there is none, or it cannot be read."""
        record = self.session.record
        if record.parent is None:
            return None
        above = await self.manager.current(Ref(record.tree, record.parent))
        try:
            return await self.manager.read(above) if above is not None else None
        except Unreadable:
            return None
