"""The channel in SQLite: at once within a process; between processes a table that subscribers look at.

A subscriber's process asks `PRAGMA data_version` every 50 ms whether anything was written to the file, and reads the
new messages only then. Nobody looks while nobody subscribes. Messages are kept for half a minute. When the file cannot
be read all subscriptions end.
"""

# ruff: noqa: S608 - a namespace is checked before it stands in a statement, and values are bound

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio

from holdfast.core.model import Message
from holdfast.errors import StoreUnavailable
from holdfast.stores.hub import Hub
from holdfast.stores.sqlite.database import Database

LOOK_EVERY_S: Final = 0.05
KEPT_S: Final = 30.0
PRUNE_EVERY: Final = 64  # messages


class SqliteChannel:
    """Implements `Channel`."""

    def __init__(self, database: Database, namespace: str, clock: Callable[[], float]) -> None:
        table = f'"{namespace}/message"'
        self._database, self._clock, self._hub = database, clock, Hub()
        self._origin = secrets.token_bytes(8)
        self._looking: asyncio.Task[None] | None = None
        self._version, self._last = -1, 0
        self._insert = f"INSERT INTO {table} (at, origin, topic, data) VALUES (?, ?, ?, ?)"
        self._prune = f"DELETE FROM {table} WHERE id < (SELECT id FROM {table} WHERE at >= ? ORDER BY id LIMIT 1)"
        self._newest = f"SELECT coalesce(max(id), 0) FROM {table}"
        self._fresh = f"SELECT id, origin, topic, data FROM {table} WHERE id > ? ORDER BY id"

    async def publish(self, topic: str, data: bytes = b"") -> None:
        """See `Channel.publish`."""
        self._hub.deliver(Message(topic, data))
        now = self._clock()

        def call(connection: sqlite3.Connection) -> None:
            number = connection.execute(self._insert, (now, self._origin, topic, data)).lastrowid
            if number is not None and number % PRUNE_EVERY == 0:
                connection.execute(self._prune, (now - KEPT_S,))

        await self._database.write(call)

    @asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[AsyncIterator[Message]]:
        """See `Channel.subscribe`."""
        await self._catch_up()
        try:
            with self._hub.mailbox(topics) as box:
                if self._looking is None:
                    self._looking = asyncio.create_task(self._look())
                yield box
        finally:
            if self._looking is not None and not self._hub:
                self._looking.cancel()
                self._looking = None

    async def _catch_up(self) -> None:
        """Pass over what was said before anybody listened, and deliver what is still on its way to others."""
        if self._looking is None:
            self._last = await self._database.read(lambda connection: connection.execute(self._newest).fetchone()[0])
        else:
            await self._deliver()

    async def _look(self) -> None:
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            try:
                await self._deliver()
            except StoreUnavailable:
                self._hub.end()

    async def _deliver(self) -> None:
        """Deliver what other processes have written since the last time."""
        since, known = self._last, self._version

        def call(connection: sqlite3.Connection) -> tuple[int, list[tuple[int, bytes, str, bytes]]]:
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
            return version, [] if version == known else connection.execute(self._fresh, (since,)).fetchall()

        self._version, messages = await self._database.read(call)
        for number, origin, topic, data in messages:
            if number > self._last:  # else somebody who just subscribed has delivered it
                self._last = number
                if origin != self._origin:
                    self._hub.deliver(Message(topic, data))
