"""What the engine needs of a store: five protocols. Their docstrings are the contract, `StoreContract` its other half.

A store keeps bytes and instants. It reads no clock and decides no expiry by itself: `now` is passed in and
`core.policy.expires_at` says when a record ends. Every method may raise `StoreUnavailable`. Every method is atomic.
A node's *chain* is the node and its ancestors; the chain is live when every record in it is LIVE and
`expires_at > now`. A `Ref` whose tree is not the node's (any more) names nothing. Where two errors apply, the lease
rules over the chain and the chain over the version: LeaseLost, SessionEnded, SessionConflict. What could not be a
tree (deeper than `MAX_DEPTH`, below itself, `put` of another tree) is BadInput.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol

import msgspec

from holdfast.core.model import Claim, Created, Lease, Limit, Loaded, LogEntry, Message, Reason, Record, Ref

PAGE: Final = 200
Index = Literal["key", "tree", "parent", "owner", "client", "kind", "all", "expired", "due"]


class SessionStore(Protocol):
    """Keeps the nodes of the trees."""

    async def create(self, record: Record, limits: Sequence[Limit] = (), *, now: float) -> Created:
        """Add a node; check and insert are one step, so a limit holds under any number of parallel creations.

        A full limit marks as `replaced` what its policy picks (`core.policy.victims`); nodes with `held > 0`,
        `busy_until > now` or a key in `spare` are never picked, nor are ancestors of the new node. A node counts as
        live by its own clocks, whatever its chain. A `holds` node adds one to `held` of every ancestor, which changes
        no version.

        Raises:
            SessionExists: The key or the alias is taken; the old node stays as it was.
            SessionEnded: The parent's chain is not live.
            LimitReached: A limit is full and nothing may be replaced; nothing was marked.
        """
        ...

    async def load(
        self,
        at: Ref | bytes,
        *,
        now: float,
        touch_after: float | None = None,
        busy_until: float = 0.0,
        owner: str | None = None,
    ) -> Loaded | None:
        """Return the node at a place, or with an alias, if its chain is live; else None.

        With `owner`, a node of another owner is None as well, and its owner notices nothing: no use is recorded.

        With `touch_after`, a use is recorded (`used_at`, `slid_at`; see `core.policy.touched`) when the last one was
        recorded at least that many seconds ago, or `busy_until` is later than the stored one. A touch changes neither
        `version` nor `due_at`.
        """
        ...

    async def replace(self, record: Record, *, now: float, fence: int | None = None) -> Record:
        """Write over the same version and return the record one version higher.

        `key`, `tree`, `parent`, `alias`, `mark`, `kind`, `holds`, `held` and `created_at` stay as stored;
        `used_at`, `slid_at` and `busy_until` never shrink. With `fence`, the lease of this node must still have that
        number, and the chain need not be live: a holder may write down what it did while the node was being ended.

        Raises:
            SessionConflict: The node is absent, or has another version.
            SessionEnded: Without `fence`, the chain is not live.
            LeaseLost: With `fence`, somebody has acquired the lease since.
        """
        ...

    async def rekey(self, record: Record, *, alias: bytes, mark: str, now: float, parent: Ref | None = None) -> Record:
        """Give a node another alias and, with `parent`, hang it and all below it there; return it one version higher.

        The old alias is dead at once; key, payload and children stay.

        Raises:
            SessionConflict: The node is absent, or has another version.
            SessionEnded: The node's chain, or the new parent's, is not live.
            SessionExists: The new alias is taken.
        """
        ...

    async def end(self, ref: Ref, reason: Reason, *, now: float) -> Record | None:
        """Mark a LIVE node ENDING with `due_at = ended_at = now`, one version higher, and return it.

        None if it is absent or already marked. From then on nothing in its subtree loads. Expired nodes are marked
        all the same: something outside may still hang on them.
        """
        ...

    async def delete(self, refs: Sequence[Ref], *, fence: int | None = None) -> int:
        """Remove nodes, in the order given, with their event logs and leases; return how many were removed.

        A node that is absent or has children is passed over. A `holds` node takes one from `held` of its ancestors.
        With `fence`, the lease of the *last* node must have that number, else LeaseLost and nothing is removed.
        """
        ...

    async def find(
        self, index: Index, value: bytes | str | float, *, after: bytes = b"", count: int = 100
    ) -> list[Record]:
        """Return up to `count` nodes in any state, live or not.

        `key`, `tree`, `parent` take a key; `owner`, `client`, `kind` a text; `all` ignores its value. These come
        ordered by key, beginning after the key `after`. `expired` takes an instant and gives LIVE nodes whose
        `expires_at` is at or before it, `due` those whose `due_at` is; both earliest first, `after` is ignored.
        """
        ...

    async def claim(self, kinds: Collection[str], *, worker: str, now: float, ttl: float, count: int) -> list[Claim]:
        """Lease up to `count` nodes with `due_at <= now`, earliest first, and return them.

        Left alone are nodes leased by anybody (until their lease runs out), and nodes of which any part of the
        subtree is of a kind not in `kinds`: this process could not close them (E30).
        """
        ...


class Leases(Protocol):
    """Who may act for a node. A lease is kept beside its node, so writing under it is one step with checking it."""

    async def acquire(
        self, ref: Ref, *, worker: str, now: float, ttl: float, put: Sequence[Record] = (), closing: bool = False
    ) -> Lease | None:
        """Lease the node until `now + ttl`, or return None while another lease on it has not run out.

        The fence is one higher than ever before for this node. `put` are records of the same tree, written in the
        same step as by `replace` with a fence (their versions must match). With `closing` the chain need not be live.
        A worker's own living lease refuses as well: one request at a time.

        Raises:
            SessionEnded: The node is absent, or (without `closing`) its chain is not live.
            SessionConflict: A record of `put` has another version; nothing was leased or written.
        """
        ...

    async def renew(self, lease: Lease, *, now: float, ttl: float, put: Sequence[Record] = ()) -> Lease:
        """Extend the lease to `now + ttl`, even one that has run out if nobody took it; raise LeaseLost otherwise."""
        ...

    async def release(self, lease: Lease, *, put: Sequence[Record] = ()) -> None:
        """Write `put` and give the lease back. A lease that somebody else has since: LeaseLost, nothing written.

        If the node has gone, there is nothing to give back; only with `put` is that LeaseLost.
        """
        ...


class EventLog(Protocol):
    """Events of streams, each stream below one node, with which it goes."""

    async def append(self, ref: Ref, stream: str, data: bytes, *, now: float) -> int:
        """Add an event and return its number: 1 for a stream's first. Raises SessionEnded if the node is absent."""
        ...

    async def read(self, ref: Ref, stream: str, *, after: int = 0, count: int = 100) -> list[LogEntry]:
        """Return up to `count` events numbered higher than `after`, in order; empty for an unknown stream."""
        ...

    async def trim(self, ref: Ref, stream: str, *, keep: int = 0, before: float | None = None) -> int:
        """Drop all but the newest `keep` events; with `before`, only those older than it. Return how many.

        Without either the stream is forgotten: its next event is its first.
        """
        ...

    async def prune(self, ref: Ref, *, count: int, size: int, before: float, spare: Collection[str] = ()) -> int:
        """Drop the oldest events of a node, of whichever streams, and return how many.

        Left are at most `count` of them with at most `size` bytes in all, none older than `before`; and in any case
        the newest of each stream in `spare`. An event counts as no older than those before it in its stream, so what
        is left of a stream has no gaps. Of two that are as old, the lower number goes first, then the stream whose
        name is less. A stream of which nothing is left is forgotten.
        """
        ...


class Channel(Protocol):
    """Tells workers of changes. A message is a hint, never the truth: it may be lost, and nothing may rest on it."""

    async def publish(self, topic: str, data: bytes = b"") -> None:
        """Deliver to everyone who subscribes now, this process included."""
        ...

    def subscribe(self, *topics: str) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """Receive what is published after entering. A subscriber 1,000 messages behind loses the oldest.

        When the store stops telling what other processes publish, for example because a connection was lost, the
        iterator ends after what had come: subscribe again, and look for what was missed (`core.together.listen`).
        """
        ...


class Counters(Protocol):
    """Numbers that all workers share."""

    async def take(self, name: str, *, rate: float, burst: float, now: float, cost: float = 1.0) -> float:
        """Take `cost` from a token bucket filled with `rate` per second up to `burst`.

        Return 0.0 if granted, else the seconds to wait until it would be, then nothing was taken; infinity for a cost
        above the burst. The rate must be above 0 (BadInput).
        """
        ...

    async def once(self, name: str, *, now: float, ttl: float) -> bool:
        """Return True the first time within `ttl` seconds, and False for every repeat (a replay cache)."""
        ...

    async def add(self, name: str, amount: int = 1, *, now: float, ttl: float | None = None) -> int:
        """Add to a counter and return its new value; with `ttl` it starts anew that long after its first addition."""
        ...

    async def lift(self, name: str, to: int, *, now: float, ttl: float | None = None) -> int:
        """Raise a counter to a number, unless it is higher, and return its value; `ttl` is as with `add`."""
        ...

    async def read(self, names: Sequence[str], *, now: float) -> list[int]:
        """Return the counters' values, 0 for those that are not there."""
        ...


class Store(msgspec.Struct, frozen=True):
    """The five ports of one opened store. `shared` says that another process may use the same data."""

    sessions: SessionStore
    leases: Leases
    events: EventLog
    channel: Channel
    counters: Counters
    url: str
    shared: bool


async def each(
    sessions: SessionStore, index: Index, value: bytes | str | float, *, page: int = PAGE
) -> AsyncIterator[Record]:
    """Yield all records of an index that is ordered by key, in any state, `page` of them with each trip."""
    after = b""
    while found := await sessions.find(index, value, after=after, count=page):
        for record in found:
            yield record
        if len(found) < page:
            return
        after = found[-1].key
