"""The event log in PostgreSQL: a row per stream with its last number, and a row per event."""

# ruff: noqa: S608 - the statements are put together from names of ours only, and values are bound

from typing import Final

from holdfast.core.model import LogEntry, Ref
from holdfast.errors import SessionEnded
from holdfast.stores.postgres.database import Database
from holdfast.stores.postgres.schema import placed

APPEND: Final = """
WITH home AS (SELECT key FROM holdfast.node WHERE key = $1 AND tree = $2 FOR KEY SHARE),
number AS (
  INSERT INTO holdfast.stream AS s (node, name, last) SELECT key, $3, 1 FROM home
  ON CONFLICT (node, name) DO UPDATE SET last = s.last + 1 RETURNING last)
INSERT INTO holdfast.event (node, stream, seq, at, data) SELECT $1, $3, last, $4, $5 FROM number RETURNING seq
"""
AT: Final = "node = $1 AND stream = $3 AND EXISTS (SELECT FROM holdfast.node WHERE key = $1 AND tree = $2)"
READ: Final = f"SELECT seq, at, data FROM holdfast.event WHERE {AT} AND seq > $4 ORDER BY seq LIMIT $5"
TRIM: Final = f"""
WITH dropped AS (
  DELETE FROM holdfast.event WHERE {AT} AND ($5::float8 IS NULL OR at < $5) AND seq <= (
    SELECT seq FROM holdfast.event WHERE node = $1 AND stream = $3 ORDER BY seq DESC OFFSET $4 LIMIT 1)
  RETURNING seq)
SELECT count(*) FROM dropped
"""


class PostgresEventLog:
    """Implements `EventLog`."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._database = database
        self._append, self._read, self._trim = (placed(statement, namespace) for statement in (APPEND, READ, TRIM))

    async def append(self, ref: Ref, stream: str, data: bytes, *, now: float) -> int:
        """See `EventLog.append`. A node that is being removed waits for those who append below it."""
        rows = await self._database.rows(self._append, ref.key, ref.tree, stream, now, data)
        if not rows:
            raise SessionEnded(f"node {ref.key.hex()[:8]} is gone")
        number: int = rows[0][0]
        return number

    async def read(self, ref: Ref, stream: str, *, after: int = 0, count: int = 100) -> list[LogEntry]:
        """See `EventLog.read`."""
        rows = await self._database.rows(self._read, ref.key, ref.tree, stream, after, max(count, 0))
        return [LogEntry(seq, at, data) for seq, at, data in rows]

    async def trim(self, ref: Ref, stream: str, *, keep: int = 0, before: float | None = None) -> int:
        """See `EventLog.trim`."""
        dropped: int = await self._database.value(self._trim, ref.key, ref.tree, stream, max(keep, 0), before)
        return dropped
