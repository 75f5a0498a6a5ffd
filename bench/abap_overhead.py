"""What Holdfast costs an agent: the workflow by JSON-RPC against the same ADT requests, from one httpx2 client.

    python bench/abap_overhead.py
    python bench/abap_overhead.py --profile        # and where `holdfast serve` spends its time

The simulator answers every request in 20 ms, `holdfast serve` keeps its state in an SQLite file; both are processes of
their own. The client does validate, create, lock, update, unlock, activate with a class of its own each time: through
Holdfast in the modern and in the legacy era (JSON answers), and straight to the simulator with the requests that
Holdfast sends, byte for byte the same but for cookies, tokens and handles. The three take turns. Logons happen before.
The end of the lock's context is on nobody's path: Holdfast sends it after its answer, the direct client untimed.

Prints a line per way with the medians of its steps in ms, a line per ratio to the direct way, and two that explain
them: the processor time `holdfast serve` spends on a workflow, and what one durable commit costs on this disk.
"""

import argparse
import contextlib
import json
import os
import pstats
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from _abap import Agent, Direct, Server, by_httpx2, edit, holdfast, left_behind, make, one_client, simulator

REACH = 1.25
EDIT = ("Lock", "Update", "Unlock", "Activate")


async def measure(system: str, server: Server, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return what each step took, per way and round; one round before is not counted."""
    async with one_client() as client:
        direct = Direct(client, system)
        agents = {era: Agent(by_httpx2(client, server.url), era) for era in ("modern", "legacy")}
        ways: dict[str, Any] = {"direct": direct, **agents}
        for way in ways.values():
            await way.open()
        spans: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        used = server.cpu_s()
        for number in range(rounds + 1):
            for name, way in ways.items():
                class_name = f"ZCL_{name}_{number}".upper()
                spans[name].append(await make(way, class_name) | await edit(way, class_name, number))
                if way is direct:
                    await direct.end_context()
        used = (server.cpu_s() - used) / (rounds + 1) / len(agents)
        print(json.dumps({"figure": "processor time of holdfast serve per workflow", "ms": round(1000 * used, 1)}))
        for agent in agents.values():
            await agent.close()
        if left := await left_behind(client, system):
            raise RuntimeError(f"{left} locks or contexts were left behind")
        return {name: rows[1:] for name, rows in spans.items()}


def report(spans: dict[str, list[dict[str, float]]], rounds: int) -> None:
    """Print the medians of the steps, and the ratios of whole workflows to the direct way."""
    for name, rows in spans.items():
        steps = {step: round(statistics.median(row[step] for row in rows), 2) for step in rows[0]}
        print(json.dumps({"way": name, "ms": steps}))
    for figure, steps in (("lock to activate", EDIT), ("validate to activate", tuple(spans["direct"][0]))):
        ms = {name: statistics.median(sum(row[step] for step in steps) for row in rows) for name, rows in spans.items()}
        for name in ("modern", "legacy"):
            ratio = ms[name] / ms["direct"]
            row = {"figure": f"{figure}, {name} JSON", "ms": round(ms[name], 1), "direct_ms": round(ms["direct"], 1)}
            print(json.dumps(row | {"ratio": round(ratio, 3), "reach": f"<= {REACH}", "rounds": rounds}))


def commit_ms(path: Path) -> float:
    """Return the median time of a durable SQLite commit of 500 bytes."""
    spans = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (b BLOB)")
        for _ in range(200):
            began = time.perf_counter()
            connection.execute("INSERT INTO t VALUES (?)", (os.urandom(500),))
            spans.append(time.perf_counter() - began)
    return 1000 * statistics.median(spans)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--delay-ms", type=float, default=20)
    parser.add_argument("--profile", action="store_true", help="run the server under cProfile; its figures are slower")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commit = {"figure": "one durable SQLite commit", "ms": round(commit_ms(Path(folder) / "bare.db"), 2)}
        print(json.dumps(commit))
        store, profile = f"sqlite:///{folder}/holdfast.db", Path(folder) / "profile"
        with (
            simulator(given.delay_ms) as system,
            holdfast(system.url, store, profile=profile if given.profile else None) as server,
        ):
            report(uvloop.run(measure(system.url, server, given.rounds)), given.rounds)
        if given.profile:
            pstats.Stats(str(profile)).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
