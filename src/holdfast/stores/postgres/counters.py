"""Counters in PostgreSQL: a row each, with what it counts and when it may be forgotten."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from holdfast.errors import StoreUnavailable
from holdfast.stores.bucket import taken
from holdfast.stores.postgres.database import Database
from holdfast.stores.postgres.schema import placed

SWEEP_EVERY: Final = 256  # writes, after which up to SWEEP_MOST rows that have run out are removed
SWEEP_MOST: Final = 1_024

TAKE: Final = "SELECT holdfast.take($1, $2, $3, $4, $5)"
ONCE: Final = """
INSERT INTO holdfast.counter AS c (sort, name, value, until) VALUES ('once', $1, 1, $3)
ON CONFLICT (sort, name) DO UPDATE SET until = excluded.until WHERE c.until <= $2 RETURNING 1
"""
ADD: Final = """
INSERT INTO holdfast.counter AS c (sort, name, value, until) VALUES ('add', $1, $2, $4)
ON CONFLICT (sort, name) DO UPDATE SET
  value = CASE WHEN c.until > $3 THEN c.value + $2 ELSE $2 END,
  until = CASE WHEN c.until > $3 THEN c.until ELSE excluded.until END
RETURNING value
"""
LIFT: Final = """
INSERT INTO holdfast.counter AS c (sort, name, value, until) VALUES ('add', $1, greatest($2::int8, 0), $4)
ON CONFLICT (sort, name) DO UPDATE SET
  value = CASE WHEN c.until > $3 THEN greatest(c.value, $2) ELSE excluded.value END,
  until = CASE WHEN c.until > $3 THEN c.until ELSE excluded.until END
RETURNING value
"""
READ: Final = "SELECT name, value FROM holdfast.counter WHERE sort = 'add' AND name = ANY ($1) AND until > $2"
SWEEP: Final = """
DELETE FROM holdfast.counter WHERE (sort, name) IN (
  SELECT sort, name FROM holdfast.counter WHERE bucket < holdfast.bucket($1) LIMIT $2 FOR UPDATE SKIP LOCKED)
"""


class PostgresCounters:
    """Implements `Counters`."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._rows, self._writes = database.rows, 0
        self._take, self._once, self._add, self._lift, self._read, self._sweep = (
            placed(statement, namespace) for statement in (TAKE, ONCE, ADD, LIFT, READ, SWEEP)
        )

    async def take(self, name: str, *, rate: float, burst: float, now: float, cost: float = 1.0) -> float:
        """See `Counters.take`; the arithmetic of `stores.bucket` is done at the server."""
        wait, _ = taken(now, rate=rate, burst=burst, now=now, cost=cost)
        if cost > burst:
            return wait
        [[wait]] = await self._write(now, self._take, name, rate, burst, now, cost)
        return float(wait)

    async def once(self, name: str, *, now: float, ttl: float) -> bool:
        """See `Counters.once`."""
        return bool(await self._write(now, self._once, name, now, now + ttl))

    async def add(self, name: str, amount: int = 1, *, now: float, ttl: float | None = None) -> int:
        """See `Counters.add`."""
        return await self._change(self._add, name, amount, now, ttl)

    async def lift(self, name: str, to: int, *, now: float, ttl: float | None = None) -> int:
        """See `Counters.lift`."""
        return await self._change(self._lift, name, to, now, ttl)

    async def read(self, names: Sequence[str], *, now: float) -> list[int]:
        """See `Counters.read`."""
        values: dict[str, int] = dict(map(tuple, await self._rows(self._read, list(names), now)))
        return [values.get(name, 0) for name in names]

    async def _change(self, statement: str, name: str, number: int, now: float, ttl: float | None) -> int:
        until = float("inf") if ttl is None else now + ttl
        [[value]] = await self._write(now, statement, name, number, now, until)
        return int(value)

    async def _write(self, now: float, statement: str, *arguments: Any) -> Any:
        found = await self._rows(statement, *arguments)
        self._writes += 1
        if self._writes % SWEEP_EVERY == 0:
            with suppress(StoreUnavailable):  # what was asked for is done
                await self._rows(self._sweep, now, SWEEP_MOST)
        return found
