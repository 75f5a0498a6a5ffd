"""A worker of a flow, as a process of its own: python flows_worker.py STORE KEYS URL REUSE MESSAGES [hang]

It processes messages in parallel, two calls each, and prints which sessions the receiver saw. With `hang` it stops in
the middle of a message, after its first call.
"""

import json
import sys
from functools import partial

import anyio

from e2e.flows_world import Flow, flow


async def message(orders: Flow, url: str, seen: set[int], *, hang: bool) -> None:
    async with orders.exchange():
        for path in ("/whole/a", "/whole/b"):
            seen.add((await orders.get(path, log_off=f"{url}/logoff"))["session"])
            if hang:
                print(json.dumps(sorted(seen)), flush=True)
                await anyio.sleep(600)


async def main(store: str, keys: str, url: str, reuse: str, messages: int, *, hang: bool) -> None:
    seen: set[int] = set()
    async with flow(reuse, url, store, keys=keys) as orders, anyio.create_task_group() as tasks:
        for _ in range(messages):
            tasks.start_soon(partial(message, orders, url, seen, hang=hang))
    print(json.dumps(sorted(seen)))


if __name__ == "__main__":
    store, keys, url, reuse, messages, *more = sys.argv[1:]
    anyio.run(partial(main, store, keys, url, reuse, int(messages), hang=bool(more)))
