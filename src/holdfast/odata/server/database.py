"""A database of SQLAlchemy's, sync or async, as async code uses it: one transaction for a unit of work."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import anyio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

R = TypeVar("R")
Work = Callable[[sa.Connection], R]


class Database:
    """One engine. Work is a function of a connection, and runs in a thread or as SQLAlchemy's own async does."""

    def __init__(self, engine: sa.Engine | AsyncEngine) -> None:
        self._engine = engine
        self._current: ContextVar[_Connection[Any] | None] = ContextVar("holdfast_odata_transaction", default=None)

    @classmethod
    def of(cls, engine: sa.Engine | AsyncEngine) -> "Database":
        """Return the database of an engine, the same for all its tables: they share transactions."""
        return _KNOWN.setdefault(engine, cls(engine))

    async def run(self, work: Work[R]) -> R:
        """Do some work, in the transaction around it or in one of its own."""
        current = self._current.get()
        if current is not None:
            return await current.run(work)
        async with self.transaction():
            return await self.run(work)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Let what runs in the block be one transaction: kept if the block is left without an error."""
        if self._current.get() is not None:
            yield
            return
        connection = await self._connect()
        token = self._current.set(connection)
        try:
            yield
        except BaseException:
            await connection.end(keep=False)
            raise
        else:
            await connection.end(keep=True)
        finally:
            self._current.reset(token)

    async def _connect(self) -> "_Connection[Any]":
        if isinstance(self._engine, AsyncEngine):
            return _Async(await self._engine.connect())
        return _Threaded(await anyio.to_thread.run_sync(self._engine.connect))


C = TypeVar("C")


class _Connection(ABC, Generic[C]):
    def __init__(self, connection: C) -> None:
        self._connection = connection

    @abstractmethod
    async def run(self, work: Work[R]) -> R: ...

    async def end(self, *, keep: bool) -> None:
        """Commit or roll back, and give the connection back, also if the request is cancelled."""
        with anyio.CancelScope(shield=True):
            try:
                await self.run(lambda connection: connection.commit() if keep else connection.rollback())
            finally:
                await self._close()

    @abstractmethod
    async def _close(self) -> None: ...


class _Threaded(_Connection[sa.Connection]):
    async def run(self, work: Work[R]) -> R:
        return await anyio.to_thread.run_sync(work, self._connection)

    async def _close(self) -> None:
        await anyio.to_thread.run_sync(self._connection.close)


class _Async(_Connection[AsyncConnection]):
    async def run(self, work: Work[R]) -> R:
        return await self._connection.run_sync(work)

    async def _close(self) -> None:
        await self._connection.close()


_KNOWN: WeakKeyDictionary[sa.Engine | AsyncEngine, Database] = WeakKeyDictionary()
