"""Counters in Redis: a key each, which the server itself forgets a minute after its time is over."""

import math
from collections.abc import Sequence

from holdfast.errors import BadInput
from holdfast.stores.redis.codec import NUMBER, numbers
from holdfast.stores.redis.shards import Shards


class RedisCounters:
    """Implements `Counters`."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def take(self, name: str, *, rate: float, burst: float, now: float, cost: float = 1.0) -> float:
        """See `Counters.take`."""
        if rate <= 0:
            raise BadInput("the rate of a token bucket is above zero")
        if cost > burst:
            return math.inf
        wait = await self._shards.count("take", [self._key("take", name)], numbers(rate, burst, now, cost))
        return float(NUMBER.unpack(wait)[0])

    async def once(self, name: str, *, now: float, ttl: float) -> bool:
        """See `Counters.once`."""
        return bool(await self._shards.count("once", [self._key("once", name)], numbers(now, ttl)))

    async def add(self, name: str, amount: int = 1, *, now: float, ttl: float | None = None) -> int:
        """See `Counters.add`."""
        return await self._change(name, "+", amount, now, ttl)

    async def lift(self, name: str, to: int, *, now: float, ttl: float | None = None) -> int:
        """See `Counters.lift`."""
        return await self._change(name, ">", to, now, ttl)

    async def read(self, names: Sequence[str], *, now: float) -> list[int]:
        """See `Counters.read`. On several shards, each shard's counters are read in one step."""
        values: dict[str, int] = {}
        for shard in {self._shards.of_name(name) for name in names}:
            those = [name for name in names if self._shards.of_name(name) == shard]
            found = await self._shards.count("read", [self._key("add", name) for name in those], numbers(now))
            values.update(zip(those, map(int, found), strict=True))
        return [values[name] for name in names]

    async def _change(self, name: str, how: str, number: int, now: float, ttl: float | None) -> int:
        life = math.inf if ttl is None else ttl
        return int(await self._shards.count("add", [self._key("add", name)], numbers(now, life), number, how))

    def _key(self, sort: str, name: str) -> bytes:
        return self._shards.key(self._shards.of_name(name), b"count", sort.encode(), name.encode())
