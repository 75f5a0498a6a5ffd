"""Limits over several shards: a queue before each scope, in the scope's home (E25).

Nodes of one client lie in many shards, so no script sees them all. A new node takes a place in the queue of each scope
that limits it. Who is behind counts those before it as if they were there already; if that could be too many, it waits
for them. Who is first looks at the nodes, decides, and marks what has to go. A place comes with the node's entry in the
scope's home and is given back once the node is written, so a node is counted at least once by the one or the other,
whoever dies when, and a limit is never exceeded. The place of a worker that died lapses: until then one session less
than the limit may be open.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio
from msgspec.structs import replace

from holdfast.core.model import Limit, Policy, Reason, Record, Scope, State
from holdfast.core.policy import expires_at, victims
from holdfast.errors import BadInput, SessionConflict, SessionError, SessionExists, StoreUnavailable
from holdfast.stores.redis.codec import REASON_CODES, numbers, record_of
from holdfast.stores.redis.entries import places, scope_of
from holdfast.stores.redis.sessions import full, records
from holdfast.stores.redis.shards import AT_HOME, HOME, Shards

LAPSE_S: Final = 15.0  # after which what a worker has begun is undone or finished by others
PATIENCE_S: Final = 5.0  # how long a new node waits for those before it; then the limit counts as full
NAP_S: Final = (0.001, 0.05)  # between two looks at a queue: for each that is before us, and at most
TURNS: Final = 50  # how often a decision is made anew because a node to be replaced has changed

MANY: Final = 1_000_000
REFUSALS: Final = (SessionError, BadInput)  # after which it is known that nothing was written

Rivals = list[tuple[bytes, int]]


class Room:
    """The places that a new node has in queues, and what was marked so that it fits."""

    def __init__(self, record: Record, shard: int) -> None:
        self._node = record.key, HOME.pack(shard)
        self._scopes: list[bytes] = []
        self.replaced: list[Record] = []

    def enter(self, scope: bytes) -> None:
        """Note that a place is taken, or may be."""
        self._scopes.append(scope)

    def leave(self, *, refused: bool = False) -> list[bytes]:
        """Return what gives all places back, once; and takes out the entries of a node that was refused."""
        scopes, self._scopes = self._scopes, []
        key, shard = self._node
        entries = [b"-" + scope + key + shard for scope in scopes if refused and scope[:1] in AT_HOME]
        return [*entries, *(b"!" + scope + key for scope in scopes)]


class Queues:
    """Makes room for new nodes, one after the other within each scope."""

    def __init__(
        self, shards: Shards, clock: Callable[[], float], rows: Callable[[Rivals], Awaitable[list[Record]]]
    ) -> None:
        self._shards, self._clock, self._rows = shards, clock, rows

    @asynccontextmanager
    async def room(
        self, record: Record, limits: Sequence[Limit], ancestors: frozenset[bytes], now: float
    ) -> AsyncIterator[Room]:
        """Hold places in the queues while the block creates the node; let what has to go be marked before.

        Raises:
            LimitReached: A limit is full and nothing may be replaced; nothing was marked.
        """
        wanted: dict[bytes, Limit] = {}
        for limit in limits:
            scope = scope_of(limit.scope, record)
            wanted[scope] = min(wanted.get(scope, limit), limit, key=lambda one: one.most)
        room = Room(record, self._shards.of_key(record.tree))
        refused = False
        try:
            standing: dict[bytes, Rivals | None] = {}
            for scope in sorted(wanted):  # in one order for all, so nobody waits in a circle
                room.enter(scope)
                standing[scope] = await self._turn(scope, wanted[scope], record, now)
            crowded = [limit for limit in limits if standing[scope_of(limit.scope, record)] is not None]
            if crowded:
                room.replaced = await self._make_room(record, crowded, standing, ancestors, now)
            yield room
        except REFUSALS as exc:
            refused = not isinstance(exc, SessionExists)
            raise
        finally:
            if places_left := room.leave(refused=refused):
                with anyio.CancelScope(shield=True), suppress(StoreUnavailable):  # else they lapse
                    await self._shards.settle(places_left)

    async def _turn(self, scope: bytes, limit: Limit, record: Record, now: float) -> Rivals | None:
        """Wait until nobody is before us, or it does not matter; return who may count, or None if there is room."""
        deadline = anyio.current_time() + PATIENCE_S
        shard, home = self._shards.of_key(record.tree), self._shards.of_key(scope[1:])
        while True:
            lapse = numbers(self._clock()), numbers(self._clock() + LAPSE_S)
            before, *found = await self._shards.run(
                "reserve", home, scope, record.key, shard, limit.most, *lapse, writes=True
            )
            rivals = await self._children(record) if limit.scope is Scope.PARENT else places(found)
            number = await self._crowd(record.kind, now) if limit.scope is Scope.TOTAL else len(rivals)
            if before + number < limit.most:
                return None
            if not before:
                return rivals
            if anyio.current_time() > deadline:
                raise full(limit, record)
            await anyio.sleep(min(before * NAP_S[0], NAP_S[1]))

    async def _children(self, record: Record) -> Rivals:
        """Return the nodes of its kind that have the same parent."""
        if record.parent is None:
            return []
        shard = self._shards.of_key(record.tree)
        below = records(await self._shards.run("find", shard, "parent", record.parent, b"", MANY))
        return [(row.key, shard) for row in below if row.kind == record.kind]

    async def _crowd(self, kind: str, now: float) -> int:
        """Return how many nodes of a kind live, in all shards."""
        return sum(counts[0] for counts in await self._shards.everywhere("total", kind, numbers(now), 0, b""))

    async def _make_room(
        self,
        record: Record,
        limits: Sequence[Limit],
        standing: dict[bytes, Rivals | None],
        ancestors: frozenset[bytes],
        now: float,
    ) -> list[Record]:
        marked: list[Record] = []
        for _ in range(TURNS):
            leaving: dict[bytes, Record] = {}
            for limit in limits:
                spared = replace(limit, spare=limit.spare | ancestors)
                rivals = standing[scope_of(limit.scope, record)] or []
                chosen = await self._chosen(record, spared, rivals, leaving, now)
                if chosen is None:
                    raise full(limit, record)
                leaving.update((victim.key, victim) for victim in chosen)
            done = [await self._mark(victim, now) for victim in leaving.values()]
            marked += [victim for victim in done if victim is not None]
            if None not in done:
                return marked
        raise SessionConflict("the sessions to be replaced change all the time")

    async def _chosen(
        self, record: Record, limit: Limit, rivals: Rivals, leaving: dict[bytes, Record], now: float
    ) -> list[Record] | None:
        """Return what has to go for one limit, as `core.policy.victims` does."""
        if limit.scope is not Scope.TOTAL:
            value = getattr(record, limit.scope)
            living = [
                row
                for row in await self._rows(rivals)
                if (row.kind, getattr(row, limit.scope), row.state) == (record.kind, value, State.LIVE)
                and expires_at(row) > now
                and row.key not in leaving
            ]
            return victims(limit, living, now)
        excess = await self._crowd(record.kind, now) - len(leaving) + 1 - limit.most
        if excess <= 0:
            return []
        if limit.policy is Policy.REJECT:
            return None
        needed = -1 if limit.policy is Policy.OLDEST else excess + len(leaving)
        answers = await self._shards.everywhere("total", record.kind, numbers(now), needed, b"".join(limit.spare))
        candidates = [row for answer in answers for row in records(answer[1:]) if row.key not in leaving]
        return victims(replace(limit, most=len(candidates) + 1 - excess), candidates, now)

    async def _mark(self, victim: Record, now: float) -> Record | None:
        """Mark a node `replaced`, if it is still as it was when it was chosen."""
        rows = await self._shards.step(
            "end",
            self._shards.of_key(victim.tree),
            *(victim.key, victim.tree, REASON_CODES[Reason.REPLACED], numbers(now), victim.version),
        )
        return record_of(victim.key, rows[0]) if rows else None
