"""The PostgreSQL store through its ports, at a server of its own: one JSON line per figure.

python bench/store_postgres.py          # all rows; a few minutes
python bench/store_postgres.py calls    # one of them; or tree, sweep, size

What is compared runs in turns in one process: a round of bare asyncpg, a round of the port, again and again, each on
ten connections; a ratio is the median of the rounds' ratios.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from store_ports import IDLE, NOW, row, session

from holdfast.core.keeper import Keeper
from holdfast.core.kinds import Kind
from holdfast.core.manager import Manager
from holdfast.core.model import Limit, Reason, Record, Ref, Scope
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.stores.postgres import open_postgres, postgres_care
from servers.postgres import PostgresServer, postgres_server

CONNECTIONS = 10
SESSIONS = 5_000
ROUNDS = 9
PATIENCE_S = 30.0
SELECT = "SELECT * FROM holdfast.node WHERE key = $1"
UPDATE = "UPDATE holdfast.node SET used_at = $2 WHERE key = $1 RETURNING *"


Pairs: TypeAlias = list[tuple[float, float]]


class Bare:
    """asyncpg on as many connections, with one statement: what nothing that speaks to the server can go below."""

    def __init__(self, connections: list[Any]) -> None:
        self._idle = connections

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        connection = self._idle.pop()
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            self._idle.append(connection)


@asynccontextmanager
async def bare(url: str) -> AsyncIterator[Bare]:
    connections = [await asyncpg.connect(url) for _ in range(CONNECTIONS)]
    for connection in connections:
        await connection.execute("SET synchronous_commit = off")  # as the store does for a touch
    yield Bare(list(connections))
    for connection in connections:
        await connection.close()


@asynccontextmanager
async def opened(server: PostgresServer, namespace: str = "holdfast") -> AsyncIterator[Store]:
    async with postgres_care(server.url, namespace=namespace, timeout=PATIENCE_S) as care:
        await care.migrate()
    async with open_postgres(server.url, namespace=namespace, timeout=PATIENCE_S) as store:
        yield store


async def rate(calls: Iterable[Callable[[], Awaitable[object]]], in_flight: int) -> float:
    """Return calls per second."""
    rest, done = iter(calls), 0

    async def work() -> None:
        nonlocal done
        for call in rest:
            await call()
            done += 1

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())
    return done / (time.perf_counter() - began)


async def fill(store: Store, records: list[Record]) -> float:
    return await rate([partial(store.sessions.create, record, now=NOW) for record in records], 64)


async def calls(server: PostgresServer) -> None:
    async with opened(server) as store, bare(server.url) as driver:
        records = [session(number) for number in range(SESSIONS)]
        row("postgres: durable creations, 64 in flight", await fill(store, records), "1/s")
        limit = [Limit(Scope.CLIENT, 100)]
        again = [session(number) for number in range(SESSIONS)]
        limited = [partial(store.sessions.create, record, limit, now=NOW) for record in again]
        row("postgres: the same with a limit per client", await rate(limited, 64), "1/s")
        for in_flight, some in ((CONNECTIONS, records), (1, records[:1_500])):
            reads, touches = await in_turns(store, driver, some, in_flight)
            for name, statement, pairs in (("not due", "select", reads), ("due", "update", touches)):
                text = f"postgres: load, touch {name}, {in_flight} in flight"
                row(text, statistics.median(ours for ours, _ in pairs), "1/s")
                row(f"bare asyncpg: {statement}, {in_flight} in flight", statistics.median(b for _, b in pairs), "1/s")
                row(f"{text}: ratio to it", statistics.median(ours / b for ours, b in pairs), "", ">= 0.8")
        await hot(server)


async def in_turns(store: Store, driver: Bare, records: list[Record], in_flight: int) -> tuple[Pairs, Pairs]:
    """Return the rates of the port and of the bare driver, round by round: while no touch is due, and while one is."""
    reads, touches = [], []
    now = NOW + 500 * (in_flight == 1)  # after the other turns, and before the sessions expire

    async def load(record: Record) -> None:
        assert await store.sessions.load(record.ref, now=now, touch_after=30) is not None

    def select(record: Record) -> Awaitable[object]:
        return driver.fetch(SELECT, record.key)

    def update(record: Record) -> Awaitable[object]:
        return driver.fetch(UPDATE, record.key, now)

    await rate(map(partial(partial, load), records), in_flight)
    for _ in range(ROUNDS):
        bare_reads = await rate(map(partial(partial, select), records), in_flight)
        reads.append((await rate(map(partial(partial, load), records), in_flight), bare_reads))
        now += 31
        touched = await rate(map(partial(partial, load), records), in_flight)
        touches.append((touched, await rate(map(partial(partial, update), records), in_flight)))
    return reads, touches


async def hot(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.url)
    await asyncio.sleep(1.5)  # a server process tells what it did once a second
    [[updates, alone]] = await connection.fetch(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = 'holdfast' AND relname = 'node'"
    )
    row("postgres: updates that left the indexes alone", alone / updates, "")
    await connection.close()


async def tree(server: PostgresServer) -> None:
    """Mark a node with 1,000 below; let a keeper remove them all."""
    async with opened(server, "tree") as store:
        marking, direct, kept = [], [], []
        for _ in range(7):
            top, leaves = await planted(store)
            began = time.perf_counter()
            await store.sessions.end(top.ref, Reason.LOGOUT, now=NOW)
            marking.append(time.perf_counter() - began)
            began = time.perf_counter()
            gone = await store.sessions.delete([*(leaf.ref for leaf in leaves), top.ref])
            direct.append(time.perf_counter() - began)
            assert gone == 1_001
            kept.append(await closed(store, (await planted(store))[0].ref))
        row("postgres: marking a node with 1,000 below", 1_000 * statistics.median(marking), "ms", "<= 5")
        row("postgres: removing 1,001 rows by one call", 1_000 * statistics.median(direct), "ms", "<= 100")
        row("postgres: a keeper's turn over 1,001 nodes", 1_000 * statistics.median(kept), "ms", "<= 100")


async def planted(store: Store) -> tuple[Record, list[Record]]:
    top = session(0)
    below = {"tree": top.key, "parent": top.key}
    leaves = [
        Record(**{**{f: getattr(s, f) for f in Record.__struct_fields__}, **below}) for s in map(session, range(1_000))
    ]
    await store.sessions.create(top, now=NOW)
    await fill(store, leaves)
    return top, leaves


async def closed(store: Store, ref: Ref) -> float:
    """Return how long a keeper takes to close a tree that was just marked."""
    manager = Manager(store, KeyRing.parse(new_key_text()), [Kind(name="mcp")], worker="w", clock=lambda: NOW)
    await store.sessions.end(ref, Reason.LOGOUT, now=NOW)
    began = time.perf_counter()
    assert await Keeper(manager).turn() == 1
    spent = time.perf_counter() - began
    assert await store.sessions.find("all", b"") == []
    return spent


async def swept(store: Store, server: PostgresServer, namespace: str, expired: int = 10_000) -> float:
    """Return how long it takes to find and remove so many that have expired, beside those that live there."""
    await fill(store, [session(number, used_at=NOW - IDLE) for number in range(expired)])
    connection = await asyncpg.connect(server.url)
    await connection.execute(f"VACUUM ANALYZE {namespace}.node")
    await connection.close()
    began = time.perf_counter()
    while page := await store.sessions.find("expired", NOW, count=1_000):
        await store.sessions.delete([record.ref for record in page])
    return time.perf_counter() - began


async def sweep(server: PostgresServer) -> None:
    spans: dict[str, list[float]] = {"few": [], "many": []}
    async with opened(server, "few") as few, opened(server, "many") as many:
        await fill(few, [session(number) for number in range(10_000)])
        await fill(many, [session(number) for number in range(190_000)])
        for _ in range(5):
            spans["few"].append(await swept(few, server, "few"))
            spans["many"].append(await swept(many, server, "many"))
    row("postgres: sweep of 10,000 expired among 20,000", min(spans["few"]), "s")
    row("postgres: sweep of 10,000 expired among 200,000", min(spans["many"]), "s")
    row("postgres: ratio of the two", min(spans["many"]) / min(spans["few"]), "", "<= 1.5")


async def size(server: PostgresServer) -> None:
    """Measure the table and its indexes with payloads of 200 bytes, as filled, and after each was touched ten times."""
    async with opened(server, "size") as store:
        records = [session(number) for number in range(50_000)]
        await fill(store, records)
        connection = await asyncpg.connect(server.url)
        row("postgres: per session with all indexes", await used(connection) / len(records), "bytes")
        row("postgres: of it the rows", await used(connection, "pg_table_size") / len(records), "bytes")
        for turn in range(1, 11):
            load = partial(store.sessions.load, now=NOW + 31 * turn, touch_after=30)
            await rate([partial(load, record.ref) for record in records], CONNECTIONS)
        row("postgres: the same after ten touches each", await used(connection) / len(records), "bytes")
        await connection.close()


async def used(connection: Any, function: str = "pg_total_relation_size") -> int:
    bytes_used: int = await connection.fetchval(f"SELECT {function}('size.node')")
    return bytes_used


PARTS = {part.__name__: part for part in (calls, tree, sweep, size)}


def main(wanted: str) -> None:
    for name, part in PARTS.items():
        if wanted in ("", name):
            with (
                postgres_server(shared_buffers="256MB") as server,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                runner.run(part(server))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
