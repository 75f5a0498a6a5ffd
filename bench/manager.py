"""Engine, row 1: load and touch through the manager (id checked, looked up, payload opened), memory store, one core.

Prints one JSON line per figure.
"""

import asyncio
import json
import time

import uvloop

from holdfast.core.kinds import Clocks, Kind
from holdfast.core.manager import Manager
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.stores import open_store

SESSIONS = 10_000
ROUNDS = 7
CONTENT = {"user": "ann", "scopes": ["read", "write"], "cart": {"items": [1, 2, 3], "note": "x" * 120}}


async def measure() -> list[float]:
    """Return loads per second of each round."""
    kinds = [Kind(name="http", clocks=Clocks(idle=1800.0))]
    async with open_store("memory://") as store:
        manager = Manager(store, KeyRing.parse(new_key_text()), kinds, worker="bench")
        ids = [(await manager.open("http", CONTENT, owner="ann")).id or "" for _ in range(SESSIONS)]
        rates = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for session_id in ids:
                await manager.load(session_id, kind="http", owner="ann")
            rates.append(SESSIONS / (time.perf_counter() - began))
        return rates


if __name__ == "__main__":
    rates = sorted(uvloop.run(measure()) if hasattr(uvloop, "run") else asyncio.run(measure()))
    print(json.dumps({"figure": "manager load+touch, memory, sealed", "per_s": round(rates[len(rates) // 2])}))
