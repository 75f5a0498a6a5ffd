"""The stores through their ports, without the manager: one JSON line per figure.

python bench/store_ports.py            # all rows
python bench/store_ports.py memory     # one of them; or sqlite
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from holdfast.core.model import Reason, Record, Ref
from holdfast.core.ports import Store
from holdfast.stores import open_store

NOW = 1_800_000_000.0
IDLE = 1_800.0
SESSIONS = 100_000
CREATIONS = 20_000
IN_FLIGHT = 64


def session(number: int, *, used_at: float = NOW) -> Record:
    """Return an idle session of the kind mcp with a payload of 200 bytes, a name and a client of its own."""
    key = os.urandom(16)
    return Record(
        key=key,
        tree=key,
        alias=os.urandom(32),
        mark=key.hex()[:8],
        kind="mcp",
        owner=f"user-{number}",
        client=f"user-{number}",
        label=f"session {number}",
        payload=os.urandom(200),
        created_at=used_at,
        used_at=used_at,
        idle=IDLE,
        ends_at=used_at + 43_200.0,
    )


def row(name: str, value: float, unit: str, reach: str = "") -> None:
    """Print one figure."""
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "reach": reach}), flush=True)


def resident() -> int:
    """Return the resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def memory_touch() -> None:
    async with open_store("memory://") as store:
        gc.collect()
        before = resident()
        refs = []
        began = time.perf_counter()
        for number in range(SESSIONS):
            record = session(number, used_at=NOW + number * IDLE / SESSIONS)  # in use at different times, as they are
            await store.sessions.create(record, now=NOW)
            refs.append(record.ref)
        row("memory: creations", SESSIONS / (time.perf_counter() - began), "1/s")
        spent = resident() - before - sys.getsizeof(refs) - len(refs) * sys.getsizeof(refs[0])
        row("memory: resident per idle session", spent / SESSIONS, "bytes", "<= 1536")
        await touch_all(store, refs[:10_000])


async def touch_all(store: Store, refs: list[Ref]) -> None:
    now, rounds, load = NOW, 30, store.sessions.load
    spans = []
    began = time.perf_counter()
    for _ in range(rounds):
        now += 31.0  # every use is due to be recorded, and moves the session to another place in the timeline
        for ref in refs:
            assert await load(ref, now=now, touch_after=30.0) is not None
    row("memory: load and touch", rounds * len(refs) / (time.perf_counter() - began), "1/s", ">= 300000")
    for ref in refs:
        now += 0.01
        started = time.perf_counter()
        await load(ref, now=now, touch_after=0.0)
        spans.append(time.perf_counter() - started)
    row("memory: p99 of a touch among 100,000 sessions", sorted(spans)[len(spans) * 99 // 100] * 1000, "ms", "<= 1")


async def found(url: str, living: int, expired: int = 10_000) -> float:
    """Return how long it takes to find and remove what has expired among so many."""
    async with open_store(url) as store:
        for start in range(0, living + expired, 512):
            async with anyio.create_task_group() as group:
                for number in range(start, min(start + 512, living + expired)):
                    record = session(number, used_at=NOW - (IDLE if number < expired else 0))
                    group.start_soon(lambda record: store.sessions.create(record, now=NOW), record)
        gc.collect()
        began = time.perf_counter()
        while page := await store.sessions.find("expired", NOW, count=1_000):
            await store.sessions.delete([record.ref for record in page])
        return time.perf_counter() - began


async def expiry(store: str, many: int, url: Callable[[], str]) -> None:
    few = min([await found(url(), 20_000 - 10_000) for _ in range(3)])
    lots = min([await found(url(), many - 10_000) for _ in range(2)])
    row(f"{store}: sweep of 10,000 expired among 20,000", few, "s")
    row(f"{store}: sweep of 10,000 expired among {many:,}", lots, "s")
    row(f"{store}: ratio of the two", lots / few, "", "<= 1.5")


async def create_many(url: str, number: int, in_flight: int) -> float:
    """Return durable creations per second."""
    async with open_store(url) as store:
        records = iter([session(n) for n in range(number)])

        async def worker() -> None:
            for record in records:
                await store.sessions.create(record, now=NOW)

        began = time.perf_counter()
        async with anyio.create_task_group() as group:
            for _ in range(in_flight):
                group.start_soon(worker)
        return number / (time.perf_counter() - began)


async def sqlite_one(url: str) -> None:
    rates = sorted([await create_many(url, CREATIONS, IN_FLIGHT) for _ in range(3)])
    row("sqlite: durable creations, 64 in flight, one process", rates[1], "1/s", ">= 5000")
    async with open_store(url) as store:
        refs = [record.ref for record in await store.sessions.find("all", b"", count=2_000)]
        await timed(
            "sqlite: load without a touch, one after another", 1, refs, lambda r: store.sessions.load(r, now=NOW)
        )
        await timed("sqlite: load without a touch, 64 in flight", 64, refs, lambda r: store.sessions.load(r, now=NOW))
        await timed(
            "sqlite: load and touch, 64 in flight",
            64,
            refs,
            lambda r: store.sessions.load(r, now=NOW + 31, touch_after=30.0),
        )


async def timed(name: str, in_flight: int, refs: list[Ref], call: Callable[[Ref], Awaitable[object]]) -> None:
    rest = iter(refs)

    async def worker() -> None:
        for ref in rest:
            await call(ref)

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(in_flight):
            group.start_soon(worker)
    row(name, len(refs) / (time.perf_counter() - began), "1/s")


async def mark(store_name: str, url: str) -> None:
    async with open_store(url) as store:
        root = session(0)
        await store.sessions.create(root, now=NOW)
        leaves = [session(n) for n in range(1_000)]
        placed = [
            Record(**{**{f: getattr(leaf, f) for f in Record.__struct_fields__}, "tree": root.key, "parent": root.key})
            for leaf in leaves
        ]
        async with anyio.create_task_group() as group:
            for record in placed:
                group.start_soon(lambda record: store.sessions.create(record, now=NOW), record)
        began = time.perf_counter()
        await store.sessions.end(root.ref, Reason.LOGOUT, now=NOW)
        row(f"{store_name}: marking a node with 1,000 below", (time.perf_counter() - began) * 1000, "ms", "<= 5")
        began = time.perf_counter()
        await store.sessions.delete([*(record.ref for record in placed), root.ref])
        row(f"{store_name}: removing 1,001 rows", (time.perf_counter() - began) * 1000, "ms", "<= 100")


def main(wanted: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = iter(range(1_000))

        def file() -> str:
            return f"sqlite:///{folder}/{next(files)}.db"

        if wanted in ("", "memory"):
            anyio.run(memory_touch)
            anyio.run(mark, "memory", "memory://")
            anyio.run(expiry, "memory", 1_000_000, lambda: "memory://")
        if wanted in ("", "sqlite"):
            anyio.run(sqlite_one, file())
            four(file())
            anyio.run(mark, "sqlite", file())
            anyio.run(expiry, "sqlite", 200_000, file)


def four(url: str) -> None:
    """Let four processes create at once, 16 in flight each, and add up what they reach together."""
    anyio.run(create_many, url, 1, 1)  # the tables
    start = time.time() + 2.0
    command = [sys.executable, __file__, "--create", url, str(start)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    ends = [float(process.communicate()[0] or "nan") for process in processes]
    failed = sum(process.returncode != 0 for process in processes)
    row("sqlite: durable creations, four processes in all", 4 * CREATIONS / 2 / (max(ends) - start), "1/s", ">= 2000")
    row("sqlite: of four processes, those that saw an error", failed, "", "0")


def create_from(url: str, start: float) -> None:
    """Be one of the four: begin at `start` and print when it was done."""

    async def run() -> None:
        await anyio.sleep(start - time.time())
        await create_many(url, CREATIONS // 2, IN_FLIGHT // 4)

    anyio.run(run)
    print(time.time())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--create"]:
        create_from(sys.argv[2], float(sys.argv[3]))
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "")
