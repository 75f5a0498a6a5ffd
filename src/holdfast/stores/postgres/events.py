"""The event log in PostgreSQL: a row per stream with its last number, and a row per event."""

# ruff: noqa: S608 - the statements are put together from names of ours only, and values are bound

from collections.abc import Collection
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
  RETURNING seq),
forgotten AS (
  DELETE FROM holdfast.stream WHERE node = $1 AND name = $3 AND $4 = 0 AND $5::float8 IS NULL
  AND EXISTS (SELECT FROM holdfast.node WHERE key = $1 AND tree = $2))
SELECT count(*) FROM dropped
"""
PRUNE: Final = """
WITH aged AS (
  SELECT stream, seq, octet_length(data) AS size, max(at) OVER mine AS at, max(seq) OVER (PARTITION BY stream) AS last
  FROM holdfast.event WHERE node = $1 AND EXISTS (SELECT FROM holdfast.node WHERE key = $1 AND tree = $2)
  WINDOW mine AS (PARTITION BY stream ORDER BY seq)),
placed AS (
  SELECT stream, seq, at, last, row_number() OVER newest AS place, sum(size) OVER newest AS total
  FROM aged WINDOW newest AS (ORDER BY at DESC, seq DESC, stream COLLATE "C" DESC)),
dropped AS (
  DELETE FROM holdfast.event e USING placed p WHERE e.node = $1 AND e.stream = p.stream AND e.seq = p.seq
  AND (p.at < $5 OR p.place > $3 OR p.total > $4) AND NOT (p.seq = p.last AND p.stream = ANY($6::text[]))
  RETURNING e.stream, e.seq),
forgotten AS (
  DELETE FROM holdfast.stream s USING (SELECT stream, max(seq) AS last FROM dropped GROUP BY stream) d
  WHERE s.node = $1 AND s.name = d.stream AND s.last = d.last)
SELECT count(*) FROM dropped
"""


class PostgresEventLog:
    """Implements `EventLog`."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._database = database
        self._append, self._read, self._trim, self._prune = (
            placed(statement, namespace) for statement in (APPEND, READ, TRIM, PRUNE)
        )

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

    async def prune(self, ref: Ref, *, count: int, size: int, before: float, spare: Collection[str] = ()) -> int:
        """See `EventLog.prune`. A stream that is appended to meanwhile is not forgotten: its last number changes."""
        bounds = (max(count, 0), max(size, 0), before)
        dropped: int = await self._database.value(self._prune, ref.key, ref.tree, *bounds, list(spare))
        return dropped
