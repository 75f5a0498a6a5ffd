"""The memory store and another answer alike, whatever is asked of them in whatever order.

A program of random operations over a few keys runs on both. Every answer, every refusal, and in the end every row and
lease must be the same. After each step the invariants of the trees are checked on one of them.
"""

import tempfile
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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
from holdfast.core.policy import expires_at
from holdfast.core.ports import Store
from holdfast.errors import HoldfastError
from holdfast.stores import open_store

NOW = 1_000_000.0
KEYS = [bytes([number]) * 16 for number in range(7)]
ALIASES = [bytes([number]) * 32 for number in range(5)]

Operation = tuple[str, dict[str, Any]]

spans = st.one_of(st.none(), st.sampled_from([5.0, 60.0, 100.0]))
limits = st.lists(
    st.builds(
        Limit,
        scope=st.sampled_from(Scope),
        most=st.integers(0, 3),
        policy=st.sampled_from(Policy),
        spare=st.frozensets(st.sampled_from(KEYS), max_size=1),
    ),
    max_size=2,
)
contents = st.fixed_dictionaries(
    {
        "owner": st.sampled_from(["", "ann", "bob"]),
        "client": st.sampled_from(["", "c"]),
        "payload": st.binary(max_size=3),
        "idle": spans,
        "sliding": spans,
        "slides_after": st.sampled_from([0.0, 10.0]),
        "slid": st.sampled_from([0.0, 7.5]),
        "life": st.sampled_from([20.0, 150.0, float("inf")]),
        "busy": st.sampled_from([0.0, 30.0]),
        "due": st.one_of(st.none(), st.sampled_from([0.0, 3.0, 70.0])),
    }
)
place = st.integers(0, len(KEYS) - 1)
name = st.one_of(st.none(), st.sampled_from(ALIASES))


def operation(sort: str, **values: st.SearchStrategy[Any]) -> st.SearchStrategy[Operation]:
    return st.tuples(
        st.just(sort), st.fixed_dictionaries({"advance": st.sampled_from([0.0, 0.5, 4.0, 25.0]), **values})
    )


creations = operation(
    "create",
    place=place,
    parent=st.one_of(st.none(), place),
    alias=name,
    kind=st.sampled_from(["mcp", "lock"]),
    holds=st.booleans(),
    limits=limits,
    content=contents,
)
operations = st.one_of(
    creations,
    creations,
    operation("load", place=place, after=st.sampled_from([None, 0.0, 5.0]), busy=st.sampled_from([0.0, 40.0])),
    operation("look_up", alias=st.sampled_from(ALIASES), owner=st.sampled_from([None, "ann"])),
    operation("replace", place=place, content=contents, fenced=st.booleans(), stale=st.booleans()),
    operation("rekey", place=place, alias=st.sampled_from(ALIASES), parent=st.one_of(st.none(), place)),
    operation("end", place=place, reason=st.sampled_from(Reason)),
    operation("delete", places=st.lists(place, min_size=1, max_size=4), fenced=st.booleans()),
    operation("find", count=st.integers(0, 4), after=place),
    operation("claim", kinds=st.sampled_from([["mcp"], ["lock"], ["mcp", "lock"]]), count=st.integers(0, 3)),
    operation("acquire", place=place, closing=st.booleans(), put=st.lists(place, max_size=2)),
    operation("renew", put=st.lists(place, max_size=1)),
    operation("release", put=st.lists(place, max_size=1)),
    operation("append", place=place, stream=st.sampled_from("st")),
    operation("trim", place=place, keep=st.integers(0, 3), age=st.one_of(st.none(), st.just(5.0))),
    operation(
        "prune",
        place=place,
        count=st.integers(0, 3),
        size=st.integers(0, 3),
        age=st.just(5.0),
        spare=st.sampled_from(["", "s", "st"]),
    ),
    operation("take", cost=st.sampled_from([1.0, 2.5]), name=st.sampled_from("ab")),
    operation("once", name=st.sampled_from("ab")),
    operation("add", name=st.sampled_from("ab"), ttl=st.one_of(st.none(), st.just(10.0))),
)

programs = st.lists(operations, min_size=5, max_size=40)


class Player:
    """Plays one program on one store and keeps what it needs to play on: the rows as they are, and its last lease."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOW
        self.lease: Lease | None = None

    async def play(self, step: Operation) -> object:
        """Do one operation; return its answer, or the class and the text of the refusal."""
        sort, values = step
        arguments = dict(values)
        self.now += arguments.pop("advance")
        try:
            return await getattr(self, sort)(**arguments)
        except HoldfastError as exc:
            return type(exc).__name__, str(exc)

    async def rows(self) -> list[Record]:
        return await self.store.sessions.find("all", b"", count=100)

    async def row(self, number: int) -> Record | None:
        found = await self.store.sessions.find("key", KEYS[number])
        return found[0] if found else None

    async def ref(self, number: int) -> Ref:
        row = await self.row(number)
        return Ref(KEYS[number], KEYS[number]) if row is None else row.ref

    async def some(self, numbers: Sequence[int]) -> list[Record]:
        rows = [await self.row(number) for number in numbers]
        return [replace(row, payload=b"put") for row in rows if row is not None]

    async def create(
        self,
        place: int,
        parent: int | None,
        alias: bytes | None,
        kind: str,
        holds: bool,
        limits: list[Limit],
        content: dict[str, Any],
    ) -> Created:
        above = None if parent is None else await self.ref(parent)
        record = Record(
            key=KEYS[place],
            tree=KEYS[place] if above is None else above.tree,
            parent=None if above is None else above.key,
            alias=alias,
            kind=kind,
            holds=holds,
            created_at=self.now,
            used_at=self.now,
            **self.content(content),
        )
        return await self.store.sessions.create(record, limits, now=self.now)

    def content(self, content: dict[str, Any]) -> dict[str, Any]:
        fields = dict(content)
        due = fields.pop("due")
        return {
            "slid_at": self.now - fields.pop("slid"),
            "ends_at": self.now + fields.pop("life"),
            "busy_until": self.now + fields.pop("busy"),
            "due_at": None if due is None else self.now + due,
            **fields,
        }

    async def load(self, place: int, after: float | None, busy: float) -> Loaded | None:
        ref = await self.ref(place)
        return await self.store.sessions.load(ref, now=self.now, touch_after=after, busy_until=self.now + busy)

    async def look_up(self, alias: bytes, owner: str | None) -> Loaded | None:
        return await self.store.sessions.load(alias, now=self.now, touch_after=5.0, owner=owner)

    async def replace(self, place: int, content: dict[str, Any], fenced: bool, stale: bool) -> Record:
        row = await self.row(place) or _absent(place)
        fence = self.lease.fence if fenced and self.lease is not None else None
        changed = replace(row, version=row.version - stale, **self.content(content))
        return await self.store.sessions.replace(changed, now=self.now, fence=fence)

    async def rekey(self, place: int, alias: bytes, parent: int | None) -> Record:
        row = await self.row(place) or _absent(place)
        above = None if parent is None else await self.ref(parent)
        return await self.store.sessions.rekey(row, alias=alias, mark="m", now=self.now, parent=above)

    async def end(self, place: int, reason: Reason) -> Record | None:
        return await self.store.sessions.end(await self.ref(place), reason, now=self.now)

    async def delete(self, places: list[int], fenced: bool) -> int:
        fence = self.lease.fence if fenced and self.lease is not None else None
        return await self.store.sessions.delete([await self.ref(number) for number in places], fence=fence)

    async def find(self, count: int, after: int) -> list[list[Record]]:
        find, key = self.store.sessions.find, KEYS[after]
        return [
            await find("expired", self.now, count=count),
            await find("expired", self.now + 50, count=100),
            await find("due", self.now, count=count),
            await find("due", self.now + 50, count=100),
            await find("all", b"", after=key, count=count),
            await find("tree", KEYS[0], after=key, count=count),
            await find("tree", key, count=count),
            await find("parent", key, count=count),
            await find("owner", "ann", after=key, count=count),
            await find("client", "", after=key, count=count),
            await find("kind", "mcp", after=key, count=count),
        ]

    async def claim(self, kinds: list[str], count: int) -> list[Claim]:
        claims = await self.store.sessions.claim(kinds, worker="w", now=self.now, ttl=15.0, count=count)
        self.lease = claims[-1].lease if claims else self.lease
        return claims

    async def acquire(self, place: int, closing: bool, put: list[int]) -> Lease | None:
        lease = await self.store.leases.acquire(
            await self.ref(place), worker="w", now=self.now, ttl=15.0, put=await self.some(put), closing=closing
        )
        self.lease = lease or self.lease
        return lease

    async def renew(self, put: list[int]) -> Lease | None:
        if self.lease is None:
            return None
        return await self.store.leases.renew(self.lease, now=self.now, ttl=15.0, put=await self.some(put))

    async def release(self, put: list[int]) -> None:
        if self.lease is not None:
            await self.store.leases.release(self.lease, put=await self.some(put))

    async def append(self, place: int, stream: str) -> object:
        ref = await self.ref(place)
        return await self.store.events.append(ref, stream, b"e", now=self.now), await self.store.events.read(
            ref, stream
        )

    async def trim(self, place: int, keep: int, age: float | None) -> object:
        ref, before = await self.ref(place), None if age is None else self.now - age
        return await self.store.events.trim(ref, "s", keep=keep, before=before), await self.store.events.read(ref, "s")

    async def prune(self, place: int, count: int, size: int, age: float, spare: str) -> object:
        ref, events = await self.ref(place), self.store.events
        dropped = await events.prune(ref, count=count, size=size, before=self.now - age, spare=spare)
        return dropped, await events.read(ref, "s"), await events.read(ref, "t")

    async def take(self, cost: float, name: str) -> float:
        return await self.store.counters.take(name, rate=1.0, burst=4.0, now=self.now, cost=cost)

    async def once(self, name: str) -> bool:
        return await self.store.counters.once(name, now=self.now, ttl=10.0)

    async def add(self, name: str, ttl: float | None) -> object:
        return await self.store.counters.add(name, 2, now=self.now, ttl=ttl), await self.store.counters.read(
            ["a", "b"], now=self.now
        )


def _absent(number: int) -> Record:
    key = KEYS[number]
    return Record(key=key, tree=key, kind="mcp", created_at=0.0, used_at=0.0, ends_at=0.0)


def check(rows: list[Record]) -> None:
    """Check what holds for the rows of any store at any time."""
    by_key = {row.key: row for row in rows}
    above = {row.key: _above(row, by_key) for row in rows}
    for row in rows:
        line = above[row.key]
        assert len(line) < MAX_DEPTH
        assert row.tree == (line[-1].key if line else row.key)
        assert row.held == sum(other.holds for other in rows if row in above[other.key])
    aliases = [row.alias for row in rows if row.alias is not None]
    assert len(aliases) == len(set(aliases))


def _above(row: Record, by_key: dict[bytes, Record]) -> list[Record]:
    line = []
    while row.parent is not None:
        row = by_key[row.parent]  # a parent outlives its children
        line.append(row)
    return line


async def run(program: list[Operation], other: AbstractAsyncContextManager[Store]) -> None:
    async with open_store("memory://") as memory, other as shared:
        one, two = Player(memory), Player(shared)
        for step in program:
            assert await one.play(step) == await two.play(step)
            rows = await one.rows()
            check(rows)
            expired = {row.key for row in rows if row.state is State.LIVE and expires_at(row) <= one.now}
            assert {row.key for row in await memory.sessions.find("expired", one.now)} == expired
        assert await one.rows() == await two.rows()


@given(programs)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_memory_and_sqlite_answer_alike(program: list[Operation]) -> None:  # E22, E23
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(run, program, open_store(f"sqlite:///{Path(folder)}/store.db"))
