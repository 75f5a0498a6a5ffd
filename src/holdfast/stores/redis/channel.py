"""The channel in Redis: published messages, and one connection on which all subscribers of the process listen.

If that connection breaks, all subscriptions end, and it is made again for as long as somebody listens; what is
published in between is lost, as messages may be. In a Cluster every node passes messages on to every other.
Subscribers of the same process are told at once; each message bears its process's mark, so they do not hear it again.
"""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from holdfast.core.model import Message
from holdfast.errors import StoreUnavailable
from holdfast.stores.hub import Hub
from holdfast.stores.redis.line import connected, packed_command, send
from holdfast.stores.redis.refusals import failure
from holdfast.stores.redis.servers import Servers

FAULTS: Final = (RedisError, OSError)
PAUSE_S: Final = (0.05, 1.0)  # between two tries to listen again, at first and at most
HEARTBEAT: Final = 10.0  # seconds of silence after which the server is asked whether it is there


class RedisChannel:
    """Implements `Channel`."""

    def __init__(self, servers: Servers, namespace: str, *, timeout: float) -> None:
        self._servers, self._timeout = servers, timeout
        self._make: Callable[[], AbstractConnection] = servers.line_for_channel()
        self._prefix = namespace.encode() + b":topic:"
        self._origin = secrets.token_bytes(8)
        self._hub = Hub()
        self._topics: dict[str, int] = {}
        self._heard: dict[bytes, asyncio.Future[None]] = {}
        self._connection: AbstractConnection | None = None
        self._listening: asyncio.Task[None] | None = None

    async def publish(self, topic: str, data: bytes = b"") -> None:
        """See `Channel.publish`."""
        self._hub.deliver(Message(topic, data))
        name = self._name(topic)
        try:
            await self._servers.ask(name, packed_command(b"PUBLISH", name, self._origin + data))
        except ResponseError as exc:
            raise failure(exc) from exc

    @asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[AsyncIterator[Message]]:
        """See `Channel.subscribe`."""
        wanted = set(topics)
        with self._hub.mailbox(topics) as box:
            for topic in wanted:
                self._topics[topic] = self._topics.get(topic, 0) + 1
            try:
                await self._listen_to(wanted)
                yield box
            finally:
                await self._leave(wanted)

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])

    def _name(self, topic: str) -> bytes:
        return self._prefix + topic.encode()

    async def _listen_to(self, topics: set[str]) -> None:
        """Return when the server has confirmed the topics."""
        loop = asyncio.get_running_loop()
        confirmed = [self._heard.setdefault(self._name(topic), loop.create_future()) for topic in topics]
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        elif self._connection is not None:
            await self._tell(self._connection, b"SUBSCRIBE", topics)
        try:
            with anyio.fail_after(self._timeout):
                await asyncio.wait(confirmed)
        except TimeoutError as exc:
            raise StoreUnavailable("the server did not confirm a subscription in time") from exc

    async def _leave(self, topics: set[str]) -> None:
        gone = set()
        for topic in topics:
            self._topics[topic] -= 1
            if not self._topics[topic]:
                del self._topics[topic]
                self._heard.pop(self._name(topic), None)
                gone.add(topic)
        if not self._topics and self._listening is not None:
            self._listening.cancel()
            self._listening = None
        elif gone and self._connection is not None:
            await self._tell(self._connection, b"UNSUBSCRIBE", gone)

    async def _tell(self, connection: AbstractConnection, verb: bytes, topics: set[str]) -> None:
        """Send a command on the listening connection; a fault is noticed where it is read."""
        with suppress(*FAULTS):
            names = [self._name(topic) for topic in sorted(topics)]
            await send(connection, packed_command(verb, *names))

    async def _listen(self) -> None:
        pause = PAUSE_S[0]
        while True:
            connection = self._make()
            try:
                async with asyncio.timeout(self._timeout):
                    await connected(connection)
                self._connection = connection
                await self._tell(connection, b"SUBSCRIBE", set(self._topics))
                pause = PAUSE_S[0]
                await self._hear(connection)
            except FAULTS:
                pause = min(2 * pause, PAUSE_S[1])
            finally:
                self._lose()
                await connection.disconnect(nowait=True)
            await anyio.sleep(pause)

    def _lose(self) -> None:
        """Without a connection nothing is heard: end the subscriptions it served; who comes now waits for the next."""
        if self._connection is not None:
            self._connection = None
            self._hub.end()
            done = [name for name, heard in self._heard.items() if heard.done()]
            self._heard |= {name: asyncio.get_running_loop().create_future() for name in done}

    async def _hear(self, connection: AbstractConnection) -> None:
        """Deliver what comes, until the connection breaks or nothing comes although we ask."""
        while True:
            heard = await self._next(connection, HEARTBEAT)
            if heard is None:
                await send(connection, packed_command(b"PING"))
                heard = await self._next(connection, self._timeout)
                if heard is None:
                    return
            self._take(heard)

    async def _next(self, connection: AbstractConnection, patience: float) -> Any:
        try:
            async with asyncio.timeout(patience):
                return await connection.read_response(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
        except TimeoutError:
            return None

    def _take(self, heard: Any) -> None:
        match heard:
            case [b"message", bytes(name), bytes(data)] if not data.startswith(self._origin):
                self._hub.deliver(Message(name.removeprefix(self._prefix).decode(), data[len(self._origin) :]))
            case [b"subscribe", bytes(name), _] if name in self._heard and not self._heard[name].done():
                self._heard[name].set_result(None)
