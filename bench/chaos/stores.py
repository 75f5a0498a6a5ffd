"""The store under test: where it is, and how it is out of reach for a while.

Redis and PostgreSQL are servers that are stopped and started again. A SQLite file cannot be stopped; another process
that holds its write lock is what puts it out of reach for writing.
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.to_thread

NAMES = ("sqlite", "redis", "postgres")


class Kept(Protocol):
    """A store that can be put out of reach."""

    url: str

    async def outage(self, seconds: float) -> None:
        """Be out of reach for so long."""
        ...


class Sqlite:
    """A file."""

    def __init__(self, path: Path) -> None:
        self._path, self.url = path, f"sqlite:///{path}"

    async def outage(self, seconds: float) -> None:
        """Hold the file's write lock."""
        database = sqlite3.connect(self._path, isolation_level=None, timeout=seconds, check_same_thread=False)
        try:
            await anyio.to_thread.run_sync(database.execute, "BEGIN IMMEDIATE")
            await anyio.sleep(seconds)
        finally:
            database.close()


class Server:
    """A server of the tests."""

    def __init__(self, server: Any) -> None:
        self._server, self.url = server, server.url

    async def outage(self, seconds: float) -> None:
        """Stop it, and start it again with the data it had."""
        await anyio.to_thread.run_sync(self._server.stop)
        try:
            await anyio.sleep(seconds)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._server.start)


class Elsewhere:
    """A store somebody else runs: it cannot be stopped from here."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def outage(self, seconds: float) -> None:
        """Leave it alone."""


@asynccontextmanager
async def kept(name: str, folder: Path) -> AsyncIterator[Kept]:
    """Start the store of this name, or take the one at this URL."""
    if name == "sqlite":
        yield Sqlite(folder / "holdfast.db")
    elif name not in NAMES:
        yield Elsewhere(name)
    else:
        server = _server(name)
        opened = await anyio.to_thread.run_sync(server.__enter__)
        try:
            yield Server(opened)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(server.__exit__, None, None, None)


def _server(name: str) -> AbstractContextManager[Any]:
    if name == "redis":
        from servers.redis import redis_server

        return redis_server()
    from servers.postgres import postgres_server

    return postgres_server()
