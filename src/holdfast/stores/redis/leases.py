"""Leases in Redis: fence and end of each node's last lease stand beside the nodes, in the same shard."""

from collections.abc import Sequence

from msgspec.structs import replace

from holdfast.core.model import Lease, Record, Ref
from holdfast.stores.redis.codec import numbers, packed
from holdfast.stores.redis.sessions import fence_of
from holdfast.stores.redis.shards import Shards


class RedisLeases:
    """Implements `Leases`."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def acquire(
        self, ref: Ref, *, worker: str, now: float, ttl: float, put: Sequence[Record] = (), closing: bool = False
    ) -> Lease | None:
        """See `Leases.acquire`."""
        found = await self._shards.step(
            "acquire",
            self._shards.of_key(ref.tree),
            *(ref.key, ref.tree, numbers(now, now + ttl), int(closing)),
            *_rows(put),
        )
        return Lease(ref, worker, fence_of(found[0]), now + ttl) if found else None

    async def renew(self, lease: Lease, *, now: float, ttl: float, put: Sequence[Record] = ()) -> Lease:
        """See `Leases.renew`."""
        await self._step("renew", lease, [numbers(now + ttl), *_rows(put)])
        return replace(lease, until=now + ttl)

    async def release(self, lease: Lease, *, put: Sequence[Record] = ()) -> None:
        """See `Leases.release`."""
        await self._step("release", lease, _rows(put))

    async def _step(self, name: str, lease: Lease, arguments: Sequence[bytes]) -> None:
        ref = lease.ref
        await self._shards.step(name, self._shards.of_key(ref.tree), ref.key, ref.tree, lease.fence, *arguments)


def _rows(put: Sequence[Record]) -> list[bytes]:
    return [part for record in put for part in (record.key, packed(record))]
