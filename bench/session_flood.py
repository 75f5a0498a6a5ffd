"""Attack T19: a million sessions are opened from one address and from many, while old users go on.

python bench/session_flood.py [STORE] [SESSIONS]

STORE is `memory` (default), `sqlite` or a Redis URL. Each way is run with the limits that bound it: sessions per
client where the address is one, the total where there are many. Prints a JSON line for each: how many were opened and
refused, what the process grew by, how fast creations were at the beginning and at the end, and that the old users'
sessions are still there.
"""

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from holdfast.config import Settings
from holdfast.core.kinds import Limits
from holdfast.core.manager import Manager
from holdfast.core.model import Policy
from holdfast.core.sealing import new_key_text
from holdfast.engine import open_engine
from holdfast.errors import LimitReached
from holdfast.mcp.kinds import KINDS, SESSION

CONTENT = {"version": "2025-11-25", "client": {"name": "flood", "version": "1"}, "capabilities": {}}
OLD_USERS = 100
PART = 10_000
PER_CLIENT, TOTAL = 100, 100_000


def resident() -> int:
    """Return the bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def flood(manager: Manager, count: int, limits: Limits, client: Callable[[int], str]) -> dict[str, object]:
    """Open sessions one after the other; return what came of it."""
    old = [await manager.open(SESSION, CONTENT, owner=f"old{n}", limits=limits) for n in range(OLD_USERS)]
    gc.collect()
    before, opened, seconds = resident(), 0, list[float]()
    for part in range(0, count, PART):
        began = time.perf_counter()
        for number in range(part, min(part + PART, count)):
            try:
                await manager.open(SESSION, CONTENT, client=client(number), limits=limits)
                opened += 1
            except LimitReached:
                pass
            await asyncio.sleep(0)  # a request would let the keeper have its turn as well
        seconds.append(time.perf_counter() - began)
    for session in old:
        await manager.load(session.id or "", kind=SESSION, owner=session.owner)
    gc.collect()
    return {
        "opened": opened,
        "refused": count - opened,
        "grew_mib": round((resident() - before) / 2**20, 1),
        "first_per_s": round(PART / seconds[0]),
        "last_per_s": round(PART / seconds[-1]),
        "old_users_kept": len(old),
    }


async def main(store: str, count: int) -> None:
    """Flood an empty store in each way."""
    ways = {
        "one address": (Limits(per_client=PER_CLIENT, policy=Policy.LEAST_RECENT), lambda number: "203.0.113.9"),
        "one address, refused": (Limits(per_client=PER_CLIENT, policy=Policy.REJECT), lambda number: "203.0.113.9"),
        "many addresses": (Limits(per_client=PER_CLIENT, total=TOTAL), lambda number: f"n{number}"),
    }
    for way, (limits, client) in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            url = {"memory": "memory://", "sqlite": f"sqlite:///{folder}/flood.db"}.get(store, store)
            settings = Settings(namespace=f"flood{os.getpid()}")
            async with open_engine(url, kinds=KINDS, keys=new_key_text(), settings=settings) as engine:
                row = await flood(engine.manager, count, limits, client)
                print(json.dumps({"store": store.partition(":")[0], "way": way, **row}), flush=True)
                if way == [*ways][-1]:
                    os._exit(0)  # a store in memory would be ended session by session


if __name__ == "__main__":
    store, count = [*sys.argv[1:], *["memory", "1000000"][len(sys.argv) - 1 :]]
    uvloop.run(main(store, int(count)))
