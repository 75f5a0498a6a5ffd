"""Sessions and leases in PostgreSQL: one statement per call. What they do stands in `functions.sql`."""

# ruff: noqa: S608 - the statements are put together from names of ours only, and values are bound

from collections.abc import Collection, Sequence
from typing import Final

from msgspec.structs import replace

from holdfast.core.model import Claim, Created, Lease, Limit, Loaded, Reason, Record, Ref
from holdfast.core.policy import touched
from holdfast.core.ports import Index
from holdfast.stores.postgres.database import Database
from holdfast.stores.postgres.rows import COLUMNS, cap_of, record_of, records_of, row_of
from holdfast.stores.postgres.schema import placed

FROM_NODE: Final = f"SELECT {COLUMNS} FROM holdfast.node"
LOAD: Final = (
    f"SELECT {COLUMNS}, above, CASE WHEN $3::float8 IS NOT NULL AND ($2 - used_at >= $3 OR $4::float8 > busy_until) "
    "THEN holdfast.touch(key, $2, $4) END FROM holdfast.node WHERE {at} AND state = 'live' AND expires_at > $2 "
    "AND ($5::text IS NULL OR owner = $5) AND (parent IS NULL OR NOT holdfast.cut(above, $2))"
)
KEPT: Final = ("parent", "alias", "mark", "kind", "holds", "held", "created_at", "used_at", "slid_at", "busy_until")
FINDS: Final[dict[Index, str]] = {
    "key": f"{FROM_NODE} WHERE key = $1 AND key > $2 LIMIT $3",
    "all": f"{FROM_NODE} WHERE $1::bytea IS NOT NULL AND key > $2 ORDER BY key LIMIT $3",
    "tree": (
        f"{FROM_NODE} WHERE key = $1 AND parent IS NULL AND key > $2 UNION ALL "
        f"{FROM_NODE} WHERE tree = $1 AND parent IS NOT NULL AND key > $2 ORDER BY key LIMIT $3"
    ),
    **{
        index: f"{FROM_NODE} WHERE {index} = $1 AND key > $2 ORDER BY key LIMIT $3"
        for index in ("parent", "owner", "client", "kind")
    },
    "expired": (
        f"{FROM_NODE} WHERE bucket <= holdfast.bucket($1) AND expires_at <= $1 AND $2::bytea IS NOT NULL "
        "ORDER BY bucket, expires_at, key LIMIT $3"
    ),
    "due": f"{FROM_NODE} WHERE due_at <= $1 AND $2::bytea IS NOT NULL ORDER BY due_at, key LIMIT $3",
}


class PostgresSessions:
    """Implements `SessionStore`."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._rows, self._value = database.rows, database.value
        self._load = placed(LOAD.format(at="key = $1 AND tree = $6"), namespace)
        self._look_up = placed(LOAD.format(at="alias = $1"), namespace)
        self._finds = {index: placed(statement, namespace) for index, statement in FINDS.items()}
        columns = placed(f"SELECT {COLUMNS} FROM holdfast.", namespace)
        self._create = f"{columns}create_node($1, $2, $3)"
        self._replace = placed(f"SELECT version, {', '.join(KEPT)} FROM holdfast.replace_node($1, $2, $3)", namespace)
        self._rekey = f"{columns}rekey_node($1, $2, $3, $4, $5, $6, $7, $8)"
        self._end = f"{columns}end_node($1, $2, $3, $4)"
        self._delete = placed("SELECT holdfast.delete_nodes($1, $2, $3)", namespace)
        self._claim = placed(f"SELECT {COLUMNS}, fence FROM holdfast.claim_nodes($1, $2, $3, $4)", namespace)

    async def create(self, record: Record, limits: Sequence[Limit] = (), *, now: float) -> Created:
        """See `SessionStore.create`."""
        rows = await self._rows(self._create, row_of(record), [cap_of(limit) for limit in limits], now)
        if record.held or record.version:
            record = replace(record, held=0, version=0)
        return Created(record, tuple(records_of(rows)))

    async def load(
        self,
        at: Ref | bytes,
        *,
        now: float,
        touch_after: float | None = None,
        busy_until: float = 0.0,
        owner: str | None = None,
    ) -> Loaded | None:
        """See `SessionStore.load`. The server writes only if a use is to be recorded (E8)."""
        if isinstance(at, Ref):
            rows = await self._rows(self._load, at.key, now, touch_after, busy_until, owner, at.tree)
        else:
            rows = await self._rows(self._look_up, at, now, touch_after, busy_until, owner)
        if not rows:
            return None
        row = rows[0]
        record = record_of(row)
        if touch_after is not None:
            record = touched(record, now, touch_after, busy_until) or record
        return Loaded(record, tuple(row[26]))

    async def replace(self, record: Record, *, now: float, fence: int | None = None) -> Record:
        """See `SessionStore.replace`."""
        [row] = await self._rows(self._replace, row_of(record), now, fence)
        return replace(record, **dict(row))

    async def rekey(self, record: Record, *, alias: bytes, mark: str, now: float, parent: Ref | None = None) -> Record:
        """See `SessionStore.rekey`."""
        tree, key = (None, None) if parent is None else (parent.tree, parent.key)
        [row] = await self._rows(self._rekey, record.tree, record.key, record.version, alias, mark, now, tree, key)
        return record_of(row)

    async def end(self, ref: Ref, reason: Reason, *, now: float) -> Record | None:
        """See `SessionStore.end`."""
        rows = await self._rows(self._end, ref.tree, ref.key, reason.value, now)
        return record_of(rows[0]) if rows else None

    async def delete(self, refs: Sequence[Ref], *, fence: int | None = None) -> int:
        """See `SessionStore.delete`."""
        if not refs:
            return 0
        gone: int = await self._value(self._delete, [ref.tree for ref in refs], [ref.key for ref in refs], fence)
        return gone

    async def find(
        self, index: Index, value: bytes | str | float, *, after: bytes = b"", count: int = 100
    ) -> list[Record]:
        """See `SessionStore.find`."""
        if index == "all":
            value = b""
        return records_of(await self._rows(self._finds[index], value, after, max(count, 0)))

    async def claim(self, kinds: Collection[str], *, worker: str, now: float, ttl: float, count: int) -> list[Claim]:
        """See `SessionStore.claim`."""
        rows = await self._rows(self._claim, list(kinds), now, ttl, max(count, 0))
        claims = [(record_of(row), row["fence"]) for row in rows]
        claims.sort(key=lambda claim: (claim[0].due_at or 0.0, claim[0].key))
        return [Claim(record, Lease(record.ref, worker, fence, now + ttl)) for record, fence in claims]


class PostgresLeases:
    """Implements `Leases`."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._value = database.value
        self._acquire = placed("SELECT holdfast.acquire_lease($1, $2, $3, $4, $5, $6)", namespace)
        self._keep = placed("SELECT holdfast.keep_lease($1, $2, $3, $4, $5)", namespace)

    async def acquire(
        self, ref: Ref, *, worker: str, now: float, ttl: float, put: Sequence[Record] = (), closing: bool = False
    ) -> Lease | None:
        """See `Leases.acquire`."""
        fence = await self._value(self._acquire, ref.tree, ref.key, now, ttl, [row_of(r) for r in put], closing)
        return None if fence is None else Lease(ref, worker, fence, now + ttl)

    async def renew(self, lease: Lease, *, now: float, ttl: float, put: Sequence[Record] = ()) -> Lease:
        """See `Leases.renew`."""
        await self._keep_until(lease, now + ttl, put)
        return replace(lease, until=now + ttl)

    async def release(self, lease: Lease, *, put: Sequence[Record] = ()) -> None:
        """See `Leases.release`."""
        await self._keep_until(lease, 0.0, put)

    async def _keep_until(self, lease: Lease, until: float, put: Sequence[Record]) -> None:
        ref = lease.ref
        await self._value(self._keep, ref.tree, ref.key, lease.fence, until, [row_of(r) for r in put])
