"""The channel in PostgreSQL: at once within a process; between processes by LISTEN and NOTIFY.

A connection of its own listens from the first subscription on. If it is lost all subscriptions end, and it is opened
again; what was said meanwhile is not heard: a message is a hint. A notification holds less than 8,000 bytes, so a
longer message goes out as several *letters* of one transaction, which the server delivers together and in order.
"""

import asyncio
import base64
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec

from holdfast.core.model import Message
from holdfast.errors import StoreUnavailable
from holdfast.stores.hub import Hub
from holdfast.stores.postgres.connections import Connection
from holdfast.stores.postgres.database import DRIVER, Database

LETTER: Final = 7_900
NOTIFY: Final = (  # losing messages in a crash of the server does no harm
    "SELECT pg_notify($1, letter) FROM set_config('synchronous_commit', 'off', true), unnest($2::text[]) AS letter"
)
PING_S: Final = 10.0
FIRST_NAP_S: Final = 0.05
LONGEST_NAP_S: Final = 2.0


class PostgresChannel:
    """Implements `Channel`."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._database, self._name, self._hub = database, namespace, Hub()
        self._origin = secrets.token_hex(8)
        self._listening: asyncio.Task[None] | None = None
        self._hears = asyncio.Event()
        self._sender, self._parts = (0, ""), list[str]()

    async def publish(self, topic: str, data: bytes = b"") -> None:
        """See `Channel.publish`."""
        self._hub.deliver(Message(topic, data))
        await self._database.rows(NOTIFY, self._name, letters(self._origin, Message(topic, data)))

    @asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[AsyncIterator[Message]]:
        """See `Channel.subscribe`."""
        await self._listen()
        with self._hub.mailbox(topics) as box:
            yield box

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    async def _listen(self) -> None:
        """Return once the server tells us what is said."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._stay())
        try:
            async with asyncio.timeout(self._database.timeout):
                await self._hears.wait()
        except TimeoutError as exc:
            raise StoreUnavailable("the store does not listen") from exc

    async def _stay(self) -> None:
        """Listen for ever, on one connection after the other."""
        nap = FIRST_NAP_S
        while True:
            try:
                async with self._database.dedicated() as connection:
                    await self._hear(connection)
            except (*DRIVER, StoreUnavailable):
                nap = FIRST_NAP_S if self._hears.is_set() else min(2 * nap, LONGEST_NAP_S)
            self._hears.clear()
            self._hub.end()
            await asyncio.sleep(nap * random.uniform(0.5, 1.0))  # noqa: S311 - so that workers do not come all at once

    async def _hear(self, connection: Connection) -> None:
        """Listen on a connection until it is lost; ask now and then whether it is."""
        lost = asyncio.Event()
        self._parts = []
        connection.add_termination_listener(lambda _: lost.set())
        await asyncio.wait_for(connection.add_listener(self._name, self._arrived), self._database.timeout)
        self._hears.set()
        while not lost.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(lost.wait(), PING_S)
                return
            await connection.execute("SELECT 1", timeout=self._database.timeout)

    def _arrived(self, _connection: Any, pid: int, _channel: str, letter: object) -> None:
        origin, left, text = [*str(letter).split(" ", 2), "", ""][:3]
        if origin == self._origin:
            return
        if self._sender != (pid, origin):
            self._sender, self._parts = (pid, origin), []
        self._parts.append(text)
        if left == "0":
            whole, self._parts = "".join(self._parts), []
            with suppress(ValueError, msgspec.DecodeError):  # what another program says here is not for us
                self._hub.deliver(msgspec.msgpack.decode(base64.b64decode(whole), type=Message))


def letters(origin: str, message: Message) -> list[str]:
    """Return a message as notifications: who says it, how many follow, and a piece of it."""
    text = base64.b64encode(msgspec.msgpack.encode(message)).decode()
    pieces = [text[start : start + LETTER] for start in range(0, len(text), LETTER)]
    return [f"{origin} {len(pieces) - number} {piece}" for number, piece in enumerate(pieces, 1)]
