"""An SDK server on Holdfast: two workers that share a Redis, against one worker with its sessions in memory.

    python bench/mcp_workers.py                     # 3 interleaved rounds, about half a minute

The one worker has core 0 and the load core 1. The two workers have a core each; Redis and the load have none of their
own and share these two, so they take from what the workers could do: how much is given as `shared_us`, processor time
of Redis and of the load per request. Half of the connections go to either worker, and every session was opened at the
other one. `by_cpu` is the ratio on a machine where Redis and the load have cores of their own: two workers at their
processor time per request, against one at its.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import uvloop
from mcp_echo import LOAD_CORE, STORE, Connection, Variant, cpu_seconds, prepared, running
from redis import Redis

from holdfast.core.sealing import new_key_text
from servers.redis import RedisServer, redis_server

CONNECTIONS = 16
REACH = 1.3
MODES = (
    Variant("legacy JSON", "sdk-on-holdfast", "legacy"),
    Variant("legacy SSE", "sdk-on-holdfast-stream", "legacy"),
)


class Arrangement(NamedTuple):
    """Workers, each a port and a process id; what else works for them; on which cores the load runs."""

    name: str
    workers: Sequence[tuple[int, int]]
    helpers: Sequence[int]
    cores: set[int]


async def drive(arrangement: Arrangement, variant: Variant, seconds: float) -> tuple[float, float, float, float, float]:
    """Return requests per second, p50 and p99 in ms, and microseconds per request of workers and of the others."""
    os.sched_setaffinity(0, arrangement.cores)
    loop, workers = asyncio.get_running_loop(), arrangement.workers
    made, requests = [], []
    for number in range(CONNECTIONS):
        here, other = workers[number % len(workers)][0], workers[(number + 1) % len(workers)][0]
        opener = (await loop.create_connection(Connection, "127.0.0.1", other))[1]
        requests.append(await prepared(opener, variant, here))
        opener.transport.close()
        made.append((await loop.create_connection(Connection, "127.0.0.1", here))[1])
    await asyncio.gather(*(c.repeat(r, seconds / 5) for c, r in zip(made, requests, strict=True)))

    def used() -> tuple[float, float]:
        others = time.process_time() + sum(cpu_seconds(pid) for pid in arrangement.helpers)
        return sum(cpu_seconds(pid) for _, pid in workers), others

    began, (theirs, others) = time.perf_counter(), used()
    await asyncio.gather(*(c.repeat(r, seconds) for c, r in zip(made, requests, strict=True)))
    took, (theirs_after, others_after) = time.perf_counter() - began, used()
    times = sorted(one for connection in made for one in connection.times)
    for connection in made:
        connection.transport.close()
    count = len(times)
    by_worker, by_others = 1e6 * (theirs_after - theirs) / count, 1e6 * (others_after - others) / count
    return count / took, 1000 * times[count // 2], 1000 * times[int(count * 0.99)], by_worker, by_others


def process_of(redis: RedisServer) -> int:
    """Return the process id of a Redis server."""
    with Redis.from_url(redis.url) as client:
        return int(client.info("server")["process_id"])


def measure(rounds: int, seconds: float) -> None:
    """Print a line for each arrangement and mode, and the ratios."""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        for variant in MODES:
            os.environ.pop(STORE, None)
            alone = stack.enter_context(running(variant.server))
            os.environ |= {STORE: redis.url, "HOLDFAST_KEYS": new_key_text()}
            pair = [stack.enter_context(running(variant.server, core)) for core in ("0", "1")]
            arrangements = (
                Arrangement("one worker, memory", [alone], (), {LOAD_CORE}),
                Arrangement("two workers, Redis", pair, (process_of(redis),), {0, LOAD_CORE}),
            )
            seen = {arrangement.name: [] for arrangement in arrangements}
            for _ in range(rounds):
                for arrangement in arrangements:
                    seen[arrangement.name].append(uvloop.run(drive(arrangement, variant, seconds)))
            rows = {
                name: [statistics.median(column) for column in zip(*each, strict=True)] for name, each in seen.items()
            }
            for name, (rate, p50, p99, cpu, shared) in rows.items():
                times = {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}
                row = {"server": f"SDK server on Holdfast {variant.name}, {name}", "rps": round(rate), **times}
                print(json.dumps(row | {"cpu_us": round(cpu, 1), "shared_us": round(shared, 1)}))
            one, two = rows.values()
            figure = {"figure": f"{variant.name}: two workers with Redis beside one with memory"}
            ratios = {"times": round(two[0] / one[0], 2), "by_cpu": round(2 * one[3] / two[3], 2)}
            print(json.dumps(figure | ratios | {"reach": f">= {REACH}"}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    measure(given.rounds, given.seconds)


if __name__ == "__main__":
    main()
