"""Event logs in SQLite: a row per event, and a row per stream that knows the last number given."""

# ruff: noqa: S608 - a namespace is checked before it stands in a statement, and values are bound

import json
import sqlite3
from collections.abc import Collection

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
        self._forget = f"DELETE FROM {stream} WHERE node = ? AND name = ? AND (? IS NULL OR last = ?)"
        self._prune = (
            "WITH aged AS (SELECT stream, seq, length(data) AS size, max(at) OVER (PARTITION BY stream ORDER BY seq) "
            f"AS at, max(seq) OVER (PARTITION BY stream) AS last FROM {event} "
            f"WHERE node = :node AND EXISTS (SELECT 1 FROM {node} WHERE key = node AND tree = :tree)), "
            "placed AS (SELECT *, row_number() OVER newest AS place, sum(size) OVER newest AS total "
            "FROM aged WINDOW newest AS (ORDER BY at DESC, seq DESC, stream DESC)) "
            f"DELETE FROM {event} WHERE node = :node AND (stream, seq) IN (SELECT stream, seq FROM placed "
            "WHERE (at < :before OR place > :count OR total > :size) "
            "AND NOT (seq = last AND stream IN (SELECT value FROM json_each(:spare)))) RETURNING stream, seq"
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

        def call(connection: sqlite3.Connection) -> int:
            dropped = connection.execute(self._trim, values).rowcount
            if keep <= 0 and before is None and connection.execute(self._there, (ref.key, ref.tree)).fetchone():
                connection.execute(self._forget, (ref.key, stream, None, None))
            return dropped

        return await self._database.write(call)

    async def prune(self, ref: Ref, *, count: int, size: int, before: float, spare: Collection[str] = ()) -> int:
        """See `EventLog.prune`."""
        values = {
            "node": ref.key,
            "tree": ref.tree,
            "count": count,
            "size": size,
            "before": before,
            "spare": json.dumps(list(spare)),
        }

        def call(connection: sqlite3.Connection) -> int:
            dropped = connection.execute(self._prune, values).fetchall()
            for stream, last in dict(sorted(dropped)).items():
                connection.execute(self._forget, (ref.key, stream, last, last))
            return len(dropped)

        return await self._database.write(call)
