"""Sessions in Redis: each operation within one shard is one script, so it is one round trip and one step.

Over several shards, `spread` does what takes more than that.
"""

from collections.abc import Collection, Iterable, Sequence
from math import nan
from typing import Any, Final

from msgspec.structs import replace

from holdfast.core.model import KEY_BYTES, Claim, Created, Lease, Limit, Loaded, Policy, Reason, Record, Ref, Scope
from holdfast.core.ports import Index
from holdfast.core.remembered import Remembered
from holdfast.errors import BadInput, LimitReached
from holdfast.stores.redis.codec import NUMBER, REASON_CODES, TIMES, numbers, packed, record_of
from holdfast.stores.redis.shards import Shards

SCOPES: Final = {Scope.CLIENT: b"c", Scope.OWNER: b"o", Scope.PARENT: b"p", Scope.TOTAL: b"t"}
POLICIES: Final = {Policy.REJECT: b"r", Policy.OLDEST: b"o", Policy.LEAST_RECENT: b"l"}
NOWHERE: Final = b""
REMEMBERED: Final = 16_384  # aliases whose place a process remembers


class RedisSessions:
    """Implements `SessionStore` over one shard."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._places = Remembered[bytes, tuple[int, bytes]](REMEMBERED)

    async def create(self, record: Record, limits: Sequence[Limit] = (), *, now: float) -> Created:
        """See `SessionStore.create`."""
        stored = replace(record, held=0, version=0) if record.held or record.version else record
        return Created(stored, tuple(records(await self._create(stored, limits, now))))

    async def load(
        self,
        at: Ref | bytes,
        *,
        now: float,
        touch_after: float | None = None,
        busy_until: float = 0.0,
        owner: str | None = None,
    ) -> Loaded | None:
        """See `SessionStore.load`."""
        ours = b"" if owner is None else b"=" + owner.encode()
        times = TIMES.pack(now, nan if touch_after is None else touch_after, busy_until)
        if isinstance(at, bytes):
            return loaded(await self._load_named(at, ours, times))
        return loaded(await self._load(self._shards.of_key(at.tree), at.key, NOWHERE, at.tree, ours, times))

    async def replace(self, record: Record, *, now: float, fence: int | None = None) -> Record:
        """See `SessionStore.replace`."""
        [row] = await self._shards.step(
            "replace",
            self._shards.of_key(record.tree),
            *(record.key, packed(record), record.tree, numbers(now), b"" if fence is None else fence),
        )
        return record_of(record.key, row + record.payload)

    async def rekey(self, record: Record, *, alias: bytes, mark: str, now: float, parent: Ref | None = None) -> Record:
        """See `SessionStore.rekey`."""
        above = (NOWHERE, NOWHERE) if parent is None else (parent.key, parent.tree)
        rows = await self._shards.step(
            "rekey",
            self._shards.of_key(record.tree),
            *(record.key, record.tree, record.version, alias, mark, numbers(now), *above),
        )
        return record_of(record.key, rows[0]) if rows else record

    async def end(self, ref: Ref, reason: Reason, *, now: float) -> Record | None:
        """See `SessionStore.end`."""
        rows = await self._shards.step(
            "end", self._shards.of_key(ref.tree), ref.key, ref.tree, REASON_CODES[reason], numbers(now)
        )
        return record_of(ref.key, rows[0]) if rows else None

    async def delete(self, refs: Sequence[Ref], *, fence: int | None = None) -> int:
        """See `SessionStore.delete`."""
        if not refs:
            return 0
        return await self._delete(self._shards.of_key(refs[0].tree), refs, fence)

    async def find(
        self, index: Index, value: bytes | str | float, *, after: bytes = b"", count: int = 100
    ) -> list[Record]:
        """See `SessionStore.find`."""
        return records(await self._shards.run("find", 0, index, sought(value), after, count))

    async def claim(self, kinds: Collection[str], *, worker: str, now: float, ttl: float, count: int) -> list[Claim]:
        """See `SessionStore.claim`."""
        return await self._claim(0, kinds, worker=worker, now=now, ttl=ttl, count=count)

    async def _load(self, shard: int, key: bytes, alias: bytes, tree: bytes, ours: bytes, times: bytes) -> Any:
        return await self._shards.run("load", shard, key, alias, tree, ours, times)

    async def _load_named(self, alias: bytes, ours: bytes, times: bytes) -> Any:
        """Load by alias. Where it was the last time is tried first: the row says whether it still has that alias."""
        if (place := self._places.get(alias)) is not None:
            answer = await self._load(place[0], place[1], alias, NOWHERE, ours, times)
            if answer != 0:
                return answer
            self._places.pop(alias, None)
        answer, shard = await self._search(alias, ours, times)
        if answer:
            self._remember(alias, shard, answer[0])
        return answer

    async def _search(self, alias: bytes, ours: bytes, times: bytes) -> tuple[Any, int]:
        """Return what loading by alias answers, and the shard in which the node is."""
        return await self._load(0, NOWHERE, alias, NOWHERE, ours, times), 0

    def _remember(self, alias: bytes, shard: int, key: bytes) -> None:
        self._places[alias] = (shard, key)

    async def _create(
        self,
        record: Record,
        limits: Sequence[Limit],
        now: float,
        *,
        trial: bool = False,
        afterwards: Iterable[bytes] = (),
    ) -> list[Any]:
        answer = await self._shards.run(
            "create",
            self._shards.of_key(record.tree),
            *(record.key, packed(record), record.tree, numbers(now), int(trial)),
            *(part for limit in limits for part in _limit(limit)),
            writes=not trial,
        )
        if answer[0] == b"full":
            raise full(limits[answer[1]], record)
        return await self._shards.settled(answer, afterwards)

    async def _delete(self, shard: int, refs: Sequence[Ref], fence: int | None) -> int:
        places = [part for ref in refs for part in (ref.key, ref.tree)]
        logs = [self._shards.log(shard, ref.key) for ref in refs]
        [removed] = await self._shards.step("delete", shard, b"" if fence is None else fence, *places, keys=logs)
        return int(removed)

    async def _claim(
        self,
        shard: int,
        kinds: Collection[str],
        *,
        worker: str,
        now: float,
        ttl: float,
        count: int,
        only: Sequence[bytes] = (),
    ) -> list[Claim]:
        claims = await self._shards.step(
            "claim", shard, numbers(now, now + ttl), max(count, 0), len(kinds), *kinds, *only
        )
        return [claim_of(key, row, fence, worker, now + ttl) for key, row, fence in claims]


def full(limit: Limit, record: Record) -> LimitReached:
    """Return the refusal of a node for which a limit has no room."""
    return LimitReached(f"there are {limit.most} {record.kind} sessions already (limit per {limit.scope})")


def sought(value: bytes | str | float) -> bytes | str:
    """Return what is looked for, as scripts read it."""
    return value if isinstance(value, bytes | str) else numbers(value)


def records(rows: Sequence[bytes]) -> list[Record]:
    """Return the records of keys and rows, one after the other."""
    return [record_of(rows[place], rows[place + 1]) for place in range(0, len(rows), 2)]


def loaded(answer: Any) -> Loaded | None:
    """Return what a script has loaded."""
    if not answer:
        return None
    return Loaded(record_of(answer[0], answer[1]), tuple(answer[2:]))


def claim_of(key: bytes, row: bytes, fence: bytes, worker: str, until: float) -> Claim:
    """Return a node that a script has leased to us."""
    record = record_of(key, row)
    return Claim(record, Lease(record.ref, worker, fence_of(fence), until))


def fence_of(number: bytes) -> int:
    """Return a fence that a script has written."""
    return int(NUMBER.unpack(number)[0])


def _limit(limit: Limit) -> tuple[bytes | int, ...]:
    spare = b"".join(limit.spare)
    if len(spare) != KEY_BYTES * len(limit.spare):
        raise BadInput("a key has 16 bytes")
    return SCOPES[limit.scope], POLICIES[limit.policy], limit.most, spare
