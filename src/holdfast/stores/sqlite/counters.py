"""Counters in SQLite: a row each, with what it counts and when it may be forgotten."""

# ruff: noqa: S608 - a namespace is checked before it stands in a statement, and values are bound

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from holdfast.stores.bucket import taken
from holdfast.stores.sqlite.database import Database

SWEEP_EVERY: Final = 256  # writes, after which up to SWEEP_MOST rows that have run out are removed
SWEEP_MOST: Final = 1_024


class SqliteCounters:
    """Implements `Counters`."""

    def __init__(self, database: Database, namespace: str) -> None:
        table = f'"{namespace}/counter"'
        self._database, self._writes = database, 0
        self._get = f"SELECT value, until FROM {table} WHERE sort = ? AND name = ? AND until > ?"
        self._put = f"INSERT OR REPLACE INTO {table} (sort, name, value, until) VALUES (?, ?, ?, ?)"
        self._sweep = (
            f"DELETE FROM {table} WHERE (sort, name) IN (SELECT sort, name FROM {table} WHERE until <= ? LIMIT ?)"
        )

    async def take(self, name: str, *, rate: float, burst: float, now: float, cost: float = 1.0) -> float:
        """See `Counters.take`."""

        def call(connection: sqlite3.Connection) -> float:
            _, before = self._entry(connection, "take", name, now)
            wait, after = taken(before, rate=rate, burst=burst, now=now, cost=cost)
            if after != before:
                self._set(connection, "take", name, 0, after, now)
            return wait

        return await self._database.write(call)

    async def once(self, name: str, *, now: float, ttl: float) -> bool:
        """See `Counters.once`."""

        def call(connection: sqlite3.Connection) -> bool:
            first = self._entry(connection, "once", name, now)[1] <= now
            if first:
                self._set(connection, "once", name, 1, now + ttl, now)
            return first

        return await self._database.write(call)

    async def add(self, name: str, amount: int = 1, *, now: float, ttl: float | None = None) -> int:
        """See `Counters.add`."""
        return await self._change(name, lambda value: value + amount, now, ttl)

    async def lift(self, name: str, to: int, *, now: float, ttl: float | None = None) -> int:
        """See `Counters.lift`."""
        return await self._change(name, lambda value: max(value, to), now, ttl)

    async def read(self, names: Sequence[str], *, now: float) -> list[int]:
        """See `Counters.read`."""
        return await self._database.read(
            lambda connection: [self._entry(connection, "add", name, now)[0] for name in names]
        )

    async def _change(self, name: str, change: Callable[[int], int], now: float, ttl: float | None) -> int:
        def call(connection: sqlite3.Connection) -> int:
            value, until = self._entry(connection, "add", name, now)
            if until <= now:
                until = float("inf") if ttl is None else now + ttl
            value = change(value)
            self._set(connection, "add", name, value, until, now)
            return value

        return await self._database.write(call)

    def _entry(self, connection: sqlite3.Connection, sort: str, name: str, now: float) -> tuple[int, float]:
        value, until = connection.execute(self._get, (sort, name, now)).fetchone() or (0, now)
        return value, until

    def _set(self, connection: sqlite3.Connection, sort: str, name: str, value: int, until: float, now: float) -> None:
        connection.execute(self._put, (sort, name, value, until))
        self._writes += 1
        if self._writes % SWEEP_EVERY == 0:
            connection.execute(self._sweep, (now, SWEEP_MOST))
