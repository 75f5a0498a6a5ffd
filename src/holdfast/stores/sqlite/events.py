"""Event logs in SQLite: a row per event, and a row per stream that knows the last number given."""

# ruff: noqa: S608 - a namespace is checked before it stands in a statement, and values are bound

import sqlite3

from holdfast.core.model import LogEntry, Ref
from holdfast.errors import SessionEnded
from holdfast.stores.sqlite.database import Database


class SqliteEventLog:
    """Implements `EventLog`."""

    def __init__(self, database: Database, namespace: str) -> None:
        node, stream, event = (f'"{namespace}/{table}"' for table in ("node", "stream", "event"))
        mine = f"node = ? AND stream = ? AND EXISTS (SELECT 1 FROM {node} WHERE key = node AND tree = ?)"
        self._database = database
        self._there = f"SELECT 1 FROM {node} WHERE key = ? AND tree = ?"
        self._number = (
            f"INSERT INTO {stream} (node, name, last) VALUES (?, ?, 1) "
            "ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last"
        )
        self._append = f"INSERT INTO {event} (node, stream, seq, at, data) VALUES (?, ?, ?, ?, ?)"
        self._read = f"SELECT seq, at, data FROM {event} WHERE {mine} AND seq > ? ORDER BY seq LIMIT ?"
        self._trim = (
            f"DELETE FROM {event} WHERE {mine} AND at < ? AND seq NOT IN "
            f"(SELECT seq FROM {event} WHERE node = ? AND stream = ? ORDER BY seq DESC LIMIT ?)"
        )

    async def append(self, ref: Ref, stream: str, data: bytes, *, now: float) -> int:
        """See `EventLog.append`."""

        def call(connection: sqlite3.Connection) -> int:
            if connection.execute(self._there, (ref.key, ref.tree)).fetchone() is None:
                raise SessionEnded(f"node {ref.key.hex()[:8]} is gone")
            number: int = connection.execute(self._number, (ref.key, stream)).fetchone()[0]
            connection.execute(self._append, (ref.key, stream, number, now, data))
            return number

        return await self._database.write(call)

    async def read(self, ref: Ref, stream: str, *, after: int = 0, count: int = 100) -> list[LogEntry]:
        """See `EventLog.read`."""
        values = (ref.key, stream, ref.tree, after, max(count, 0))
        rows = await self._database.read(lambda connection: connection.execute(self._read, values).fetchall())
        return [LogEntry(seq, at, data) for seq, at, data in rows]

    async def trim(self, ref: Ref, stream: str, *, keep: int = 0, before: float | None = None) -> int:
        """See `EventLog.trim`."""
        limit = float("inf") if before is None else before
        values = (ref.key, stream, ref.tree, limit, ref.key, stream, max(keep, 0))
        return await self._database.write(lambda connection: connection.execute(self._trim, values).rowcount)
