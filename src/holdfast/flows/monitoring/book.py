"""Where a worker's journal is stored: a node of kind `flow_journal`, batches in a stream below it, sealed.

A node whose worker has not shown itself for half a minute is closed by any keeper: what had begun and not ended is put
into the log as failed. So is what a worker could not say any more when it ended by itself.
"""

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from holdfast.core.duty import Duty
from holdfast.core.kinds import Clocks, Kind
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Record, State
from holdfast.core.session import Session
from holdfast.errors import SessionEnded, SessionNotFound
from holdfast.flows.monitoring.entries import Entry, died
from holdfast.flows.monitoring.folding import Batch, folded
from holdfast.flows.monitoring.messagelog import MessageLog
from holdfast.flows.sessions.ending import end_if_alone
from holdfast.flows.sessions.nodes import LABEL_CHARS, WORKER_GONE_S, YEAR_S

JOURNAL: Final = "flow_journal"
STREAM: Final = "runs"
BOUND: Final = b"flow journal"
ANEW_BYTES: Final = 1024 * 1024  # a journal that has grown by so much is begun anew
READ: Final = 500
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Batch).decode


class Book:
    """The journal of one flow at this worker, opened when there is something to write.

    `fresh`: what is written next has to say all; what the store has may have gaps.
    """

    def __init__(self, manager: Manager, flow: str, file: str) -> None:
        self._manager, self._flow, self._file = manager, flow, file
        self.session: Session | None = None
        self.fresh = True
        self._whole = self._grown = 0

    async def opened(self) -> Session:
        """Return the node."""
        if self.session is None:
            content, due_at = {"flow": self._flow, "file": self._file}, self._manager.clock() + WORKER_GONE_S
            label = self._flow[:LABEL_CHARS]
            self.session = await self._manager.open(JOURNAL, content, named=False, label=label, due_at=due_at)
        return self.session

    async def write(self, batch: Batch) -> None:
        """Add a batch. Raises SessionEnded if the node was closed meanwhile, and StoreUnavailable."""
        manager, session = self._manager, await self.opened()
        data = manager.keys.seal(_encode(batch), session.key + BOUND)
        self.fresh = True  # unless this comes to a good end
        await manager.store.events.append(session.ref, STREAM, data, now=manager.clock())
        if batch.fresh:
            self._whole, self._grown = len(data), 0
            await manager.store.events.trim(session.ref, STREAM, keep=1)
        else:
            self._grown += len(data)
        self.fresh = self._grown > max(ANEW_BYTES, 2 * self._whole)

    async def check(self) -> None:
        """Raise SessionEnded if the node was closed meanwhile: what it says is in the log as failed."""
        if self.session is not None:
            try:
                await self._manager.get(self.session.ref)
            except SessionNotFound as exc:
                raise SessionEnded("the journal was closed") from exc

    def lost(self) -> None:
        """Take another node from now on: this one was closed."""
        self.session, self.fresh = None, True

    async def end(self, *, through: bool) -> None:
        """Close the node. `through` says that nothing is going on, so that nobody need read the book."""
        if self.session is not None:
            if through:
                await self._manager.store.events.trim(self.session.ref, STREAM)
            await self._manager.end(self.session, Reason.CLIENT)


async def going(manager: Manager, record: Record) -> list[Entry]:
    """Return the messages that a worker is at. Raises Unreadable."""
    batches, after = [], 0
    while found := await manager.store.events.read(record.ref, STREAM, after=after, count=READ):
        batches += [_decode(manager.keys.open(event.data, record.key + BOUND)) for event in found]
        after = found[-1].seq
    return folded(batches)


async def journals(manager: Manager) -> AsyncIterator[Record]:
    """Yield the nodes of all workers' journals; their label is the flow."""
    async for record in manager.each("kind", JOURNAL):
        if record.state is State.LIVE:
            yield record


async def running(manager: Manager, flow: str = "") -> list[Entry]:
    """Return the messages that workers are at, as far as it is written down; of one flow, or of all."""
    found: list[Entry] = []
    async for record in journals(manager):
        if flow in ("", record.label):
            found += await going(manager, record)
    return found


async def _close(duty: Duty) -> None:
    """Put what had not ended into the log; it may be there from an earlier try."""
    left = await going(duty.manager, duty.session.record)
    await MessageLog(duty.manager).write([died(entry, duty.now) for entry in left])


JOURNAL_KIND: Final = Kind(
    name=JOURNAL,
    closer=_close,
    upkeep=end_if_alone,
    outside=True,
    spared=True,
    clocks=Clocks(idle=WORKER_GONE_S, absolute=YEAR_S, touch_interval=WORKER_GONE_S / 6),
)
