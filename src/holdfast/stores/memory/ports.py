"""The five ports of the memory store. Nothing is awaited inside them, so every method is atomic on its event loop."""

from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import accumulate

from holdfast.core.model import Claim, Created, Lease, Limit, Loaded, LogEntry, Message, Reason, Record, Ref
from holdfast.core.ports import Index
from holdfast.errors import SessionEnded
from holdfast.stores.bucket import taken
from holdfast.stores.forest import Forest
from holdfast.stores.hub import Hub
from holdfast.stores.memory.rows import MemoryRows, Stream

LITTER = 1_024  # counters are looked through for what has run out when their number has doubled since, or reached this


class MemorySessions:
    """Implements `SessionStore`."""

    def __init__(self, rows: MemoryRows) -> None:
        self._rows, self._forest = rows, Forest(rows)

    async def create(self, record: Record, limits: Sequence[Limit] = (), *, now: float) -> Created:
        """See `SessionStore.create`."""
        return self._forest.create(record, limits, now=now)

    async def load(
        self,
        at: Ref | bytes,
        *,
        now: float,
        touch_after: float | None = None,
        busy_until: float = 0.0,
        owner: str | None = None,
    ) -> Loaded | None:
        """See `SessionStore.load`."""
        return self._forest.load(at, now, touch_after, busy_until, owner)

    async def replace(self, record: Record, *, now: float, fence: int | None = None) -> Record:
        """See `SessionStore.replace`."""
        return self._forest.replace(record, now=now, fence=fence)

    async def rekey(self, record: Record, *, alias: bytes, mark: str, now: float, parent: Ref | None = None) -> Record:
        """See `SessionStore.rekey`."""
        return self._forest.rekey(record, alias=alias, mark=mark, now=now, parent=parent)

    async def end(self, ref: Ref, reason: Reason, *, now: float) -> Record | None:
        """See `SessionStore.end`."""
        return self._forest.end(ref, reason, now=now)

    async def delete(self, refs: Sequence[Ref], *, fence: int | None = None) -> int:
        """See `SessionStore.delete`."""
        return self._forest.delete(refs, fence=fence)

    async def find(
        self, index: Index, value: bytes | str | float, *, after: bytes = b"", count: int = 100
    ) -> list[Record]:
        """See `SessionStore.find`."""
        return self._rows.find(index, value, after=after, count=count)

    async def claim(self, kinds: Collection[str], *, worker: str, now: float, ttl: float, count: int) -> list[Claim]:
        """See `SessionStore.claim`."""
        return self._forest.claim(kinds, worker=worker, now=now, ttl=ttl, count=count)


class MemoryLeases:
    """Implements `Leases`."""

    def __init__(self, rows: MemoryRows) -> None:
        self._forest = Forest(rows)

    async def acquire(
        self, ref: Ref, *, worker: str, now: float, ttl: float, put: Sequence[Record] = (), closing: bool = False
    ) -> Lease | None:
        """See `Leases.acquire`."""
        return self._forest.acquire(ref, worker=worker, now=now, ttl=ttl, put=put, closing=closing)

    async def renew(self, lease: Lease, *, now: float, ttl: float, put: Sequence[Record] = ()) -> Lease:
        """See `Leases.renew`."""
        return self._forest.renew(lease, now=now, ttl=ttl, put=put)

    async def release(self, lease: Lease, *, put: Sequence[Record] = ()) -> None:
        """See `Leases.release`."""
        self._forest.release(lease, put=put)


class MemoryEventLog:
    """Implements `EventLog`."""

    def __init__(self, rows: MemoryRows) -> None:
        self._rows = rows

    async def append(self, ref: Ref, stream: str, data: bytes, *, now: float) -> int:
        """See `EventLog.append`."""
        if not self._there(ref):
            raise SessionEnded(f"node {ref.key.hex()[:8]} is gone")
        log = self._rows.logs.setdefault(ref.key, {}).setdefault(stream, Stream())
        log.last += 1
        log.entries.append(LogEntry(log.last, now, data))
        return log.last

    async def read(self, ref: Ref, stream: str, *, after: int = 0, count: int = 100) -> list[LogEntry]:
        """See `EventLog.read`."""
        entries = self._entries(ref, stream)
        start = bisect_right(entries, after, key=lambda entry: entry.seq)
        return entries[start : start + max(count, 0)]

    async def trim(self, ref: Ref, stream: str, *, keep: int = 0, before: float | None = None) -> int:
        """See `EventLog.trim`."""
        entries = self._entries(ref, stream)
        newest = len(entries) - max(keep, 0)
        kept = [
            entry
            for place, entry in enumerate(entries)
            if place >= newest or (before is not None and entry.at >= before)
        ]
        dropped = len(entries) - len(kept)
        entries[:] = kept
        if keep <= 0 and before is None:
            self._streams(ref).pop(stream, None)
        return dropped

    async def prune(self, ref: Ref, *, count: int, size: int, before: float, spare: Collection[str] = ()) -> int:
        """See `EventLog.prune`."""
        streams = self._streams(ref)
        kept, dropped = 0, Counter[str]()
        for at, number, stream, length in sorted(_aged(streams), reverse=True):
            kept, size = kept + 1, size - length
            spared = stream in spare and number == streams[stream].last
            dropped[stream] += not spared and (at < before or kept > count or size < 0)
        for stream, oldest in dropped.items():
            del streams[stream].entries[:oldest]
            if not streams[stream].entries:
                del streams[stream]
        return dropped.total()

    def _there(self, ref: Ref) -> bool:
        record = self._rows.bare(ref.key)
        return record is not None and record.tree == ref.tree

    def _entries(self, ref: Ref, stream: str) -> list[LogEntry]:
        log = self._streams(ref).get(stream)
        return log.entries if log is not None else []

    def _streams(self, ref: Ref) -> dict[str, Stream]:
        return self._rows.logs.get(ref.key, {}) if self._there(ref) else {}


def _aged(streams: Mapping[str, Stream]) -> Iterator[tuple[float, int, str, int]]:
    """Yield age, number, stream and size of every event; none is older than those before it."""
    for name, stream in streams.items():
        ages = accumulate((entry.at for entry in stream.entries), max)
        for entry, at in zip(stream.entries, ages, strict=True):
            yield at, entry.seq, name, len(entry.data)


class MemoryChannel:
    """Implements `Channel`."""

    def __init__(self) -> None:
        self._hub = Hub()

    async def publish(self, topic: str, data: bytes = b"") -> None:
        """See `Channel.publish`."""
        self._hub.deliver(Message(topic, data))

    @asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[AsyncIterator[Message]]:
        """See `Channel.subscribe`."""
        with self._hub.mailbox(topics) as box:
            yield box


class MemoryCounters:
    """Implements `Counters`. Each entry is (what it counts, when it may be forgotten)."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], tuple[int, float]] = {}
        self._litter = LITTER

    async def take(self, name: str, *, rate: float, burst: float, now: float, cost: float = 1.0) -> float:
        """See `Counters.take`."""
        _, full_at = self._entry("take", name, now)
        wait, full_at = taken(full_at, rate=rate, burst=burst, now=now, cost=cost)
        self._set("take", name, 0, full_at, now)
        return wait

    async def once(self, name: str, *, now: float, ttl: float) -> bool:
        """See `Counters.once`."""
        if self._entry("once", name, now)[1] > now:
            return False
        self._set("once", name, 1, now + ttl, now)
        return True

    async def add(self, name: str, amount: int = 1, *, now: float, ttl: float | None = None) -> int:
        """See `Counters.add`."""
        return self._change(name, lambda value: value + amount, now, ttl)

    async def lift(self, name: str, to: int, *, now: float, ttl: float | None = None) -> int:
        """See `Counters.lift`."""
        return self._change(name, lambda value: max(value, to), now, ttl)

    async def read(self, names: Sequence[str], *, now: float) -> list[int]:
        """See `Counters.read`."""
        return [self._entry("add", name, now)[0] for name in names]

    def _change(self, name: str, change: Callable[[int], int], now: float, ttl: float | None) -> int:
        value, until = self._entry("add", name, now)
        if until <= now:
            until = float("inf") if ttl is None else now + ttl
        value = change(value)
        self._set("add", name, value, until, now)
        return value

    def _entry(self, sort: str, name: str, now: float) -> tuple[int, float]:
        entry = self._entries.get((sort, name), (0, now))
        return entry if entry[1] > now else (0, now)

    def _set(self, sort: str, name: str, value: int, until: float, now: float) -> None:
        if until > now:
            self._entries[sort, name] = (value, until)
        if len(self._entries) > self._litter:
            self._entries = {at: entry for at, entry in self._entries.items() if entry[1] > now}
            self._litter = max(LITTER, 2 * len(self._entries))
