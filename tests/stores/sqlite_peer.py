"""Another process on the same SQLite file: `python sqlite_peer.py ROLE URL [ARGUMENT]`. It prints what it saw."""

import sys

import anyio

from holdfast.core.ports import Store
from holdfast.stores import open_store
from holdfast.testing.contract.base import NOW, root


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


ROLES = {role.__name__: role for role in (write, publish, listen)}


async def main(role: str, url: str, argument: str) -> None:
    with anyio.fail_after(60):
        async with open_store(url) as store:
            await ROLES[role](store, argument)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
