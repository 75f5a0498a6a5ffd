"""Moving a node with all below it into a tree of another shard, so that a crash loses nothing and doubles nothing.

1. In the old shard, one step takes the rows, leases and event logs out of the tree and puts them into a parcel there.
2. In the new shard, one step unpacks the parcel below the new parent, or refuses it, and remembers what it decided.
3. In the old shard, one step forgets the parcel, or unpacks it where it was if it was refused.

Between 1 and 2 the nodes cannot be loaded, for one round trip. If the worker dies in between, whoever looks for what is
due finds the parcel after `LAPSE_S` and goes on with 2; a worker that wakes up later is told what was decided.
"""

from collections.abc import Callable, Sequence
from secrets import token_bytes
from typing import Final

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
        if row is None:
            [row] = await self._shards.run("rows_of", target, record.key)
        if row is None:
            raise SessionConflict(f"node {record.hex} is gone")
        return record_of(record.key, row)

    async def finish(self) -> None:
        """Deliver what workers that died have left on its way; look for it twice in the time that takes to lapse."""
        now = self._clock()
        if now - self._looked_at < LAPSE_S / 2:
            return
        self._looked_at = now
        for source, overdue in enumerate(await self._shards.everywhere("parcels", numbers(now))):
            for target, parcel, name, *keys in overdue:
                try:
                    await self._deliver(source, target, parcel, name, keys, now)
                except (SessionEnded, BadInput):
                    continue  # it was refused, and is back where it came from

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
            await self._shards.step("restore", source, keys[0], 1, keys=logs[0])
            raise
        await self._shards.step("restore", source, keys[0], 0, keys=logs[0])
        return rows[0] if rows else None
