"""The PostgreSQL store: one schema per namespace, one statement per call, notifications for channels.

Every call of a port is one statement and so one round trip (E25). What it means stands in `functions.sql`: the same
rules as `stores.forest`, run beside the rows. `holdfast store migrate` creates and updates the schema, which has the
name of the namespace; the store itself never does.

PgBouncer in session mode works. In transaction mode all calls work if it knows prepared statements (1.21 and later),
but a channel hears nothing, since LISTEN belongs to a server's session: `holdfast store check` tells
(`channel_deaf`). Needs PostgreSQL 13 or later.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from holdfast.core.ports import Store
from holdfast.errors import ConfigurationError
from holdfast.stores.care import Care
from holdfast.stores.postgres.care import PostgresCare
from holdfast.stores.postgres.channel import PostgresChannel
from holdfast.stores.postgres.connections import Connections, LentConnections, OwnConnections, Pool
from holdfast.stores.postgres.counters import PostgresCounters
from holdfast.stores.postgres.database import Database, borrowed
from holdfast.stores.postgres.events import PostgresEventLog
from holdfast.stores.postgres.schema import found, refuse_other, schema_of
from holdfast.stores.postgres.sessions import PostgresLeases, PostgresSessions

TIMEOUT_S: Final = 2.0  # how long a call may take, connecting included (E26)
SETTINGS: Final = "SELECT current_setting('transaction_isolation'), current_setting('synchronous_commit')"


@asynccontextmanager
async def open_postgres(
    url: str, *, namespace: str = "holdfast", clock: Callable[[], float] = time.time, timeout: float = TIMEOUT_S
) -> AsyncIterator[Store]:
    """Open the store at a server for as long as the block runs.

    Args:
        url: `postgresql://user:password@host:port/database`, or with `?host=/socket/folder`; several hosts and all
            else that asyncpg understands.
        clock: Not used: callers say what time it is.
        timeout: Seconds a call may take, connecting included.
    Raises:
        ConfigurationError: The server refuses the user, or has no schema of this release for the namespace.
        StoreUnavailable: The server is out of reach.
    """
    schema_of(namespace)
    async with _opened(OwnConnections(url, timeout), namespace, timeout, url) as store:
        yield store


@asynccontextmanager
async def postgres_store(
    pool: Pool, *, namespace: str = "holdfast", clock: Callable[[], float] = time.time, timeout: float = TIMEOUT_S
) -> AsyncIterator[Store]:
    """Open the store on a pool of asyncpg's, which stays open when the block ends (E22).

    One of its connections is in use as long as somebody has subscribed to a channel. Its transactions must begin READ
    COMMITTED, and be on disk when they are committed. It is slower than connections of the store's own, since the pool
    asks for a reset at every release.

    Raises:
        ConfigurationError: The pool's settings are other ones, or the server has no schema of this release.
    """
    schema_of(namespace)
    async with _opened(LentConnections(pool), namespace, timeout) as store:
        yield store


@asynccontextmanager
async def postgres_care(url: str, *, namespace: str = "holdfast", timeout: float = TIMEOUT_S) -> AsyncIterator[Care]:
    """Look after a namespace at a server for as long as the block runs.

    Raises:
        ConfigurationError: The namespace cannot be used.
    """
    schema_of(namespace)
    connections = OwnConnections(url, timeout)
    try:
        yield PostgresCare(connections, namespace, timeout)
    finally:
        await connections.close()


@asynccontextmanager
async def _opened(connections: Connections, namespace: str, timeout: float, url: str = "") -> AsyncIterator[Store]:
    database = Database(connections, timeout)
    channel = PostgresChannel(database, namespace)
    try:
        await _refuse_unready(connections, namespace, timeout)
        yield Store(
            sessions=PostgresSessions(database, namespace),
            leases=PostgresLeases(database, namespace),
            events=PostgresEventLog(database, namespace),
            channel=channel,
            counters=PostgresCounters(database, namespace),
            url=_shown(url),
            shared=True,
        )
    finally:
        await channel.close()
        await database.close()


def _shown(url: str) -> str:
    """Return a URL without user, password and settings."""
    address = urlsplit(url)
    return f"postgresql://{address.netloc.rpartition('@')[2]}{address.path}"


async def _refuse_unready(connections: Connections, namespace: str, timeout: float) -> None:
    async with borrowed(connections, timeout) as connection:
        refuse_other(await found(connection, namespace, timeout), namespace)
        [(isolation, commit)] = await connection.fetch(SETTINGS, timeout=timeout)
    if commit == "off":
        raise ConfigurationError(
            "the pool's connections have synchronous_commit off: a crash of the server may forget locks that are held",
            hint="Set it to on for the pool, for example by its server_settings.",
        )
    if isolation != "read committed":
        raise ConfigurationError(
            f"transactions of the pool begin {isolation.upper()}", hint="Let them begin READ COMMITTED."
        )
