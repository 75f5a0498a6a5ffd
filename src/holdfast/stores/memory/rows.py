"""The rows of the memory store: dictionaries, and the indexes that `find` and the limits read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from holdfast.core.model import Limit, LogEntry, Record, Scope, State
from holdfast.core.policy import expires_at
from holdfast.core.ports import Index
from holdfast.stores.shelf import Index as KeyIndex
from holdfast.stores.shelf import Shelf, Timeline


class Stream:
    """The events of one stream."""

    __slots__ = ("entries", "last")

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.last = 0


class MemoryRows:
    """Implements `stores.rows.Rows`; a record is kept as the value it came as."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, Record] = {}
        self._aliases: dict[bytes, bytes] = {}
        self._leases: dict[bytes, tuple[int, float]] = {}
        self.logs: dict[bytes, dict[str, Stream]] = {}
        self._keys: Shelf[bytes] = Shelf()
        self._kinds, self._owners, self._clients, self._parents = KeyIndex(), KeyIndex(), KeyIndex(), KeyIndex()
        self._expiry, self._due = Timeline(), Timeline()
        self._living: Counter[str] = Counter()  # rows in state LIVE, by kind
        self.whole = self.bare = self._nodes.get

    def named(self, alias: bytes) -> Record | None:
        """Return the row with this alias."""
        key = self._aliases.get(alias)
        return None if key is None else self._nodes[key]

    def insert(self, record: Record) -> None:
        """Add a row whose key and alias are free."""
        key = record.key
        self._nodes[key] = record
        self._keys.add(key)
        self._kinds.add(record.kind, key)
        self._owners.add(record.owner, key)
        self._clients.add(record.client, key)
        if record.parent is not None:
            self._parents.add(record.parent, key)
        if record.alias is not None:
            self._aliases[record.alias] = key
        self._expiry.move(key, None, _expiry(record))
        self._due.move(key, None, record.due_at)
        self._living[record.kind] += record.state is State.LIVE

    def update(self, old: Record, new: Record) -> None:
        """Replace a row, and move it in the indexes that it changes."""
        key = old.key
        self._nodes[key] = new
        self._expiry.move(key, _expiry(old), _expiry(new))
        if old.state is not new.state:
            self._living[old.kind] += (new.state is State.LIVE) - (old.state is State.LIVE)
        if old.due_at is not new.due_at:
            self._due.move(key, old.due_at, new.due_at)
        if old.owner != new.owner:
            _reindex(self._owners, key, old.owner, new.owner)
        if old.client != new.client:
            _reindex(self._clients, key, old.client, new.client)
        if old.alias != new.alias:
            self._rename(key, old.alias, new.alias)
        if old.parent != new.parent:
            _reindex(self._parents, key, old.parent, new.parent)

    def touch(self, old: Record, new: Record) -> None:
        """Replace a LIVE row by one that was used later."""
        self._nodes[old.key] = new
        self._expiry.move(old.key, expires_at(old), expires_at(new))

    def remove(self, record: Record) -> None:
        """Remove a row with its lease and its event logs."""
        key = record.key
        del self._nodes[key]
        self._keys.remove(key)
        self._kinds.discard(record.kind, key)
        self._owners.discard(record.owner, key)
        self._clients.discard(record.client, key)
        if record.parent is not None:
            self._parents.discard(record.parent, key)
        self._rename(key, record.alias, None)
        self._expiry.move(key, _expiry(record), None)
        self._living[record.kind] -= record.state is State.LIVE
        self._due.move(key, record.due_at, None)
        self._leases.pop(key, None)
        self.logs.pop(key, None)

    def children(self, key: bytes) -> Sequence[Record]:
        """Return the rows directly below."""
        return self._records(self._parents.keys(key))

    def has_children(self, key: bytes) -> bool:
        """Say whether anything is directly below."""
        return self._parents.count(key) > 0

    def rivals(self, record: Record, limit: Limit) -> list[Record]:
        """Return the LIVE rows of the record's kind in the limit's scope, unless there are few."""
        index, value = self._scope(record, limit.scope)
        if value is None or min(index.count(value), self._kinds.count(record.kind)) < limit.most:
            return []
        rows = self._records(index.keys(value))
        return [row for row in rows if row.kind == record.kind and row.state is State.LIVE]

    def living(self, kind: str, now: float) -> int:
        """Return how many rows of a kind live by their own clocks: those in state LIVE, less those that ran out."""
        return self._living[kind] - sum(row.kind == kind for row in self._until_expired(now))

    def due(self, now: float) -> Iterator[Record]:
        """Yield the rows with `due_at <= now` whose lease has run out, earliest first."""
        return (row for row in self._until_due(now) if self.lease(row.key)[1] <= now)

    def kinds_below(self, key: bytes) -> set[str]:
        """Return the kinds of everything below."""
        return {record.kind for record in self._subtree(key)}

    def lease(self, key: bytes) -> tuple[int, float]:
        """Return the fence and the end of a node's last lease."""
        return self._leases.get(key, (0, 0.0))

    def set_lease(self, key: bytes, fence: int, until: float) -> None:
        """Write fence and end of a node's lease."""
        self._leases[key] = (fence, until)

    def find(self, index: Index, value: bytes | str | float, *, after: bytes, count: int) -> list[Record]:
        """Answer `SessionStore.find`."""
        return list(islice(self._found(index, value, after), max(count, 0)))

    def _found(self, index: Index, value: bytes | str | float, after: bytes) -> Iterator[Record]:
        match index, value:
            case "expired", int() | float():
                return self._until_expired(value)
            case "due", int() | float():
                return self._until_due(value)
            case "all", _:
                return map(self._nodes.__getitem__, self._keys.after(after))
            case "key", bytes():
                return (self._nodes[key] for key in (value,) if key in self._nodes and key > after)
            case "tree", bytes():
                return iter(sorted((row for row in self._tree(value) if row.key > after), key=lambda row: row.key))
            case _:
                indexes = {"parent": self._parents, "owner": self._owners, "client": self._clients, "kind": self._kinds}
                return map(self._nodes.__getitem__, indexes[index].keys(value, after))

    def _until_expired(self, instant: float) -> Iterator[Record]:
        for keys in self._expiry.until(instant):
            ends = sorted((expires_at(self._nodes[key]), key) for key in keys)
            yield from (self._nodes[key] for end, key in ends if end <= instant)

    def _until_due(self, instant: float) -> Iterator[Record]:
        for keys in self._due.until(instant):
            dues = [(row.due_at, row.key) for row in self._records(keys) if row.due_at is not None]
            yield from (self._nodes[key] for due_at, key in sorted(dues) if due_at <= instant)

    def _scope(self, record: Record, scope: Scope) -> tuple[KeyIndex, bytes | str | None]:
        match scope:
            case Scope.CLIENT:
                return self._clients, record.client
            case Scope.OWNER:
                return self._owners, record.owner
            case Scope.PARENT:
                return self._parents, record.parent
            case Scope.TOTAL:
                return self._kinds, record.kind

    def _records(self, keys: Iterable[bytes]) -> list[Record]:
        nodes = self._nodes
        return [nodes[key] for key in keys]

    def _tree(self, key: bytes) -> Iterator[Record]:
        root = self._nodes.get(key)
        if root is not None and root.parent is None:
            yield root
            yield from self._subtree(key)

    def _subtree(self, key: bytes) -> Iterator[Record]:
        for child in self.children(key):
            yield child
            yield from self._subtree(child.key)

    def _rename(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        if old is not None:
            del self._aliases[old]
        if new is not None:
            self._aliases[new] = key


def _expiry(record: Record) -> float | None:
    return expires_at(record) if record.state is State.LIVE else None


def _reindex(index: KeyIndex, key: bytes, old: bytes | str | None, new: bytes | str | None) -> None:
    if old is not None:
        index.discard(old, key)
    if new is not None:
        index.add(new, key)
