"""The Redis store through its ports, at a server of its own: one JSON line per figure.

python bench/store_redis.py              # all rows but `cluster`; a few minutes
python bench/store_redis.py calls        # one of them; or tree, size, cluster
python bench/store_redis.py size 100000  # with another number of sessions

What is compared runs in turns in one process: a round of the bare client, a round of the port, again and again, with 16
calls in flight; a ratio is the median of the rounds' ratios. The bare client is redis-py with its pool, which runs one
script that reads a row of the same size and writes it back. What the same script takes on the store's own line (all
calls on one connection) is given as well: it is what the server and the connection take without a port.
"""

import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import uvloop
from redis.asyncio import BlockingConnectionPool, Redis

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from store_ports import IDLE, NOW, mark, row, session

from holdfast.core.keeper import Keeper
from holdfast.core.kinds import Kind
from holdfast.core.manager import Manager
from holdfast.core.model import Limit, Policy, Reason, Record, Ref, Scope
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.stores.redis import open_redis
from holdfast.stores.redis.address import parse
from holdfast.stores.redis.codec import packed
from holdfast.stores.redis.line import packed_command
from holdfast.stores.redis.servers import servers_at
from servers.redis import RedisServer, redis_cluster, redis_server

IN_FLIGHT = 16
SESSIONS = 5_000
ROUNDS = 9
PATIENCE_S = 30.0
TOUCH = """
local row = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. string.sub(row, 9))
return row
"""


async def rate(calls: Iterable[Callable[[], Awaitable[object]]]) -> float:
    """Return how many of the calls are done per second."""
    rest, done = iter(calls), 0

    async def worker() -> None:
        nonlocal done
        for call in rest:
            assert await call() is not None
            done += 1

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(IN_FLIGHT):
            group.start_soon(worker)
    return done / (time.perf_counter() - began)


async def calls(server: RedisServer) -> None:
    """Compare load and touch through the port with the bare client."""
    pool = BlockingConnectionPool.from_url(server.url, max_connections=IN_FLIGHT)
    line = servers_at(parse(server.url), timeout=PATIENCE_S)
    async with open_redis(server.url, timeout=PATIENCE_S) as store, Redis(connection_pool=pool) as bare:
        records = [session(number) for number in range(SESSIONS)]
        row("redis: creations, 16 in flight", await rate(creations(store, records)), "1/s")
        digest = await bare.script_load(TOUCH)
        for record in records:
            await bare.hset("bare", record.key, packed(record))  # type: ignore[misc] # a key is bytes
        limited = [session(number + SESSIONS) for number in range(SESSIONS)]
        limits = [Limit(Scope.CLIENT, 5, Policy.LEAST_RECENT), Limit(Scope.TOTAL, 1_000_000)]
        row("redis: creations with two limits", await rate(creations(store, limited, limits)), "1/s")
        load = store.sessions.load

        def rounds(now: float, word: bytes) -> dict[str, Callable[[Record], Awaitable[object]]]:
            return {
                "bare": lambda r: bare.evalsha(digest, 1, "bare", r.key, word),
                "line": lambda r: line.ask(b"", packed_command(b"EVALSHA", digest, 1, b"bare", r.key, word)),
                "ref": lambda r: load(r.ref, now=now, touch_after=30.0),
                "alias": lambda r: load(r.alias or b"", now=now + 31.0, touch_after=30.0),
            }

        found: dict[str, list[float]] = {"bare": [], "line": [], "ref": [], "alias": []}
        for number in range(ROUNDS):
            for name, call in rounds(NOW + 62.0 * (number + 1), b"%08d" % number).items():
                found[name].append(await rate([partial(call, record) for record in records]))
        await line.close()
    row("redis: bare client, one script", statistics.median(found["bare"]), "1/s")
    row("redis: the same script on a line", statistics.median(found["line"]), "1/s")
    row("redis: load and touch by place", statistics.median(found["ref"]), "1/s")
    row("redis: load and touch by alias", statistics.median(found["alias"]), "1/s")
    for name in ("ref", "alias"):
        for other in ("bare", "line"):
            ratios = [ours / theirs for ours, theirs in zip(found[name], found[other], strict=True)]
            reach = ">= 0.8" if other == "bare" else ""
            row(f"redis: ratio of load and touch by {name} to {other}", statistics.median(ratios), "", reach)


def creations(
    store: Store, records: Iterable[Record], limits: Iterable[Limit] = ()
) -> list[Callable[[], Awaitable[object]]]:
    """Return the calls that create records."""
    wanted = list(limits)
    return [lambda r=r: store.sessions.create(r, wanted, now=NOW) for r in records]


async def tree(server: RedisServer) -> None:
    """Mark and remove 1,001 nodes through the ports, and then as a manager and its keeper do."""
    server.ask("FLUSHALL")
    await mark("redis", server.url)
    server.ask("FLUSHALL")
    async with open_redis(server.url, timeout=PATIENCE_S) as store:
        manager = Manager(store, KeyRing.parse(new_key_text()), [Kind(name="mcp")], worker="bench")
        top = await manager.open("mcp", {"n": 0})
        async with anyio.create_task_group() as group:
            for number in range(1_000):
                group.start_soon(open_below, manager, top.ref, number)
        began = time.perf_counter()
        await manager.end(top.ref, Reason.LOGOUT)
        row(
            "redis: ending a session with 1,000 below, the caller's part",
            (time.perf_counter() - began) * 1000,
            "ms",
            "<= 5",
        )
        began = time.perf_counter()
        await Keeper(manager).turn()
        row("redis: its keeper's turn, all rows gone", (time.perf_counter() - began) * 1000, "ms", "<= 100")
        assert await store.sessions.find("all", b"") == []


async def open_below(manager: Manager, parent: Ref, number: int) -> None:
    await manager.open("mcp", {"n": number}, parent=parent)


async def size(server: RedisServer, many: int = 1_000_000) -> None:
    """Create sessions; see what each takes, whether the last come as fast as the first, and how a sweep goes then."""
    server.ask("FLUSHALL")
    async with open_redis(server.url, timeout=PATIENCE_S) as store:
        await fill(store, 10_000)
        few = min([await sweep(store) for _ in range(3)])
        server.ask("FLUSHALL")
    async with open_redis(server.url, timeout=PATIENCE_S) as store:
        before = memory(server)
        rates = [await fill(store, many // 20) for _ in range(20)]
        row(f"redis: memory of each of {many:,} sessions", (memory(server) - before) / many, "bytes", "<= 800")
        first, last = statistics.median(rates[:5]), statistics.median(rates[-5:])
        row("redis: creations at the start", first, "1/s")
        row("redis: creations at the end", last, "1/s")
        row("redis: ratio of the two", last / first, "", ">= 0.9")
        lots = min([await sweep(store) for _ in range(3)])
    row("redis: sweep of 10,000 expired among 20,000", few, "s")
    row(f"redis: sweep of 10,000 expired among {many + 10_000:,}", lots, "s")
    row("redis: ratio of the two", lots / few, "", "<= 1.5")


async def fill(store: Store, many: int, used_at: float = NOW) -> float:
    """Create sessions and return how many come per second."""
    return await rate(creations(store, [session(number, used_at=used_at) for number in range(many)]))


async def sweep(store: Store) -> float:
    """Create 10,000 sessions that have expired; return how long it takes to find and remove them."""
    await fill(store, 10_000, NOW - 2 * IDLE)
    began = time.perf_counter()
    while page := await store.sessions.find("expired", NOW, count=1_000):
        await store.sessions.delete([record.ref for record in page])
    return time.perf_counter() - began


async def cluster() -> None:
    """Create and load at a Cluster of three nodes and 64 shards on this machine."""
    with redis_cluster() as servers:
        async with open_redis(servers.url, timeout=PATIENCE_S) as store:
            records = [session(number) for number in range(SESSIONS)]
            row("cluster: creations", await rate(creations(store, records)), "1/s")
            limited = [session(number + SESSIONS) for number in range(SESSIONS)]
            row(
                "cluster: creations with a limit",
                await rate(creations(store, limited, [Limit(Scope.CLIENT, 5)])),
                "1/s",
            )
            for name in ("first", "next"):
                loads = [lambda r=r: store.sessions.load(r.alias, now=NOW + 31, touch_after=30.0) for r in records]
                row(f"cluster: {name} load by alias", await rate(loads), "1/s")


def memory(server: RedisServer) -> int:
    """Return the bytes that the server says it uses."""
    text = str(server.ask("INFO", "memory"))
    return int(text.partition("used_memory:")[2].split()[0])


def main(wanted: str = "", *numbers: str) -> None:
    parts: dict[str, Callable[..., Any]] = {"calls": calls, "tree": tree, "size": size}
    if wanted == "cluster":
        uvloop.run(cluster())
        return
    with redis_server(appendonly="no") as server:
        for name, part in parts.items():
            if wanted in ("", name):
                uvloop.run(part(server, *map(int, numbers)))


if __name__ == "__main__":
    main(*sys.argv[1:])
