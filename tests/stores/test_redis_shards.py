"""What is done in steps between shards: who dies between two of them loses nothing, doubles nothing, blocks nobody."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from holdfast.core.ids import alias_of, new_key
from holdfast.core.model import Limit, Policy, Reason, Record, Ref, Scope
from holdfast.core.ports import Store
from holdfast.errors import LimitReached, SessionEnded, SessionExists, StoreUnavailable
from holdfast.stores.redis import open_redis, redis_care
from holdfast.stores.redis.queues import LAPSE_S
from holdfast.stores.redis.shards import Shards
from holdfast.testing import Clock
from holdfast.testing.contract.base import NOW, all_at_once, below, chain, lives, refused, root, stored
from stores.stores import Servers

SHARDS = 7
_numbers = itertools.count(1)
MOVING: ContextVar[bool] = ContextVar("moving", default=False)


class Bench:
    """A namespace of several shards, and a clock that says when what was begun lapses."""

    def __init__(self, url: str) -> None:
        self.url, self.namespace, self.clock = f"{url}?shards={SHARDS}", f"shards{next(_numbers)}", Clock()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        async with open_redis(self.url, namespace=self.namespace, clock=self.clock) as store:
            yield store

    async def wrong(self) -> set[str]:
        async with redis_care(self.url, namespace=self.namespace) as care:
            return {finding.code for finding in await care.check()}


@pytest.fixture
def bench(servers: Servers) -> Bench:
    return Bench(servers.of("redis").url)


def in_shard(shard: int, **fields: Any) -> Record:
    """Return a root that is kept in a shard."""
    while True:
        key = new_key()
        if int.from_bytes(key[:2], "big") % SHARDS == shard:
            return root(key=key, **fields)


def dies_before(monkeypatch: pytest.MonkeyPatch, name: str, times: int = 1) -> None:
    """Let the worker die when it is about to run a script."""
    run: Callable[..., Awaitable[Any]] = Shards.run
    left = itertools.count(times, -1)

    async def dying(self: Shards, script: str, *arguments: Any, **named: Any) -> Any:
        if script == name and next(left) > 0:
            raise StoreUnavailable("this worker is dead")
        return await run(self, script, *arguments, **named)

    monkeypatch.setattr(Shards, "run", dying)


async def subtree(store: Store) -> tuple[Record, Record, Record, Record]:
    """Store two roots in different shards, below the first a named node with a lock that has events and a lease."""
    top, target = in_shard(1), in_shard(2)
    node = below(top, name="old", payload=b"p", owner="ann")
    lock = below(node, kind="lock", holds=True, due_at=NOW)
    await chain(store, top, target, node, lock)
    await store.events.append(lock.ref, "s", b"1", now=NOW)
    await store.leases.acquire(lock.ref, worker="w", now=NOW, ttl=15)
    return top, target, node, lock


async def moved_whole(store: Store, target: Record, node: Record, lock: Record) -> None:
    """See that everything of the subtree is below the target, and at no other place."""
    loaded = await store.sessions.load(alias_of("new"), now=NOW)
    assert loaded is not None
    assert (loaded.record.payload, loaded.record.version, loaded.above) == (b"p", 1, (target.key,))
    at = Ref(target.key, lock.key)
    assert [entry.data for entry in await store.events.read(at, "s")] == [b"1"]
    assert await store.leases.acquire(at, worker="x", now=NOW, ttl=15) is None
    assert await store.sessions.load(alias_of("old"), now=NOW) is None
    assert len(await store.sessions.find("all", b"")) == 4
    assert [row.key for row in await store.sessions.find("owner", "ann")] == [node.key]
    above = await stored(store, target)
    assert above is not None
    assert above.held == 1


@pytest.mark.parametrize("step", ["import", "restore"])
async def test_a_move_whose_worker_dies_is_finished_by_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:  # E15, E25
    async with bench.open() as store, bench.open() as other:
        top, target, node, lock = await subtree(store)
        dies_before(monkeypatch, step)
        with refused(StoreUnavailable):
            await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
        assert not await lives(other, lock)
        assert await other.sessions.delete([top.ref]) == 0, "what is on its way is still below its parent"
        bench.clock.advance(LAPSE_S)
        assert [row.key for row in await other.sessions.find("due", NOW)] == [lock.key]
        await moved_whole(other, target, node, lock)
        assert await other.sessions.delete([top.ref]) == 1
        assert await bench.wrong() == set()


async def test_a_move_that_is_refused_late_goes_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:  # E17
    async with bench.open() as store, bench.open() as other:
        top, target, node, lock = await subtree(store)
        dies_before(monkeypatch, "import")
        with refused(StoreUnavailable):
            await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
        await other.sessions.end(target.ref, Reason.LOGOUT, now=NOW)
        bench.clock.advance(LAPSE_S)
        await other.sessions.claim(["nothing"], worker="w", now=NOW, ttl=15, count=1)
        assert await stored(other, node) == replace(node, held=1)
        loaded = await other.sessions.load(alias_of("old"), now=NOW)
        assert loaded is not None
        assert loaded.above == (top.key,)
        assert [entry.data for entry in await other.events.read(lock.ref, "s")] == [b"1"]
        assert await bench.wrong() <= {"index_dangles"}, "the new name's entry stays until it is looked for"


async def test_a_worker_that_wakes_up_after_its_move_was_finished_doubles_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:  # E18
    asleep, woken = anyio.Event(), anyio.Event()
    run: Callable[..., Awaitable[Any]] = Shards.run

    async def sleepy(self: Shards, script: str, *arguments: Any, **named: Any) -> Any:
        if script == "import" and not asleep.is_set():
            asleep.set()
            await woken.wait()
        return await run(self, script, *arguments, **named)

    async with bench.open() as store, bench.open() as other:
        _, target, node, lock = await subtree(store)
        monkeypatch.setattr(Shards, "run", sleepy)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:

                async def move() -> None:
                    await all_at_once(
                        store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
                    )

                group.start_soon(move)
                await asleep.wait()
                bench.clock.advance(LAPSE_S)
                await other.sessions.find("due", NOW)
                await moved_whole(other, target, node, lock)
                await other.sessions.delete([Ref(target.key, lock.key), Ref(target.key, node.key)])
                woken.set()
        assert len(await other.sessions.find("all", b"")) == 2, "nothing is resurrected"
        assert await bench.wrong() == set()


async def test_a_name_that_a_dead_worker_reserved_is_free_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:  # E4, E25
    async with bench.open() as store:
        dies_before(monkeypatch, "create")
        with refused(StoreUnavailable):
            await store.sessions.create(in_shard(1, name="one"), now=NOW)
        with refused(SessionExists):
            await store.sessions.create(in_shard(2, name="one"), now=NOW)
        bench.clock.advance(LAPSE_S)
        await chain(store, in_shard(2, name="one"))
        assert await store.sessions.load(alias_of("one"), now=NOW) is not None


async def test_a_place_before_a_limit_lapses_with_its_worker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:  # E12, E25
    limit = Limit(Scope.CLIENT, 1, Policy.REJECT)
    monkeypatch.setattr("holdfast.stores.redis.queues.PATIENCE_S", 0.05)
    async with bench.open() as store:
        dies_before(monkeypatch, "settle")
        with refused(StoreUnavailable):
            await store.sessions.create(in_shard(1, client="c"), [limit], now=NOW)
        with refused(LimitReached):
            await store.sessions.create(in_shard(2, client="c"), [limit], now=NOW)
        bench.clock.advance(LAPSE_S)
        with refused(LimitReached):  # the node is there, though its worker was never told
            await store.sessions.create(in_shard(2, client="c"), [limit], now=NOW)
        assert len(await store.sessions.find("all", b"")) == 1
        await store.sessions.create(in_shard(2, client="d"), [limit], now=NOW)


async def test_a_missing_entry_is_found_and_mended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:  # E25
    async with bench.open() as store:
        node = in_shard(1, name="one", owner="ann", client="c")
        dies_before(monkeypatch, "settle", times=9)
        with refused(StoreUnavailable):
            await store.sessions.create(node, now=NOW)
        monkeypatch.undo()
        assert await bench.wrong() == {"index_lacks"}
        async with redis_care(bench.url, namespace=bench.namespace) as care:
            assert await care.migrate() != []
            assert await care.migrate() == []
        assert await bench.wrong() == set()
        assert [row.key for row in await store.sessions.find("owner", "ann")] == [node.key]


async def test_a_left_over_entry_finds_nothing_and_is_taken_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:  # E25
    async with bench.open() as store:
        node = await chain(store, in_shard(1, name="one", owner="ann", client="c"))
        dies_before(monkeypatch, "settle", times=9)
        with refused(StoreUnavailable):
            await store.sessions.delete([node.ref])
        monkeypatch.undo()
        assert await store.sessions.find("owner", "ann") == []
        assert await store.sessions.load(alias_of("one"), now=NOW) is None
        async with redis_care(bench.url, namespace=bench.namespace) as care:
            await care.migrate()
        assert await bench.wrong() == set()


async def test_a_place_that_is_remembered_is_checked(bench: Bench) -> None:  # E20, E25
    async with bench.open() as store, bench.open() as other:
        top, target, node, _ = await subtree(store)
        assert await store.sessions.load(alias_of("old"), now=NOW) is not None
        moved = await other.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
        assert await store.sessions.load(alias_of("old"), now=NOW) is None
        assert await store.sessions.load(alias_of("new"), now=NOW) is not None
        await other.sessions.rekey(moved, alias=alias_of("new2"), mark="", now=NOW, parent=top.ref)
        assert await store.sessions.load(alias_of("new"), now=NOW) is None
        assert await store.sessions.load(alias_of("new2"), now=NOW) is not None


async def test_nothing_moves_below_what_ended_in_another_shard(bench: Bench) -> None:  # E17
    async with bench.open() as store:
        _, target, node, lock = await subtree(store)
        await store.sessions.end(target.ref, Reason.LOGOUT, now=NOW)
        with refused(SessionEnded):
            await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
        assert await lives(store, lock)
        assert await bench.wrong() == set()


async def test_the_first_of_all_shards_are_found_however_they_are_spread(bench: Bench) -> None:  # E10, E21
    nodes = [in_shard(3, due_at=NOW - place, idle=float(place)) for place in range(60)]
    nodes += [in_shard(place % SHARDS, due_at=NOW - 2.5 * place, idle=2.5 * place) for place in range(21)]
    async with bench.open() as store:
        await chain(store, *nodes)
        for count in (1, 10, 40, 100):
            found = {index: await store.sessions.find(index, NOW + 100, count=count) for index in ("all", "due")}
            expired = await store.sessions.find("expired", NOW + 100, count=count)
            assert found["all"] == sorted(nodes, key=lambda row: row.key)[:count]
            assert found["due"] == sorted(nodes, key=lambda row: (row.due_at, row.key))[:count]
            assert expired == sorted(nodes, key=lambda row: (row.idle, row.key))[:count]


async def _tracked(store: Store, node: Record, lock: Record) -> None:
    """See that a node below the one that moves is found in each of the ways that do not name its tree."""
    found = await store.sessions.load(alias_of("tool"), now=NOW)
    assert found is not None
    assert found.above[0] == node.key
    for key in (node.key, found.record.key, lock.key):
        assert [row.key for row in await store.sessions.find("key", key)] == [key]
    assert {row.key for row in await store.sessions.find("owner", "ann")} == {node.key, found.record.key}
    assert {row.key for row in await store.sessions.find("parent", node.key)} == {found.record.key, lock.key}
    with refused(SessionExists):
        await store.sessions.create(in_shard(5, name="tool"), now=NOW)


class Pause:
    """Lets the worker of a move stand still before one of its trips, until it is woken."""

    def __init__(self, store: Store, trip: int) -> None:
        self._store, self._left = store, trip
        self.asleep, self.woken, self.happened = anyio.Event(), anyio.Event(), False

    async def move(self, node: Record, target: Record) -> None:
        MOVING.set(True)
        await self._store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
        self.asleep.set()

    def begin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run: Callable[..., Awaitable[Any]] = Shards.run

        async def sleepy(shards: Shards, script: str, *arguments: Any, **named: Any) -> Any:
            if MOVING.get():
                self._left -= 1
                if self._left < 0:
                    self.happened = True
                    self.asleep.set()
                    await self.woken.wait()
            return await run(shards, script, *arguments, **named)

        monkeypatch.setattr(Shards, "run", sleepy)


@pytest.mark.parametrize("is_root", [True, False])
async def test_a_node_is_found_at_every_instant_of_a_move_that_stands_still(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, is_root: bool
) -> None:  # S2, E10, E25
    for trip in itertools.count():
        bench.namespace = f"shards{next(_numbers)}"
        async with bench.open() as store, bench.open() as other, bench.open() as third:
            top, target = in_shard(1), in_shard(2)
            node = in_shard(1, name="old", owner="ann") if is_root else below(top, name="old", owner="ann")
            tool, lock = below(node, name="tool", owner="ann"), below(node, kind="lock", holds=True, due_at=NOW)
            await chain(store, top, target, node, tool, lock)
            await _tracked(third, node, lock)  # it remembers where the tool was
            pause = Pause(store, trip)
            with anyio.fail_after(20), monkeypatch.context() as patched:
                pause.begin(patched)
                async with anyio.create_task_group() as group:
                    group.start_soon(pause.move, node, target)
                    await pause.asleep.wait()
                    for reader in (other, third):
                        await _tracked(reader, node, lock)
                    pause.woken.set()
            await _tracked(other, node, lock)
            moved = await other.sessions.load(alias_of("new"), now=NOW)
            assert moved is not None
            assert moved.above == (target.key,)
            assert await other.sessions.load(alias_of("old"), now=NOW) is None
            assert len(await other.sessions.find("all", b"")) == 5
            assert await bench.wrong() == set()
        if not pause.happened:
            assert trip > 8, "the move makes some trips"
            return


@pytest.mark.parametrize("step", ["import", "restore", "settle"])
async def test_who_looks_for_a_node_finishes_the_move_of_a_worker_that_died(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:  # E15, E25
    async with bench.open() as store, bench.open() as other:
        top, target = in_shard(1), in_shard(2)
        node = below(top, name="old", owner="ann")
        tool, lock = below(node, name="tool", owner="ann"), below(node, kind="lock", holds=True, due_at=NOW)
        await chain(store, top, target, node, tool, lock)
        dies_before(monkeypatch, step)
        with refused(StoreUnavailable):
            await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
        await _tracked(other, node, lock)
        assert await lives(other, replace(lock, tree=target.key))
        assert await other.sessions.load(alias_of("new"), now=NOW) is not None
        assert await other.sessions.load(alias_of("old"), now=NOW) is None
        assert await bench.wrong() == set()


async def test_who_looks_for_a_node_whose_move_is_refused_finds_it_where_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:  # E17
    async with bench.open() as store, bench.open() as other:
        top, target, node, lock = await subtree(store)
        dies_before(monkeypatch, "import")
        with refused(StoreUnavailable):
            await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
        assert not await bench.wrong() - {"index_dangles"}, "homes may name what is on its way"
        await other.sessions.end(target.ref, Reason.LOGOUT, now=NOW)
        loaded = await other.sessions.load(alias_of("old"), now=NOW)
        assert loaded is not None
        assert loaded.above == (top.key,)
        assert await lives(other, lock)
