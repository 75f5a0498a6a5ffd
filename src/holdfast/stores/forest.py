"""What the operations on trees and leases mean, once for every store that runs Python beside its rows.

`core.ports` says what each method does; here it is done, synchronously, over `Rows`. Every method checks everything
before it writes anything, so a refusal leaves all rows as they were.
"""

from collections.abc import Collection, Iterable, Sequence

from msgspec.structs import replace

from holdfast.core.model import (
    MAX_DEPTH,
    Claim,
    Created,
    Lease,
    Limit,
    Loaded,
    Policy,
    Reason,
    Record,
    Ref,
    Scope,
    State,
)
from holdfast.core.policy import expires_at, touched, victims
from holdfast.errors import BadInput, LeaseLost, LimitReached, SessionConflict, SessionEnded, SessionExists
from holdfast.stores.rows import Rows

LIVE = State.LIVE


class Forest:
    """The trees of one namespace. See `core.ports.SessionStore` and `core.ports.Leases` for what the methods do."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    # --- sessions

    def create(self, record: Record, limits: Sequence[Limit], *, now: float) -> Created:
        """Add a node below a live chain and within its limits."""
        self._refuse_taken(record)
        above = self._place(record, now)
        replaced = self._make_room(record, limits, above, now)
        if record.held or record.version:
            record = replace(record, held=0, version=0)
        self._rows.insert(record)
        if record.holds:
            self._hold(above, 1)
        return Created(record, tuple(replaced))

    def load(
        self,
        at: Ref | bytes,
        now: float,
        touch_after: float | None = None,
        busy_until: float = 0.0,
        owner: str | None = None,
    ) -> Loaded | None:
        """Return a node of a live chain; record its use if that is asked for and due."""
        rows = self._rows
        if isinstance(at, bytes):
            record = rows.named(at)
        elif (record := rows.whole(at.key)) is not None and record.tree != at.tree:
            return None
        if record is None or (owner is not None and owner != record.owner):
            return None
        if not _lives(record, now):
            return None
        above: tuple[bytes, ...] = ()
        if record.parent is not None:
            ancestors = self._above(record)
            if not all(_lives(ancestor, now) for ancestor in ancestors):
                return None
            above = tuple(ancestor.key for ancestor in ancestors)
        if touch_after is not None:
            used = touched(record, now, touch_after, busy_until)
            if used is not None:
                rows.touch(record, used)
                record = used
        return Loaded(record, above)

    def replace(self, record: Record, *, now: float, fence: int | None = None) -> Record:
        """Write over the same version: below a live chain, or under a fence."""
        stored = self._at(record.ref)
        if stored is None:
            raise SessionConflict(f"node {record.hex} is gone")
        if fence is None:
            self._refuse_ended(stored, now)
        elif self._rows.lease(record.key)[0] != fence:
            raise LeaseLost(f"the lease on node {record.hex} was taken over")
        return self._write(stored, record)

    def rekey(self, record: Record, *, alias: bytes, mark: str, now: float, parent: Ref | None = None) -> Record:
        """Give a live node another alias and, with `parent`, another place."""
        stored = self._at(record.ref)
        if stored is None:
            raise SessionConflict(f"node {record.hex} is gone")
        self._refuse_ended(stored, now)
        _refuse_stale(stored, record)
        if self._rows.named(alias) is not None:
            raise SessionExists("the new id is taken")
        if parent is None:
            renamed = replace(stored, alias=alias, mark=mark, version=stored.version + 1)
        else:
            self._move(stored, parent, now)
            renamed = replace(
                stored, alias=alias, mark=mark, version=stored.version + 1, parent=parent.key, tree=parent.tree
            )
        self._rows.update(stored, renamed)
        return renamed

    def end(self, ref: Ref, reason: Reason, *, now: float) -> Record | None:
        """Mark a LIVE node ENDING, or return None."""
        stored = self._at(ref)
        if stored is None or stored.state is not State.LIVE:
            return None
        return self._mark(stored, reason, now)

    def delete(self, refs: Sequence[Ref], *, fence: int | None = None) -> int:
        """Remove the nodes that have no children, in order; return how many."""
        if fence is not None and refs:
            self._check_fence(refs[-1], fence)
        return sum(self._delete(ref) for ref in refs)

    def claim(self, kinds: Collection[str], *, worker: str, now: float, ttl: float, count: int) -> list[Claim]:
        """Lease what is due and wholly of these kinds, earliest first."""
        known = frozenset(kinds)
        chosen: list[Record] = []
        for record in self._rows.due(now):
            if len(chosen) >= count:
                break
            if record.kind in known and self._rows.kinds_below(record.key) <= known:
                chosen.append(record)
        return [Claim(record, self._lease(record.ref, worker, now + ttl)) for record in chosen]

    # --- leases

    def acquire(
        self, ref: Ref, *, worker: str, now: float, ttl: float, put: Sequence[Record] = (), closing: bool = False
    ) -> Lease | None:
        """Lease a node nobody has leased, and write `put`; None while somebody has."""
        stored = self._bare_at(ref)
        if stored is None:
            raise SessionEnded(f"node {ref.key.hex()[:8]} is gone")
        if not closing:
            self._refuse_ended(stored, now)
        if self._rows.lease(ref.key)[1] > now:
            return None
        self._put(ref.tree, put)
        return self._lease(ref, worker, now + ttl)

    def renew(self, lease: Lease, *, now: float, ttl: float, put: Sequence[Record] = ()) -> Lease:
        """Extend a lease that nobody has taken over, and write `put`."""
        self._check_fence(lease.ref, lease.fence)
        self._put(lease.ref.tree, put)
        self._rows.set_lease(lease.ref.key, lease.fence, now + ttl)
        return replace(lease, until=now + ttl)

    def release(self, lease: Lease, *, put: Sequence[Record] = ()) -> None:
        """Write `put` and let the next one acquire. A lease that went with its node needs no release."""
        if not put and self._bare_at(lease.ref) is None:
            return
        self._check_fence(lease.ref, lease.fence)
        self._put(lease.ref.tree, put)
        self._rows.set_lease(lease.ref.key, lease.fence, 0.0)

    # --- places

    def _at(self, ref: Ref) -> Record | None:
        row = self._rows.whole(ref.key)
        return row if row is not None and row.tree == ref.tree else None

    def _bare_at(self, ref: Ref) -> Record | None:
        row = self._rows.bare(ref.key)
        return row if row is not None and row.tree == ref.tree else None

    def _above(self, record: Record) -> list[Record]:
        """Return the ancestors, bare, nearest first."""
        ancestors: list[Record] = []
        parent = record.parent
        while parent is not None and (row := self._rows.bare(parent)) is not None:
            ancestors.append(row)
            parent = row.parent
        return ancestors

    def _chain(self, ref: Ref) -> list[Record]:
        """Return a node and its ancestors, bare, nearest first; empty if it is absent."""
        stored = self._bare_at(ref)
        return [] if stored is None else [stored, *self._above(stored)]

    def _live_chain(self, ref: Ref, now: float) -> list[Record]:
        chain = self._chain(ref)
        if not chain or not all(_lives(record, now) for record in chain):
            raise SessionEnded(f"node {ref.key.hex()[:8]} has ended, or one above it")
        return chain

    def _below(self, key: bytes) -> list[list[Record]]:
        """Return everything below, bare, level by level."""
        levels: list[list[Record]] = []
        level = list(self._rows.children(key))
        while level:
            levels.append(level)
            level = [child for record in level for child in self._rows.children(record.key)]
        return levels

    # --- checks

    def _refuse_taken(self, record: Record) -> None:
        if self._rows.bare(record.key) is not None:
            raise SessionExists(f"node {record.hex} is there already")
        if record.alias is not None and self._rows.named(record.alias) is not None:
            raise SessionExists("the id is taken")

    def _refuse_ended(self, stored: Record, now: float) -> None:
        alive = _lives(stored, now)
        if not alive or (stored.parent and not all(_lives(ancestor, now) for ancestor in self._above(stored))):
            raise SessionEnded(f"node {stored.hex} has ended, or one above it")

    def _check_fence(self, ref: Ref, fence: int) -> None:
        if self._bare_at(ref) is None or self._rows.lease(ref.key)[0] != fence:
            raise LeaseLost(f"the lease on node {ref.key.hex()[:8]} was taken over, or the node is gone")

    def _place(self, record: Record, now: float) -> list[Record]:
        """Return the live ancestors of a node that is to be created."""
        if record.parent is None:
            if record.tree != record.key:
                raise BadInput("the tree of a root is its own key")
            return []
        above = self._live_chain(Ref(record.tree, record.parent), now)
        _refuse_depth(len(above) + 1)
        return above

    # --- changes

    def _write(self, stored: Record, record: Record) -> Record:
        """Write the record's content over the stored one; what a caller may not change stays."""
        _refuse_stale(stored, record)
        written = replace(
            record,
            parent=stored.parent,
            alias=stored.alias,
            mark=stored.mark,
            kind=stored.kind,
            holds=stored.holds,
            held=stored.held,
            created_at=stored.created_at,
            used_at=max(stored.used_at, record.used_at),
            slid_at=max(stored.slid_at, record.slid_at),
            busy_until=max(stored.busy_until, record.busy_until),
            version=stored.version + 1,
        )
        self._rows.update(stored, written)
        return written

    def _put(self, tree: bytes, records: Sequence[Record]) -> None:
        """Write records of a leased tree: all, or none."""
        pairs = []
        for record in records:
            if record.tree != tree:
                raise BadInput("a record written under a lease belongs to the lease's tree")
            stored = self._at(record.ref)
            if stored is None:
                raise SessionConflict(f"node {record.hex} is gone")
            _refuse_stale(stored, record)
            pairs.append((stored, record))
        if len({record.key for record in records}) < len(records):
            raise SessionConflict("one node is written twice in one step")
        for stored, record in pairs:
            self._write(stored, record)

    def _mark(self, stored: Record, reason: Reason, now: float) -> Record:
        marked = replace(
            stored, state=State.ENDING, reason=reason, due_at=now, ended_at=now, version=stored.version + 1
        )
        self._rows.update(stored, marked)
        return marked

    def _make_room(self, record: Record, limits: Sequence[Limit], above: Sequence[Record], now: float) -> list[Record]:
        """Mark what the limits replace; ancestors of the new node count, but are never replaced."""
        leaving: dict[bytes, Record] = {}
        ancestors = frozenset(ancestor.key for ancestor in above)
        for limit in limits:
            if limit.scope is Scope.TOTAL and limit.policy is Policy.REJECT:  # nobody is looked for, so nobody is read
                if self._rows.living(record.kind, now) - len(leaving) >= limit.most:
                    raise _full(limit, record)
                continue
            rivals = self._rows.rivals(record, limit)
            living = [rival for rival in rivals if rival.key not in leaving and _lives(rival, now)]
            chosen = victims(replace(limit, spare=limit.spare | ancestors), living, now)
            if chosen is None:
                raise _full(limit, record)
            leaving.update((victim.key, victim) for victim in chosen)
        return [self._mark(self._rows.whole(key) or victim, Reason.REPLACED, now) for key, victim in leaving.items()]

    def _move(self, stored: Record, parent: Ref, now: float) -> None:
        """Take what holds out of the old ancestors and into the new ones; carry the subtree to the new tree."""
        chain = self._live_chain(parent, now)
        if any(record.key == stored.key for record in chain):
            raise BadInput("a node cannot hang below itself")
        levels = self._below(stored.key)
        _refuse_depth(len(chain) + 1 + len(levels))
        weight = stored.held + stored.holds
        if weight:
            self._hold(self._above(stored), -weight)
            self._hold(self._chain(parent), weight)
        if stored.tree != parent.tree:
            for record in (record for level in levels for record in level):
                self._rows.update(record, replace(record, tree=parent.tree))

    def _hold(self, ancestors: Iterable[Record], amount: int) -> None:
        for ancestor in ancestors:
            self._rows.update(ancestor, replace(ancestor, held=ancestor.held + amount))

    def _delete(self, ref: Ref) -> bool:
        stored = self._bare_at(ref)
        if stored is None or self._rows.has_children(ref.key):
            return False
        if stored.holds:
            self._hold(self._above(stored), -1)
        self._rows.remove(stored)
        return True

    def _lease(self, ref: Ref, worker: str, until: float) -> Lease:
        fence = self._rows.lease(ref.key)[0] + 1
        self._rows.set_lease(ref.key, fence, until)
        return Lease(ref, worker, fence, until)


def _lives(record: Record, now: float) -> bool:
    return record.state is LIVE and expires_at(record) > now


def _refuse_stale(stored: Record, record: Record) -> None:
    if stored.version != record.version:
        raise SessionConflict(f"node {stored.hex} has version {stored.version}, not {record.version}")


def _refuse_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BadInput(f"a tree is at most {MAX_DEPTH} nodes deep")


def _full(limit: Limit, record: Record) -> LimitReached:
    return LimitReached(f"there are {limit.most} {record.kind} sessions already (limit per {limit.scope})")
