"""Sessions and leases in SQLite: `Forest` over the rows of one transaction of the writer, or of the reader."""

import sqlite3
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from holdfast.core.model import Claim, Created, Lease, Limit, Loaded, Reason, Record, Ref
from holdfast.core.policy import touched
from holdfast.core.ports import Index
from holdfast.stores.forest import Forest
from holdfast.stores.sqlite.database import Database
from holdfast.stores.sqlite.rows import SqliteRows

Result = TypeVar("Result")


class _Trees:
    """What both ports share: a forest within a transaction."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._database, self._namespace = database, namespace

    async def _write(self, step: Callable[[Forest], Result]) -> Result:
        return await self._database.write(lambda connection: step(Forest(self._rows(connection))))

    async def _read(self, step: Callable[[Forest], Result]) -> Result:
        return await self._database.read(lambda connection: step(Forest(self._rows(connection))))

    def _rows(self, connection: sqlite3.Connection) -> SqliteRows:
        return SqliteRows(connection, self._namespace)


class SqliteSessions(_Trees):
    """Implements `SessionStore`."""

    async def create(self, record: Record, limits: Sequence[Limit] = (), *, now: float) -> Created:
        """See `SessionStore.create`."""
        return await self._write(lambda forest: forest.create(record, limits, now=now))

    async def load(
        self,
        at: Ref | bytes,
        *,
        now: float,
        touch_after: float | None = None,
        busy_until: float = 0.0,
        owner: str | None = None,
    ) -> Loaded | None:
        """See `SessionStore.load`. The writer is asked only if a use is to be written down (E8)."""
        loaded = await self._read(lambda forest: forest.load(at, now, owner=owner))
        if loaded is None or touch_after is None or touched(loaded.record, now, touch_after, busy_until) is None:
            return loaded
        return await self._write(lambda forest: forest.load(at, now, touch_after, busy_until, owner))

    async def replace(self, record: Record, *, now: float, fence: int | None = None) -> Record:
        """See `SessionStore.replace`."""
        return await self._write(lambda forest: forest.replace(record, now=now, fence=fence))

    async def rekey(self, record: Record, *, alias: bytes, mark: str, now: float, parent: Ref | None = None) -> Record:
        """See `SessionStore.rekey`."""
        return await self._write(lambda forest: forest.rekey(record, alias=alias, mark=mark, now=now, parent=parent))

    async def end(self, ref: Ref, reason: Reason, *, now: float) -> Record | None:
        """See `SessionStore.end`."""
        return await self._write(lambda forest: forest.end(ref, reason, now=now))

    async def delete(self, refs: Sequence[Ref], *, fence: int | None = None) -> int:
        """See `SessionStore.delete`."""
        return await self._write(lambda forest: forest.delete(refs, fence=fence))

    async def find(
        self, index: Index, value: bytes | str | float, *, after: bytes = b"", count: int = 100
    ) -> list[Record]:
        """See `SessionStore.find`."""
        return await self._database.read(
            lambda connection: self._rows(connection).find(index, value, after=after, count=count)
        )

    async def claim(self, kinds: Collection[str], *, worker: str, now: float, ttl: float, count: int) -> list[Claim]:
        """See `SessionStore.claim`. The writer is asked only if anything is due."""
        if not await self.find("due", now, count=1):
            return []
        return await self._write(lambda forest: forest.claim(kinds, worker=worker, now=now, ttl=ttl, count=count))


class SqliteLeases(_Trees):
    """Implements `Leases`."""

    async def acquire(
        self, ref: Ref, *, worker: str, now: float, ttl: float, put: Sequence[Record] = (), closing: bool = False
    ) -> Lease | None:
        """See `Leases.acquire`."""
        return await self._write(
            lambda forest: forest.acquire(ref, worker=worker, now=now, ttl=ttl, put=put, closing=closing)
        )

    async def renew(self, lease: Lease, *, now: float, ttl: float, put: Sequence[Record] = ()) -> Lease:
        """See `Leases.renew`."""
        return await self._write(lambda forest: forest.renew(lease, now=now, ttl=ttl, put=put))

    async def release(self, lease: Lease, *, put: Sequence[Record] = ()) -> None:
        """See `Leases.release`."""
        await self._write(lambda forest: forest.release(lease, put=put))
