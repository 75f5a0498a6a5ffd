"""Sessions over several shards, as a Cluster needs them: what one script cannot do is done in steps.

Within a tree everything is as atomic as on one server. What spans shards keeps its promises in this way:

- An alias is reserved in its home before its node is written, and lapses if it never is. A first load by alias asks
  the home, and then the node's shard. The row is what counts: an entry in a home that no row bears out finds nothing.
- Limits: see `queues`. Moves into another tree: see `moving`.
- What is found by owner or client is found through its home; by kind, time, or at all, in all shards. A home is told
  after the row is written. A worker that dies in between leaves a new session, whose id nobody was told, out of its
  owner's and client's; or a session under the owner it had before. `holdfast store check` tells, `migrate` mends.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from msgspec.structs import replace

from holdfast.core.model import KEY_BYTES, Claim, Created, Limit, Policy, Record, Ref, Scope
from holdfast.core.policy import expires_at
from holdfast.core.ports import Index
from holdfast.errors import BadInput, SessionEnded, SessionExists
from holdfast.stores.redis.codec import numbers, record_of
from holdfast.stores.redis.entries import alias_entry, names_of, places
from holdfast.stores.redis.moving import Moves
from holdfast.stores.redis.queues import LAPSE_S, REFUSALS, Queues
from holdfast.stores.redis.sessions import NOWHERE, RedisSessions, records, sought
from holdfast.stores.redis.shards import Shards, gathered

FEW = 8  # nodes that a shard is asked for at least, where all are asked; entries of one name


class SpreadSessions(RedisSessions):
    """Implements `SessionStore` over several shards."""

    def __init__(self, shards: Shards, clock: Callable[[], float]) -> None:
        super().__init__(shards)
        self._clock = clock
        self._moves = Moves(shards, clock)
        self._queues = Queues(shards, clock, self._moves.rows)

    async def create(self, record: Record, limits: Sequence[Limit] = (), *, now: float) -> Created:
        """See `SessionStore.create`."""
        stored = replace(record, held=0, version=0) if record.held or record.version else record
        names = names_of(stored, self._shards)
        try:
            await self._reserve(names, stored.alias, "the id is taken")
        except SessionExists:
            with suppress(SessionEnded, BadInput):  # that the key is taken, if it is, comes first
                await self._create(stored, (), now, trial=True)
            raise
        try:
            if all(limit.scope is Scope.PARENT for limit in limits):
                return Created(stored, tuple(records(await self._create(stored, limits, now))))
            [line] = await self._create(stored, (), now, trial=True)
            ancestors = frozenset(line[at : at + KEY_BYTES] for at in range(0, len(line), KEY_BYTES))
            async with self._queues.room(stored, limits, ancestors, now) as room:
                still = [replace(limit, policy=Policy.REJECT) for limit in limits if limit.scope is Scope.PARENT]
                await self._create(stored, still, now, afterwards=room.leave())
            return Created(stored, tuple(room.replaced))
        except SessionExists:
            raise  # the names may be those of the node that exists: they lapse if not
        except REFUSALS:
            await self._shards.settle(b"-" + name for name in names)
            raise

    async def rekey(self, record: Record, *, alias: bytes, mark: str, now: float, parent: Ref | None = None) -> Record:
        """See `SessionStore.rekey`."""
        source = self._shards.of_key(record.tree)
        target = source if parent is None else self._shards.of_key(parent.tree)
        name = alias_entry(alias, record.key, target)
        try:
            await self._reserve([name], alias, "the new id is taken")
            try:
                if parent is None or target == source:
                    return await super().rekey(record, alias=alias, mark=mark, now=now, parent=parent)
                if await self.load(parent, now=now) is None:
                    raise SessionEnded(f"node {parent.key.hex()[:8]} has ended, or one above it")
                return await self._moves.move(record, alias, mark, parent, now)
            except REFUSALS:
                await self._shards.settle([b"-" + name])
                raise
        except REFUSALS:
            await super().rekey(record, alias=b"", mark=mark, now=now)  # what else is wrong comes first
            raise

    async def delete(self, refs: Sequence[Ref], *, fence: int | None = None) -> int:
        """See `SessionStore.delete`. With nodes of several shards, the last one's shard is first, for its fence."""
        by_shard: dict[int, list[Ref]] = {}
        for ref in reversed(refs):
            by_shard.setdefault(self._shards.of_key(ref.tree), []).insert(0, ref)
        removed = 0
        for number, (shard, those) in enumerate(by_shard.items()):
            removed += await self._delete(shard, those, fence if number == 0 else None)
        return removed

    async def find(
        self, index: Index, value: bytes | str | float, *, after: bytes = b"", count: int = 100
    ) -> list[Record]:
        """See `SessionStore.find`."""
        if count <= 0:
            return []
        match index, value:
            case "key", bytes():
                return await self._of_key(value) if not after or after < value else []
            case "tree", bytes():
                return records(await self._shards.run("find", self._shards.of_key(value), index, value, after, count))
            case "parent", bytes():
                above = await self.find("key", value)
                shard = self._shards.of_key(above[0].tree) if above else 0
                return records(await self._shards.run("find", shard, index, value, after, count)) if above else []
            case (("owner" | "client"), str()):
                return await self._of_scope(index, value, after, count)
            case _:
                if index == "due":
                    await self._moves.finish()
                return await self._merged(index, sought(value), after, count)

    async def claim(self, kinds: Collection[str], *, worker: str, now: float, ttl: float, count: int) -> list[Claim]:
        """See `SessionStore.claim`. It asks all shards what is due, and claims the earliest where they are."""
        await self._moves.finish()
        claims: list[Claim] = []
        while (left := count - len(claims)) > 0:
            answers = await self._shards.everywhere("claim", numbers(now, now + ttl), -left, len(kinds), *kinds)
            due = [record_of(key, row) for answer in answers for key, row, _ in answer[2:]]
            if not due:
                break
            claims += await self._claim_there(sorted(due, key=_by_due)[:left], kinds, worker=worker, now=now, ttl=ttl)
        return sorted(claims, key=lambda claim: _by_due(claim.record))

    # -- inside

    async def _search(self, alias: bytes, ours: bytes, times: bytes) -> tuple[Any, int]:
        """See `RedisSessions`. The shards that the home names are asked, until it names no others and nothing moves."""
        home, before, arrived = self._shards.of_key(alias), None, False
        while True:
            answer = await self._load(home, NOWHERE, alias, NOWHERE, ours, times)
            if not answer or answer[0] != NOWHERE:
                return answer, home
            if answer == before and not arrived:
                return 0, home
            named, before = places(answer[1:]), answer
            for key, shard in named:
                found = await self._load(shard, key, alias, NOWHERE, ours, times)
                if found != 0:
                    return found, shard
            arrived = any(row.alias == alias for row in await self._moves.rows(named))

    async def _of_key(self, key: bytes) -> list[Record]:
        """Return the node with a key, in whichever shard; its home is asked until it names no others."""
        home, before = self._shards.of_key(key), None
        while (found := await self._shards.run("find", home, "key", key, b"", FEW)) != before:
            if found and isinstance(found[1], bytes):
                return records(found)
            if rows := await self._moves.rows(places(found) or [(key, home)]):
                return rows
            before = found
        return []

    async def _claim_there(self, due: Iterable[Record], kinds: Collection[str], **named: Any) -> list[Claim]:
        """Claim nodes in their shards, as far as nobody else has in between."""
        chosen: dict[int, list[bytes]] = {}
        for record in due:
            chosen.setdefault(self._shards.of_key(record.tree), []).append(record.key)
        claims = await gathered(
            [partial(self._claim, shard, kinds, only=keys, count=len(keys), **named) for shard, keys in chosen.items()]
        )
        return [claim for some in claims for claim in some]

    async def _reserve(self, names: Iterable[bytes], alias: bytes | None, taken: str) -> None:
        """Reserve names in their homes.

        Raises:
            SessionExists: A node has one of them, or somebody else has reserved it.
        """
        reserved: list[bytes] = []
        for name in names:
            empty: list[bytes] = []
            clock = self._clock()
            while others := await self._shards.run(
                "name",
                self._shards.of_key(name[1:]),
                name,
                numbers(clock),
                numbers(clock + LAPSE_S),
                *empty,
                writes=True,
            ):
                if any([await self._bears(other, name, alias) for other in others]):
                    await self._shards.settle(b"-" + one for one in reserved)
                    is_key = name.startswith(b"k")
                    raise SessionExists(f"node {name[8:12].hex()} is there already" if is_key else taken)
                empty += [other[3] for other in others]
            reserved.append(name)

    async def _bears(self, other: Sequence[Any], name: bytes, alias: bytes | None) -> bool:
        """Say whether a node has the name that an entry says it has."""
        key, shard, reserved, _ = other
        if reserved:
            return True
        return any(name.startswith(b"k") or row.alias == alias for row in await self._moves.rows([(key, shard)]))

    async def _page(
        self, home: int, index: Index, value: bytes | str, after: bytes, count: int
    ) -> tuple[list[bytes], list[Record]]:
        """Return the keys that a home names, in order, and the rows of those that are there."""
        found = await self._shards.run("find", home, index, value, after, count)
        pairs = list(zip(found[::2], found[1::2], strict=True))
        there = await self._moves.rows((key, row) for key, row in pairs if isinstance(row, int))
        rows = {row.key: row for row in there}
        rows.update((key, record_of(key, row)) for key, row in pairs if isinstance(row, bytes))
        return [key for key, _ in pairs], sorted(rows.values(), key=_by_key)

    async def _merged(self, index: Index, value: bytes | str, after: bytes, count: int) -> list[Record]:
        """Return the first nodes of all shards: a few of each, and more of those that may have more of the first."""
        order = ORDERS.get(index, _by_key)
        found: dict[int, list[Record]] = {}
        asked = dict.fromkeys(range(self._shards.number), min(count, 2 * count // self._shards.number + FEW))
        while True:
            pages = await self._shards.each("find", {s: (index, value, after, most) for s, most in asked.items()})
            found.update(zip(asked, map(records, pages), strict=True))
            merged = sorted((row for page in found.values() for row in page), key=order)[:count]
            asked = {
                shard: min(4 * most, count)
                for shard, most in asked.items()
                if len(found[shard]) == most < count
                and (len(merged) < count or order(found[shard][-1]) < order(merged[-1]))
            }
            if not asked:
                return merged

    async def _of_scope(self, index: Index, value: str, after: bytes, count: int) -> list[Record]:
        """Return an owner's or a client's nodes; entries that no row bears out are passed over."""
        rows: list[Record] = []
        while len(rows) < count:
            keys, page = await self._page(self._shards.of_text(value), index, value, after, count)
            rows += [row for row in page if getattr(row, index) == value]
            if len(keys) < count:
                break
            after = keys[-1]
        return rows[:count]


def _by_key(record: Record) -> Any:
    return record.key


def _by_due(record: Record) -> Any:
    return (record.due_at, record.key)


def _by_expiry(record: Record) -> Any:
    return (expires_at(record), record.key)


ORDERS: dict[str, Callable[[Record], Any]] = {"expired": _by_expiry, "due": _by_due}
