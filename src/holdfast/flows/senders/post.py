"""What the senders of one flow share at all workers: whose turn it is, and how far has been read.

It is a node of kind `flow_sender`, found by the flow's name. Its lease is the turn: a worker that dies loses it within
`lease_ttl`, one that lives keeps it for as long as it needs. Its content is what the sender remembers.
"""

import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from holdfast.core.holding import Held
from holdfast.core.kinds import Clocks, Kind
from holdfast.core.manager import Manager
from holdfast.core.session import Session
from holdfast.errors import Busy, SessionEnded, SessionExists, SessionNotFound
from holdfast.flows.sessions.nodes import LABEL_CHARS, YEAR_S

KIND: Final = "flow_sender"
SENDER_KIND: Final = Kind(name=KIND, clocks=Clocks(idle=YEAR_S, absolute=100 * YEAR_S))
DUE_S: Final = 3600.0  # by more than that no worker's clock is slow
log = logging.getLogger(__name__)


class Turn(msgspec.Struct, frozen=True):
    """One worker's turn, as long as its block lasts."""

    held: Held
    session: Session

    @property
    def memory(self) -> dict[str, Any]:
        """What the sender remembers; changed by `remember` alone."""
        return dict(self.session.content or {})

    async def remember(self, **more: Any) -> None:
        """Write down what the sender has to remember. Raises LeaseLost: another worker has the turn."""
        self.session.content = {**self.memory, **more}
        await self.held.save(self.session)


class Post:
    """Where the senders of a flow meet."""

    def __init__(self, manager: Manager, flow: str) -> None:
        self._manager, self._flow = manager, flow
        self._digest = hashlib.sha256(f"{KIND}\0{flow}".encode())

    async def first(self, due: float) -> bool:
        """Say whether no worker has begun what is due at this instant."""
        name = f"{KIND}:{self._digest.hexdigest()}:{due}"
        return await self._manager.store.counters.once(name, now=self._manager.clock(), ttl=DUE_S)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Have the turn. Raises Busy: another worker has it, or this one for what was due before."""
        session = await self._session()
        async with self._manager.hold(session.ref, wait=0.0) as held:
            yield Turn(held, await self._manager.get(session.ref, touch=True))

    async def _session(self) -> Session:
        """Return the node, opened if it is not there."""
        manager, alias = self._manager, self._digest.digest()
        found = await manager.store.sessions.load(alias, now=manager.clock())
        try:
            if found is not None:
                return await manager.get(found.record.ref)
            return await manager.open(KIND, {}, alias=alias, label=self._flow[:LABEL_CHARS])
        except (SessionExists, SessionEnded, SessionNotFound) as exc:  # another worker was faster, to open or to remove
            raise Busy("what the senders share is being opened or removed") from exc
