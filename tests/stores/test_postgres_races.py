"""Many workers at once on few trees of a PostgreSQL store: nobody waits in a circle, and the trees stay sound."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import anyio
import asyncpg
import pytest
from msgspec.structs import replace

from holdfast.core.ids import new_key
from holdfast.core.model import Lease, Limit, Policy, Reason, Record, Ref, Scope
from holdfast.core.ports import Store
from holdfast.errors import BadInput, LeaseLost, LimitReached, SessionConflict, SessionEnded, SessionExists
from holdfast.stores.postgres import open_postgres, postgres_care
from holdfast.testing.contract.base import NOW, below, root
from stores.stores import Servers
from stores.test_alike import check

NAMESPACE = "races"
WORKERS = 12
STEPS = 60
PATIENCE_S = 60.0
REFUSED = (SessionConflict, SessionEnded, SessionExists, LimitReached, LeaseLost, BadInput)
ROOTS = [root(kind="security", owner=f"o{number}") for number in range(4)]


@pytest.fixture
async def stores(servers: Servers) -> AsyncIterator[list[Store]]:
    url = servers.of("postgres").url
    async with postgres_care(url, namespace=NAMESPACE, timeout=PATIENCE_S) as care:
        await care.migrate()
    async with AsyncExitStack() as stack:
        opening = (open_postgres(url, namespace=NAMESPACE, timeout=PATIENCE_S) for _ in range(2))
        yield [await stack.enter_async_context(store) for store in opening]


class Worker:
    """Does one thing after the other to nodes that others work on at the same time."""

    def __init__(self, store: Store, number: int) -> None:
        self._store, self._dice = store, random.Random(number)
        self._lease: Lease | None = None

    async def run(self) -> None:
        steps = (
            self.create,
            self.create,
            self.end,
            self.rekey,
            self.delete,
            self.write,
            self.load,
            self.hold,
            self.claim,
        )
        for _ in range(STEPS):
            rows = await self._store.sessions.find("all", b"", count=200)
            try:
                await self._dice.choice(steps)(self._dice.choice(rows))
            except REFUSED:
                continue

    async def create(self, at: Record) -> None:
        node = below(at, kind=self._dice.choice(["http", "lock"]), owner=f"o{self._dice.randrange(4)}", client="c")
        node = replace(node, holds=node.kind == "lock", used_at=NOW + self._dice.random())
        limits = [Limit(Scope.OWNER, 4, Policy.LEAST_RECENT), Limit(Scope.CLIENT, 9, Policy.OLDEST)]
        self._dice.shuffle(limits)
        await self._store.sessions.create(node, limits if node.kind == "http" else [], now=NOW)

    async def end(self, node: Record) -> None:
        if node.parent is not None:
            await self._store.sessions.end(node.ref, Reason.ADMIN, now=NOW)

    async def rekey(self, node: Record) -> None:
        parent = self._dice.choice(ROOTS).ref if node.parent is not None else None
        await self._store.sessions.rekey(node, alias=new_key() * 2, mark="m", now=NOW, parent=parent)

    async def delete(self, node: Record) -> None:
        rows = await self._store.sessions.find("tree", node.tree, count=200)
        refs = [Ref(row.tree, row.key) for row in rows if row.parent is not None]
        self._dice.shuffle(refs)
        await self._store.sessions.delete(refs[:3])

    async def write(self, node: Record) -> None:
        await self._store.sessions.replace(replace(node, payload=b"p"), now=NOW)

    async def load(self, node: Record) -> None:
        await self._store.sessions.load(node.ref, now=NOW + self._dice.random(), touch_after=0.0)

    async def hold(self, node: Record) -> None:
        lease = await self._store.leases.acquire(
            node.ref, worker="w", now=NOW, ttl=15, put=[replace(node, payload=b"q")]
        )
        if lease is not None:
            await self._store.leases.release(lease)

    async def claim(self, _: Record) -> None:
        for claim in await self._store.sessions.claim(["http", "lock"], worker="w", now=NOW, ttl=15, count=3):
            await self._store.sessions.delete([claim.record.ref], fence=claim.lease.fence)


async def test_nobody_waits_in_a_circle_and_the_trees_stay_sound(stores: list[Store], servers: Servers) -> None:  # E12
    before = await _deadlocks(servers)
    for top in ROOTS:
        await stores[0].sessions.create(top, now=NOW)
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            for number in range(WORKERS):
                group.start_soon(Worker(stores[number % 2], number).run)
    rows = await stores[0].sessions.find("all", b"", count=1_000)
    assert len(rows) > len(ROOTS)
    check(rows)
    for owner in {row.owner for row in rows}:
        live = [row for row in rows if row.owner == owner and row.kind == "http" and row.state == "live"]
        assert len(live) <= 4
    async with postgres_care(servers.of("postgres").url, namespace=NAMESPACE) as care:
        assert await care.check() == []
    assert await _deadlocks(servers) == before


async def _deadlocks(servers: Servers) -> int:
    connection = await asyncpg.connect(servers.of("postgres").url)
    number: int = await connection.fetchval("SELECT sum(deadlocks) FROM pg_stat_database")
    await connection.close()
    return number
