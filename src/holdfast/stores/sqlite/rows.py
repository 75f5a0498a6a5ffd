"""The rows of the SQLite store: `stores.rows.Rows` in SQL, one connection and one transaction at a time.

A state that nobody knows is read as STRANDED: it lives for nobody, and is closed like what waits for that by hand.
So is a row with something of another type in a column, which SQLite lets anybody write.
"""

# ruff: noqa: S608 - a namespace is checked before it stands in a statement, and values are bound

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from holdfast.core.model import Limit, Reason, Record, Scope, State
from holdfast.core.policy import expires_at
from holdfast.core.ports import Index

FIELDS: Final = Record.__struct_fields__
COLUMNS: Final = ", ".join(FIELDS)
BARE: Final = ", ".join("x''" if name == "payload" else name for name in FIELDS)
MARKS: Final = ", ".join("?" * (len(FIELDS) + 1))
COMMON: Final = 4_096  # a kind with that many rows is found by walking along the keys, a rare one by sorting its rows
MINUTE_S: Final = 60.0
FAR: Final = 2.0**52  # stands for every later instant, infinity included
EXPIRES: Final = (  # core.policy.expires_at
    "CASE WHEN held THEN ends_at ELSE min(ends_at, coalesce(slid_at + sliding, ends_at), "
    "coalesce(used_at + idle, ends_at)) END"
)
NOTHING: Final = {"kind": "", "state": State.STRANDED, "created_at": 0.0, "used_at": 0.0, "ends_at": 0.0}
STATES: Final = {state.value: state for state in State}
REASONS: Final = {reason.value: reason for reason in Reason}
SCOPES: Final = {Scope.CLIENT: "client", Scope.OWNER: "owner", Scope.PARENT: "parent", Scope.TOTAL: "kind"}


class Statements:
    """The statements over one namespace's nodes."""

    def __init__(self, namespace: str) -> None:
        node, stream, event = (f'"{namespace}/{table}"' for table in ("node", "stream", "event"))
        self.node = node
        self.whole = f"SELECT {COLUMNS} FROM {node} WHERE key = ?"
        self.bare = f"SELECT {BARE} FROM {node} WHERE key = ?"
        self.named = f"SELECT {COLUMNS} FROM {node} WHERE alias = ?"
        self.insert = f"INSERT INTO {node} ({COLUMNS}, bucket) VALUES ({MARKS})"
        self.touch = f"UPDATE {node} SET used_at = ?, slid_at = ?, busy_until = ? WHERE key = ?"
        self.move = f"UPDATE {node} SET bucket = ? WHERE key = ?"
        self.remove = f"DELETE FROM {node} WHERE key = ?"
        self.remove_streams = f"DELETE FROM {stream} WHERE node = ?"
        self.remove_events = f"DELETE FROM {event} WHERE node = ?"
        self.children = f"SELECT {BARE} FROM {node} WHERE parent = ? ORDER BY key"
        self.has_children = f"SELECT 1 FROM {node} WHERE parent = ? LIMIT 1"
        self.due = f"SELECT key FROM {node} WHERE due_at <= ? AND until <= ? ORDER BY due_at, key"
        self.kinds_below = (
            f"WITH RECURSIVE below (key, kind) AS (SELECT key, kind FROM {node} WHERE parent = ? UNION ALL "
            f"SELECT n.key, n.kind FROM {node} AS n JOIN below ON n.parent = below.key) SELECT DISTINCT kind FROM below"
        )
        self.lease = f"SELECT fence, until FROM {node} WHERE key = ?"
        self.set_lease = f"UPDATE {node} SET fence = ?, until = ? WHERE key = ?"
        self.all = f"SELECT {COLUMNS} FROM {node} WHERE key > ? ORDER BY key LIMIT ?"
        self.expired = (
            f"SELECT {COLUMNS} FROM {node} WHERE bucket <= ? AND {EXPIRES} <= ? ORDER BY bucket, {EXPIRES}, key LIMIT ?"
        )
        self.tree = (
            f"SELECT {COLUMNS} FROM {node} WHERE key IN (SELECT key FROM {node} WHERE key = ?1 AND parent IS NULL "
            f"UNION ALL SELECT key FROM {node} WHERE tree = ?1 AND parent IS NOT NULL) AND key > ?2 "
            "ORDER BY key LIMIT ?3"
        )
        self.common = f"SELECT {COLUMNS} FROM {node} WHERE key > ?2 AND +kind = ?1 ORDER BY key LIMIT ?3"
        self.of_kind = f"SELECT count(*) FROM {node} WHERE kind = ?"
        self.ended = f"SELECT count(*) FROM {node} WHERE due_at IS NOT NULL AND +kind = ? AND state <> 'live'"
        self.run_out = f"SELECT count(*) FROM {node} WHERE bucket <= ? AND {EXPIRES} <= ? AND +kind = ?"
        self.due_rows = f"SELECT {COLUMNS} FROM {node} WHERE due_at <= ? ORDER BY due_at, key LIMIT ?"

    def find(self, column: str) -> str:
        """Return the statement that pages through the rows with one value."""
        return f"SELECT {COLUMNS} FROM {self.node} WHERE {column} = ? AND key > ? ORDER BY key LIMIT ?"

    def crowd(self, column: str) -> str:
        """Return the statement that counts rows with one value, up to a number."""
        return f"SELECT count(*) FROM (SELECT 1 FROM {self.node} WHERE {column} = ? LIMIT ?)"

    def rivals(self, column: str) -> str:
        """Return the statement for the live rows of one value and one kind; the plus keeps it off the kind's index."""
        return f"SELECT {BARE} FROM {self.node} WHERE {column} = ? AND +kind = ? AND state = 'live'"

    def update(self, columns: tuple[str, ...]) -> str:
        """Return the statement that writes some columns of one row."""
        return f"UPDATE {self.node} SET {' = ?, '.join(columns)} = ? WHERE key = ?"


class SqliteRows:
    """Implements `stores.rows.Rows` over a connection in a transaction."""

    __slots__ = ("_run", "_sql")

    def __init__(self, connection: sqlite3.Connection, namespace: str) -> None:
        self._run, self._sql = connection.execute, statements(namespace)

    def whole(self, key: bytes) -> Record | None:
        """Return the row with this key."""
        return _one(self._run(self._sql.whole, (key,)))

    def bare(self, key: bytes) -> Record | None:
        """Return the row with this key, without its payload."""
        return _one(self._run(self._sql.bare, (key,)))

    def named(self, alias: bytes) -> Record | None:
        """Return the row with this alias."""
        return _one(self._run(self._sql.named, (alias,)))

    def insert(self, record: Record) -> None:
        """Add a row whose key and alias are free."""
        self._run(self._sql.insert, (*_values(record), _bucket(record)))

    def update(self, old: Record, new: Record) -> None:
        """Write the columns that differ."""
        changed = {
            name: after
            for name, before, after in zip(FIELDS, _values(old), _values(new), strict=True)
            if before != after
        }
        bucket = _bucket(new)
        if bucket != _bucket(old):
            changed["bucket"] = bucket
        if changed:
            self._run(self._sql.update(tuple(changed)), (*changed.values(), old.key))

    def touch(self, old: Record, new: Record) -> None:
        """Write the columns of use, and the minute of expiry if it is another."""
        self._run(self._sql.touch, (new.used_at, new.slid_at, new.busy_until, old.key))
        if (minute := _bucket(new)) != _bucket(old):
            self._run(self._sql.move, (minute, old.key))

    def remove(self, record: Record) -> None:
        """Remove a row, with its lease in it, and its event logs."""
        self._run(self._sql.remove, (record.key,))
        if self._run(self._sql.remove_streams, (record.key,)).rowcount:
            self._run(self._sql.remove_events, (record.key,))

    def children(self, key: bytes) -> Sequence[Record]:
        """Return the rows directly below, without their payloads."""
        return [_record(row) for row in self._run(self._sql.children, (key,))]

    def has_children(self, key: bytes) -> bool:
        """Say whether anything is directly below."""
        return self._run(self._sql.has_children, (key,)).fetchone() is not None

    def rivals(self, record: Record, limit: Limit) -> list[Record]:
        """Return the LIVE rows of the record's kind in the limit's scope, unless there are few."""
        column = SCOPES[limit.scope]
        value = getattr(record, column)
        if self._crowd(column, value, max(limit.most, 0)) < limit.most:
            return []
        return [_record(row) for row in self._run(self._sql.rivals(column), (value, record.kind))]

    def living(self, kind: str, now: float) -> int:
        """Return how many rows of a kind live: all, less those that were ended, which are due, or ran out."""
        counts = (
            self._run(self._sql.of_kind, (kind,)),
            self._run(self._sql.ended, (kind,)),
            self._run(self._sql.run_out, (_minute(now), now, kind)),
        )
        whole, ended, run_out = (int(count.fetchone()[0]) for count in counts)
        return whole - ended - run_out

    def due(self, now: float) -> Iterator[Record]:
        """Yield the rows with `due_at <= now` whose lease has run out, earliest first."""
        rows = (self.whole(key) for (key,) in self._run(self._sql.due, (now, now)))
        return (row for row in rows if row is not None)

    def kinds_below(self, key: bytes) -> set[str]:
        """Return the kinds of everything below."""
        return {kind for (kind,) in self._run(self._sql.kinds_below, (key,))}

    def lease(self, key: bytes) -> tuple[int, float]:
        """Return the fence and the end of a node's last lease."""
        fence, until = self._run(self._sql.lease, (key,)).fetchone() or (0, 0.0)
        return fence, until

    def set_lease(self, key: bytes, fence: int, until: float) -> None:
        """Write fence and end of a node's lease."""
        self._run(self._sql.set_lease, (fence, until, key))

    def find(self, index: Index, value: bytes | str | float, *, after: bytes, count: int) -> list[Record]:
        """Answer `SessionStore.find`."""
        most = max(count, 0)
        match index, value:
            case "expired", int() | float():
                found = self._run(self._sql.expired, (_minute(value), value, most))
            case "due", int() | float():
                found = self._run(self._sql.due_rows, (value, most))
            case "all", _:
                found = self._run(self._sql.all, (after, most))
            case "tree", _:
                found = self._run(self._sql.tree, (value, after, most))
            case "kind", _ if self._crowd("kind", value, COMMON) == COMMON:
                found = self._run(self._sql.common, (value, after, most))
            case _:
                found = self._run(self._sql.find(index), (value, after, most))
        return [_record(row) for row in found]

    def _crowd(self, column: str, value: Any, most: int) -> int:
        """Return how many rows have the value in the column, counted up to `most`."""
        [crowd] = self._run(self._sql.crowd(column), (value, most)).fetchone()
        return int(crowd)


@cache
def statements(namespace: str) -> Statements:
    """Return the statements over a namespace's nodes."""
    return Statements(namespace)


def _one(found: sqlite3.Cursor) -> Record | None:
    row = found.fetchone()
    return None if row is None else _record(row)


def _record(row: tuple[Any, ...]) -> Record:
    fields = dict(zip(FIELDS, row, strict=True))
    fields["state"], fields["reason"] = STATES.get(fields["state"], State.STRANDED), REASONS.get(fields["reason"])
    fields["holds"] = fields["holds"] != 0
    try:
        return msgspec.convert(fields, Record)
    except msgspec.ValidationError:
        texts = {name: fields[name] for name in ("kind", "label") if isinstance(fields[name], str)}
        return Record(**{**NOTHING, **texts, "key": fields["key"], "tree": fields["key"]})


def _values(record: Record) -> tuple[Any, ...]:
    """Return the columns of a record; the driver is slow with what is not exactly str or int."""
    return tuple(_plain(value) for value in astuple(record))


def _plain(value: Any) -> Any:
    match value:
        case State() | Reason():
            return value.value
        case bool():
            return int(value)
        case _:
            return value


def _bucket(record: Record) -> int | None:
    return _minute(expires_at(record)) if record.state is State.LIVE else None


def _minute(instant: float) -> int:
    return int(min(instant, FAR) // MINUTE_S)
