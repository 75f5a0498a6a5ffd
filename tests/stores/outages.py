"""What the tests of every server's outages do alike: take it away, bring it back, listen meanwhile."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import anyio
from anyio.abc import TaskStatus

from holdfast.core.model import Message
from holdfast.core.ports import Store
from holdfast.core.together import listen
from servers.postgres import PostgresServer
from servers.redis import RedisServer, RedisServers

PATIENCE_S = 20.0
Server = RedisServer | RedisServers | PostgresServer


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def paused(server: Server) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


async def is_called_after(outage: AbstractContextManager[None], store: Store) -> None:
    """Listen during an outage, and return once the listener was told that it is over."""
    returned = anyio.Event()

    async def take(message: Message) -> None:
        raise AssertionError(message)

    async def hear(*, task_status: TaskStatus[None]) -> None:
        await listen(store.channel, ["t"], take, back=returned.set, task_status=task_status)

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            await tasks.start(hear)
            with outage:
                pass
            await returned.wait()
            tasks.cancel_scope.cancel()
