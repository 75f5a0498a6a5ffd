"""One statement on a connection, within its time, and the driver's errors as ours."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from holdfast.errors import (
    BadInput,
    ConfigurationError,
    HoldfastError,
    LeaseLost,
    LimitReached,
    SessionConflict,
    SessionEnded,
    SessionExists,
    StoreUnavailable,
)
from holdfast.stores.postgres.connections import Connection, Connections

REFUSALS: Final[dict[str, type[HoldfastError]]] = {  # functions.sql
    "HF001": SessionExists,
    "HF002": SessionEnded,
    "HF003": SessionConflict,
    "HF004": LimitReached,
    "HF005": LeaseLost,
    "HF006": BadInput,
}
AGAIN: Final = frozenset({"40001", "40P01"})  # serialization failure, deadlock: nothing was done
LOOKS: Final = 8  # in the time of a call
NAP_S: Final = (0.001, 0.02)
HARMLESS: Final = ("HF", "22", "23", "40", "42", "3F", "55", "57014")  # after these the connection is as before
SETUP: Final = ("28", "3D", "3F", "42501", "42P01", "42883")  # logon, database, schema; rights, tables, functions
DRIVER: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class Database:
    """Runs statements. `timeout` is how many seconds a call may take, waiting for a connection included (E26).

    A timer per call would cost as much as all else that is done here, so one looks after all of them: it closes the
    connections of calls that would be late before it comes again.
    """

    def __init__(self, connections: Connections, timeout: float) -> None:
        self._connections, self.timeout = connections, timeout
        self._loop = asyncio.get_running_loop()
        self._busy: dict[Connection, float] = {}  # since when
        self._look_every = timeout / LOOKS
        self._looking: asyncio.TimerHandle | None = None

    async def rows(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Return the rows of a statement, which is a transaction of its own.

        One that others stood in the way of is run again, until the time is over.

        Raises:
            StoreUnavailable: The server is out of reach, too slow, or not what it should be.
            HoldfastError: What the statement was refused for.
        """
        began = self._loop.time()
        while True:
            try:
                return await self._once(statement, arguments, began)
            except DRIVER as exc:
                if getattr(exc, "sqlstate", None) not in AGAIN or self._left(began) <= 0:
                    raise ours(exc) from exc
            await asyncio.sleep(random.uniform(*NAP_S))  # noqa: S311 - so that two callers do not keep step

    async def value(self, statement: str, *arguments: Any) -> Any:
        """Return the first column of the first row."""
        return (await self.rows(statement, *arguments))[0][0]

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Connection]:
        """Have a connection for as long as the block runs; the driver's errors are not translated."""
        connection = await self._connections.dedicated(self.timeout)
        try:
            yield connection
        finally:
            await self._connections.end(connection)

    async def close(self) -> None:
        """Close the connections that are our own."""
        if self._looking is not None:
            self._looking.cancel()
        await self._connections.close()

    async def _once(self, statement: str, arguments: tuple[Any, ...], began: float) -> list[asyncpg.Record]:
        connections = self._connections
        connection = connections.idle() or await connections.take(self._left(began))
        self._busy[connection] = began
        if self._looking is None:
            self._looking = self._loop.call_later(self._look_every, self._look)
        try:
            found = await _fetch(connection, statement, arguments)
        except BaseException as exc:
            del self._busy[connection]
            await (connections.give if _harmless(exc) else connections.drop)(connection)
            raise
        del self._busy[connection]
        await connections.give(connection)
        return found

    def _left(self, began: float) -> float:
        return began + self.timeout - self._loop.time()

    def _look(self) -> None:
        """Close the connections that have no answer, and come again if others still wait for one."""
        for connection, began in list(self._busy.items()):
            if self._left(began) <= self._look_every:
                connection.terminate()
        self._looking = self._loop.call_later(self._look_every, self._look) if self._busy else None


async def _fetch(connection: Connection, statement: str, arguments: tuple[Any, ...]) -> list[asyncpg.Record]:
    """Return the rows. A connection that ends between two steps of asyncpg leaves it without a protocol: say so."""
    try:
        return await connection.fetch(statement, *arguments)
    except AttributeError as exc:
        if connection.is_closed():
            raise asyncpg.ConnectionDoesNotExistError("the connection has ended") from exc
        raise


def _harmless(exc: BaseException) -> bool:
    """Say whether a connection is as before after an error: a refusal, or an argument that was never sent."""
    if isinstance(exc, asyncpg.PostgresError):
        return (exc.sqlstate or "").startswith(HARMLESS)
    return isinstance(exc, asyncpg.DataError | UnicodeError)


def ours(exc: BaseException) -> HoldfastError:
    """Return our error for the driver's. Of theirs only names are kept: a message may hold what was to be written."""
    state = getattr(exc, "sqlstate", None) or ""
    if state in REFUSALS:
        return REFUSALS[state](str(exc))
    if state == "23505":
        return SessionExists("the id is taken")
    if isinstance(exc, asyncpg.DataError) or state.startswith("22"):
        return BadInput(f"the store cannot keep such a value ({type(exc).__name__})")
    return StoreUnavailable(f"{type(exc).__name__} {state}" if state else type(exc).__name__)


@asynccontextmanager
async def borrowed(connections: Connections, timeout: float) -> AsyncIterator[Connection]:
    """Have a connection while the block runs; what the driver says there against the set-up is a ConfigurationError."""
    try:
        connection = await connections.take(timeout)
        try:
            yield connection
        except BaseException:
            await connections.drop(connection)
            raise
        await connections.give(connection)
    except (*DRIVER, ValueError) as exc:
        if wrong := set_up_wrong(exc):
            raise wrong from None  # the driver quotes the part of a URL that it cannot read: it may be a password
        raise ours(exc) from exc


def set_up_wrong(exc: BaseException) -> ConfigurationError | None:
    """Return what is wrong with the set-up, if that is what an error at the first statement says."""
    state = getattr(exc, "sqlstate", None) or ""
    if isinstance(exc, ValueError) and not isinstance(exc, OSError):
        return ConfigurationError(
            "the URL of the PostgreSQL store cannot be read", hint="Use postgresql://user@host/db."
        )
    if state.startswith(SETUP):
        return ConfigurationError(
            f"the PostgreSQL server refuses: {type(exc).__name__} {state}",
            hint="Check user, password and database of the store's URL, and the user's rights.",
        )
    return None
