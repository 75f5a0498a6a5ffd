"""Where a statement gets its connection: from a few of our own, or from a pool that somebody lends us.

Our own are handed out without a word to the server: asyncpg's pool sends a reset at each release, a second round trip
per call. A connection whose call was cancelled or took too long is put aside until the server has answered again, for
so long as a call may take; if it does not, or the connection is broken, it is closed. Nobody waits for that.
"""

import asyncio
from collections import deque
from typing import Any, Final, Protocol, TypeAlias

import asyncpg

from holdfast.errors import StoreUnavailable

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

MOST: Final = 10  # connections per opened store, one more for its channel
CLOSE_S: Final = 1.0
SHARE: Final = 0.75  # of a call's time, after which the server gives up a statement: before its caller does
SETTINGS: Final = (  # no sequential scan: plans are made, and kept, before the tables grow; a commit is on disk (E28)
    "SET statement_timeout = {milliseconds}; SET enable_seqscan = off; "
    "SET jit = off; SET default_transaction_isolation = 'read committed'; SET application_name = 'holdfast'; "
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)


class Connections(Protocol):
    """Lends connections, one caller each at a time."""

    def idle(self) -> "Connection | None":
        """Return a connection if there is one at once."""
        ...

    async def take(self, timeout: float) -> Connection:
        """Return a connection within `timeout` seconds; raise TimeoutError, OSError or what the driver raises."""
        ...

    async def give(self, connection: Connection) -> None:
        """Take back a connection on which nothing is under way."""
        ...

    async def drop(self, connection: Connection) -> None:
        """Take back a connection that is in doubt: it is used again only if it proves to be sound. Nobody waits."""
        ...

    async def dedicated(self, timeout: float) -> Connection:
        """Return a connection for long; it ends with `end`."""
        ...

    async def end(self, connection: Connection) -> None:
        """Close a dedicated connection without waiting for the server."""
        ...

    async def close(self) -> None:
        """Close what is our own."""
        ...


class OwnConnections:
    """Implements `Connections`: opened when they are needed, kept until the store is closed."""

    def __init__(self, url: str, timeout: float, most: int = MOST) -> None:
        self._url, self._timeout, self._most, self._count = url, timeout, most, 0
        self._settings = SETTINGS.format(milliseconds=max(int(timeout * SHARE * 1000), 1))
        self._idle: list[Connection] = []
        self._mending: set[asyncio.Task[None]] = set()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._closed = False

    def idle(self) -> "Connection | None":
        """See `Connections.idle`."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._count -= 1
        return None

    async def take(self, timeout: float) -> Connection:
        """See `Connections.take`."""
        if idle := self.idle():
            return idle
        async with asyncio.timeout(timeout):
            while self._count >= self._most:
                handed = await self._hand()
                if handed is not None and not handed.is_closed():
                    return handed
                if handed is not None:
                    self._count -= 1
            return await self._open()

    async def give(self, connection: Connection) -> None:
        """See `Connections.give`."""
        if self._closed:
            self._lose(connection)
        elif not self._hand_on(connection):
            self._idle.append(connection)

    async def drop(self, connection: Connection) -> None:
        """See `Connections.drop`."""
        if self._closed or connection.is_closed():
            self._lose(connection)
        else:
            mending = asyncio.create_task(self._mend(connection))
            self._mending.add(mending)
            mending.add_done_callback(self._mending.discard)

    async def dedicated(self, timeout: float) -> Connection:
        """See `Connections.dedicated`: it does not count among the others."""
        async with asyncio.timeout(timeout):
            return await self._connect()

    async def end(self, connection: Connection) -> None:
        """See `Connections.end`."""
        connection.terminate()

    async def close(self) -> None:
        """See `Connections.close`. A call that is still under way loses its connection when it is done."""
        self._closed = True
        for mending in list(self._mending):
            mending.cancel()
        await asyncio.gather(*self._mending, return_exceptions=True)
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(_close, idle))

    async def _mend(self, connection: Connection) -> None:
        """Use a connection again once the server has answered on it; asyncpg has asked it to cancel the statement."""
        try:
            async with asyncio.timeout(self._timeout):
                await connection.execute("SELECT 1")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            self._lose(connection)
        except BaseException:
            self._lose(connection)
            raise
        else:
            await self.give(connection)

    def _lose(self, connection: Connection) -> None:
        connection.terminate()
        self._count -= 1
        self._hand_on(None)

    async def _open(self) -> Connection:
        self._count += 1
        try:
            return await self._connect()
        except BaseException:
            self._count -= 1
            self._hand_on(None)
            raise

    async def _connect(self) -> Connection:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        connection: Any = await asyncpg.connect(
            self._url, statement_cache_size=256, max_cached_statement_lifetime=0, max_cacheable_statement_size=0
        )
        try:
            await connection.execute(self._settings)
        except BaseException:
            connection.terminate()
            raise
        return connection  # type: ignore[no-any-return]

    async def _hand(self) -> "Connection | None":
        """Wait for a connection, or for None: leave to open another."""
        waiting: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except BaseException:
            if waiting.done() and not waiting.cancelled():  # it came at the moment we gave up
                await self._pass_by(waiting.result())
            raise

    async def _pass_by(self, connection: "Connection | None") -> None:
        if connection is None:
            self._hand_on(None)
        else:
            await self.give(connection)

    def _hand_on(self, connection: "Connection | None") -> bool:
        """Give the first who still waits a connection, or leave to open one; False if nobody waits."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(connection)
                return True
        return False


async def _close(connection: Connection) -> None:
    """Take leave of the server, or leave without if it does not answer."""
    try:
        await connection.close(timeout=CLOSE_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        connection.terminate()


class LentConnections:
    """Implements `Connections` over a pool of the caller's, which stays open. The pool's settings are its own."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def idle(self) -> "Connection | None":
        """See `Connections.idle`: a pool's are never at hand at once."""
        return None

    async def take(self, timeout: float) -> Connection:
        """See `Connections.take`."""
        return await self._pool.acquire(timeout=timeout)

    async def give(self, connection: Connection) -> None:
        """See `Connections.give`."""
        await self._pool.release(connection)  # type: ignore[arg-type]

    async def drop(self, connection: Connection) -> None:
        """See `Connections.drop`."""
        connection.terminate()
        await self._pool.release(connection)  # type: ignore[arg-type]

    async def dedicated(self, timeout: float) -> Connection:
        """See `Connections.dedicated`: one of the pool's connections is in use as long as the channel is."""
        return await self._pool.acquire(timeout=timeout)

    async def end(self, connection: Connection) -> None:
        """See `Connections.end`."""
        await self.drop(connection)

    async def close(self) -> None:
        """See `Connections.close`: nothing here is our own."""
