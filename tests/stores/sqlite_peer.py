"""Another process on the same SQLite file: `python sqlite_peer.py ROLE URL [ARGUMENT]`. It prints what it saw."""

import json
import sys

import anyio

from holdfast.core.model import Limit, Scope
from holdfast.core.ports import Store
from holdfast.errors import LimitReached, SessionConflict
from holdfast.stores import open_store
from holdfast.testing.contract.base import NOW, all_at_once, root, stored


async def create(store: Store, argument: str) -> None:
    """Try that many creations at once below a limit of five; print how many succeeded, were refused, or failed."""
    calls = [store.sessions.create(root(client="c"), [Limit(Scope.CLIENT, 5)], now=NOW) for _ in range(int(argument))]
    results = await all_at_once(*calls)
    refused = sum(isinstance(result, LimitReached) for result in results)
    failed = sum(isinstance(result, Exception) for result in results) - refused
    print(json.dumps([len(results) - refused - failed, refused, failed]))


async def increment(store: Store, argument: str) -> None:
    """Add one to the payload of a node, that many times, each on the version it read."""
    key, _, times = argument.partition(":")
    node = root(key=bytes.fromhex(key))
    for _ in range(int(times)):
        while True:
            current = await stored(store, node)
            assert current is not None
            changed = type(current)(**{**_fields(current), "payload": b"%d" % (int(current.payload) + 1)})
            try:
                await store.sessions.replace(changed, now=NOW)
            except SessionConflict:
                continue
            break


async def claim(store: Store, argument: str) -> None:
    """Claim what is due until nothing is left; print the keys."""
    keys = []
    while claims := await store.sessions.claim(["mcp"], worker=argument, now=NOW, ttl=15, count=3):
        keys += [claimed.record.key.hex() for claimed in claims]
    print(json.dumps(keys))


async def write(store: Store, argument: str) -> None:
    """Create nodes without end, and print the number of each once it is durable."""
    number = 0
    while True:
        await store.sessions.create(root(name=f"{argument}-{number}", payload=b"p" * 500), now=NOW)
        print(number, flush=True)
        number += 1


async def publish(store: Store, argument: str) -> None:
    """Say something on topic `t`."""
    await store.channel.publish("t", argument.encode())


async def listen(store: Store, argument: str) -> None:
    """Print `ready`, then one message of topic `t`."""
    async with store.channel.subscribe("t") as messages:
        print("ready", flush=True)
        print((await anext(messages)).data.decode(), flush=True)


def _fields(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}  # type: ignore[attr-defined]


ROLES = {role.__name__: role for role in (create, increment, claim, write, publish, listen)}


async def main(role: str, url: str, argument: str) -> None:
    with anyio.fail_after(60):
        async with open_store(url) as store:
            await ROLES[role](store, argument)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
