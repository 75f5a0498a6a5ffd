"""Attack T6: does the time of a refusal tell anything of an id? 200,000 probes in random order, Welch's t-test.

python bench/lookup_timing.py [STORE] [PROBES] [wire]

STORE is `memory` (default), `sqlite` or a Redis URL; with `wire` each probe is a request to a server in a process of
its own, as an attacker has it. Prints one JSON line per class of ids: its median, and t against random ids. A class
can be told apart where abs(t) > 4.5 (a bound used for leakage tests: TVLA, dudect); times over the 95th percentile
are left out, as they are the machine's. Prefixes must never be told apart; that an id had once lived (expired,
revoked) can only be asked by who knows all its 256 bits.
"""

import asyncio
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx2

from holdfast.config import Settings
from holdfast.core.ids import make_ids
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.errors import SessionNotFound
from holdfast.mcp import asgi
from holdfast.mcp.kinds import KINDS, SESSION
from holdfast.stores import open_store

EACH = 200  # ids of a class
CROP = 0.95
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
KEY = new_key_text()
Probe = Callable[[str], Awaitable[object]]


def near(session_id: str) -> str:
    """Return an id that shares all but its last symbol."""
    return session_id[:-1] + ("A" if session_id[-1] != "A" else "B")


async def classes(manager: Manager) -> dict[str, list[str]]:
    """Return ids of each class; living ones are among them in the store."""
    living = [await manager.open(SESSION, {"version": "2025-11-25"}, owner="") for _ in range(EACH)]
    now, clock = manager.clock(), manager.clock
    manager.clock = lambda: now - 10_000
    expired = [await manager.open(SESSION, {}, owner="") for _ in range(EACH)]
    manager.clock = clock
    revoked = [await manager.open(SESSION, {}, owner="") for _ in range(EACH)]
    for session in revoked:
        await manager.end(session, Reason.ADMIN)
    foreign = [await manager.open(SESSION, {}, owner="ann") for _ in range(EACH)]
    draw = make_ids().generate
    return {
        "random": [draw() for _ in range(EACH)],
        "random again": [draw() for _ in range(EACH)],
        "prefix of a living one": [near(session.id or "") for session in living],
        "expired": [session.id or "" for session in expired],
        "revoked": [session.id or "" for session in revoked],
        "foreign": [session.id or "" for session in foreign],
    }


async def measured(kinds: dict[str, list[str]], probe: Probe, probes: int) -> dict[str, list[int]]:
    """Return the nanoseconds of each probe; every class is tried equally often, in random order."""
    spent: dict[str, list[int]] = {name: [] for name in kinds}
    order = [name for name in kinds for _ in range(probes // len(kinds))]
    random.shuffle(order)
    for name in order:
        tried = random.choice(kinds[name])
        began = time.perf_counter_ns()
        await probe(tried)
        spent[name].append(time.perf_counter_ns() - began)
    return spent


def welch(one: list[int], other: list[int]) -> float:
    """Return Welch's t of two samples, each without its slowest."""
    most = sorted([*one, *other])[int(CROP * (len(one) + len(other))) - 1]
    one, other = [t for t in one if t <= most], [t for t in other if t <= most]
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(spread)


@asynccontextmanager
async def server(url: str) -> AsyncIterator[Probe]:
    """Run a server on the store, and yield how it is asked."""
    command = [sys.executable, __file__, "serve", url, KEY]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

            async def probe(session_id: str) -> object:
                return await http.post("/mcp", json=PING, headers={"mcp-session-id": session_id})

            yield probe
    finally:
        process.terminate()
        process.wait()


async def main(store: str, probes: int, wire: bool) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        url = {"memory": "memory://", "sqlite": f"sqlite:///{folder}/timing.db"}.get(store, store)
        async with open_store(url) as opened:
            manager = Manager(opened, KeyRing.parse(KEY), KINDS, worker="timing")
            kinds = await classes(manager)

            async def look_up(session_id: str) -> None:
                with suppress(SessionNotFound):
                    await manager.load(session_id, kind=SESSION, owner="")

            if wire:
                async with server(url) as probe:
                    spent = await measured(kinds, probe, probes)
            else:
                spent = await measured(kinds, look_up, probes)
    for name, times in spent.items():
        t = 0.0 if name == "random" else welch(times, spent["random"])
        row = {"store": store.partition(":")[0], "wire": wire, "class": name, "probes": len(times)}
        print(json.dumps({**row, "median_us": round(statistics.median(times) / 1000, 2), "t": round(t, 1)}))


def serve(url: str, key: str) -> None:
    """Serve until told to stop; print the port."""
    import socket

    import uvicorn

    from holdfast.web.http1 import BoundedHttp

    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    app = asgi([], store=url, keys=key, settings=Settings(rate_limit_per_session=0))
    config = uvicorn.Config(app, http=BoundedHttp, log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:4])
    else:
        words = [word for word in sys.argv[1:] if word != "wire"]
        store, probes = words + ["memory", "200000"][len(words) :]
        asyncio.run(main(store, int(probes), "wire" in sys.argv))
