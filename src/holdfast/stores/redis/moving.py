"""Moving a node with all below it into a tree of another shard, so that a crash loses nothing and doubles nothing.

1. In the old shard, one step takes the rows, leases and event logs out of the tree and puts them into a parcel there.
2. In the new shard, one step unpacks the parcel below the new parent, or refuses it, and remembers what it decided.
3. In the old shard, one step forgets the parcel, or unpacks it where it was if it was refused.

Until 3, homes go on naming the old shard. Who looks there for one of the nodes and finds the parcel takes steps 2 and 3
itself, so a node is found at any instant. If nobody does and the worker dies, whoever looks for what is due goes on
with 2 after `LAPSE_S`. A worker that wakes up later is told what was decided.
"""

from collections.abc import Callable, Iterable, Sequence
from secrets import token_bytes
from typing import Any, Final

from holdfast.core.model import Record, Ref
from holdfast.errors import BadInput, SessionConflict, SessionEnded
from holdfast.stores.redis.codec import numbers, record_of
from holdfast.stores.redis.queues import LAPSE_S, MANY
from holdfast.stores.redis.sessions import records
from holdfast.stores.redis.shards import TARGET, Shards

TURNS: Final = 10
NAME_BYTES: Final = 8


class Moves:
    """Carries parcels from shard to shard."""

    def __init__(self, shards: Shards, clock: Callable[[], float]) -> None:
        self._shards, self._clock = shards, clock
        self._looked_at = 0.0

    async def move(self, record: Record, alias: bytes, mark: str, parent: Ref, now: float) -> Record:
        """Hang a node below a parent in another shard; see `SessionStore.rekey` for the rest."""
        source, target = self._shards.of_key(record.tree), self._shards.of_key(parent.tree)
        name = token_bytes(NAME_BYTES)
        lapse = numbers(self._clock() + LAPSE_S) + TARGET.pack(target) + name
        parcel, *keys = await self._send(record, (alias, mark, numbers(now), parent.key, parent.tree, lapse), source)
        row = await self._deliver(source, target, parcel, name, keys, now)
        if row is not None:
            return record_of(record.key, row)
        if arrived := await self.rows([(record.key, target)]):
            return arrived[0]
        raise SessionConflict(f"node {record.hex} is gone")

    async def rows(self, nodes: Iterable[tuple[bytes, int]]) -> list[Record]:
        """Return the rows of nodes in several shards, those that are there; one on its way is brought where it goes."""
        by_shard: dict[int, list[bytes]] = {}
        for key, shard in nodes:
            by_shard.setdefault(shard, []).append(key)
        found: dict[bytes, Record] = {}
        for (shard, keys), rows in zip(by_shard.items(), await self._shards.each("rows_of", by_shard), strict=True):
            for key, row in zip(keys, rows, strict=True):
                if isinstance(row, bytes):
                    found[key] = record_of(key, row)
                elif row is not None and (brought := await self._brought(key, shard, row)):
                    found[key] = brought
        return list(found.values())

    async def finish(self) -> None:
        """Deliver what workers that died have left on its way; look for it twice in the time that takes to lapse."""
        now = self._clock()
        if now - self._looked_at < LAPSE_S / 2:
            return
        self._looked_at = now
        for source, overdue in enumerate(await self._shards.everywhere("overdue", numbers(now))):
            for address in overdue:
                await self._forward(source, address)

    async def _brought(self, key: bytes, source: int, address: Sequence[Any]) -> Record | None:
        shard = await self._forward(source, address)
        [row] = await self._shards.run("rows_of", shard, key)
        return record_of(key, row) if isinstance(row, bytes) else None

    async def _forward(self, source: int, address: Sequence[Any]) -> int:
        """Deliver somebody else's parcel; return the shard in which its nodes are then."""
        target, parcel, name, *keys = address
        try:
            await self._deliver(source, target, parcel, name, keys, self._clock())
        except (SessionEnded, BadInput):
            return source  # it was refused, and is back where it came from
        return int(target)

    async def _send(self, record: Record, where: Sequence[bytes | str], source: int) -> list[bytes]:
        for _ in range(TURNS):
            below = await self._below(record, source)
            logs = [self._shards.log(source, key) for key in (*below, record.key)]
            sent = await self._shards.step(
                "export", source, record.key, record.tree, record.version, *where, *below, keys=logs
            )
            if sent:
                return sent
        raise SessionConflict(f"node {record.hex} gets and loses children all the time")

    async def _below(self, top: Record, shard: int) -> list[bytes]:
        """Return the keys of everything below."""
        tree = records(await self._shards.run("find", shard, "tree", top.tree, b"", MANY))
        inside = {top.key}
        while more := {row.key for row in tree if row.parent in inside} - inside:
            inside |= more
        return sorted(inside - {top.key})

    async def _deliver(
        self, source: int, target: int, parcel: bytes, name: bytes, keys: Sequence[bytes], now: float
    ) -> bytes | None:
        """Unpack a parcel where it goes; return the moved node's row, None if somebody else has."""
        logs = [[self._shards.log(shard, key) for key in keys] for shard in (source, target)]
        decision = self._shards.key(target, b"moved", name)
        try:
            rows = await self._shards.step("import", target, parcel, numbers(now), keys=[*logs[1], decision])
        except (SessionEnded, BadInput):
            await self._shards.step("restore", source, keys[0], name, 1, keys=logs[0])
            raise
        await self._shards.step("restore", source, keys[0], name, 0, keys=logs[0])
        return rows[0] if rows else None
