"""Event logs in Redis: one hash for all streams of a node, in the shard of its tree, and gone with it."""

from collections.abc import Collection, Sequence

from holdfast.core.model import LogEntry, Ref
from holdfast.stores.redis.codec import NUMBER, numbers
from holdfast.stores.redis.shards import Shards


class RedisEventLog:
    """Implements `EventLog`."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def append(self, ref: Ref, stream: str, data: bytes, *, now: float) -> int:
        """See `EventLog.append`."""
        [number] = await self._step("append", ref, stream, data, numbers(now))
        return int(number)

    async def read(self, ref: Ref, stream: str, *, after: int = 0, count: int = 100) -> list[LogEntry]:
        """See `EventLog.read`."""
        found = await self._step("events", ref, stream, max(after, 0), max(count, 0))
        return [_entry(found[place], found[place + 1]) for place in range(0, len(found), 2)]

    async def trim(self, ref: Ref, stream: str, *, keep: int = 0, before: float | None = None) -> int:
        """See `EventLog.trim`."""
        before_it = b"" if before is None else numbers(before)
        [dropped] = await self._step("trim", ref, stream, max(keep, 0), before_it)
        return int(dropped)

    async def prune(self, ref: Ref, *, count: int, size: int, before: float, spare: Collection[str] = ()) -> int:
        """See `EventLog.prune`."""
        bounds = (max(count, 0), max(size, 0), numbers(before))
        [dropped] = await self._step("prune", ref, *bounds, *spare)
        return int(dropped)

    async def _step(self, name: str, ref: Ref, *arguments: bytes | int | str) -> Sequence[int | bytes]:
        shard = self._shards.of_key(ref.tree)
        log = self._shards.log(shard, ref.key)
        return await self._shards.step(name, shard, ref.key, ref.tree, *arguments, keys=[log])


def _entry(number: int | bytes, event: int | bytes) -> LogEntry:
    assert isinstance(event, bytes)  # noqa: S101 - the script's answer alternates
    return LogEntry(int(number), NUMBER.unpack_from(event)[0], event[NUMBER.size :])
