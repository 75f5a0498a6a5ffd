"""All stores, each once: `place` runs a test on every one of them, in a namespace that nobody else uses.

    async def test_something(place: Place) -> None:
        async with place.open() as store:

The servers are started when the first test asks for them, and stopped at the end of the run.
"""

import itertools
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, closing
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from holdfast.core.ports import Store
from holdfast.stores import open_store
from holdfast.stores.memory import memory_store

EMBEDDED: Final = ("memory", "sqlite")
SERVERS: Final = {
    "redis": ("servers.redis", "redis_server"),
    "cluster": ("servers.redis", "redis_cluster"),
    "postgres": ("servers.postgres", "postgres_server"),
}
SORTS: Final = (*EMBEDDED, *SERVERS)
_numbers = itertools.count(1)


class Place:
    """Somewhere that a store is kept: it may be opened any number of times, from other processes as well."""

    def __init__(self, sort: str, url: str, namespace: str) -> None:
        self.sort, self.url, self.namespace = sort, url, namespace
        self._memory = memory_store() if sort == "memory" else None

    def __repr__(self) -> str:
        return f"<{self.sort} {self.namespace}>"

    @asynccontextmanager
    async def open(self, clock: Callable[[], float] = time.time) -> AsyncIterator[Store]:
        """Open it; what is in memory is the same store each time."""
        if self._memory is not None:
            yield self._memory
            return
        async with open_store(self.url, namespace=self.namespace, clock=clock, timeout=10.0) as store:
            yield store

    async def dump(self) -> bytes:
        """Return every byte of it that its server or file has."""
        return await DUMPS[self.sort](self)

    async def damage(self, key: bytes) -> None:
        """Give a row, behind the store's back, a state and a reason that no release knows."""
        await DAMAGES[self.sort](self, key)


class Servers:
    """The servers of this run, each started once."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.of = cache(self._start)

    def _start(self, sort: str) -> Any:
        module, name = SERVERS[sort]
        server: AbstractContextManager[Any] = getattr(import_module(module), name)()
        return self._stack.enter_context(server)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack)


def params(*sorts: str) -> list[Any]:
    """Return parameters for these stores; `-m "not servers"` leaves out those whose server has to be started."""
    return [pytest.param(sort, marks=[pytest.mark.servers] if sort in SERVERS else []) for sort in sorts]


@pytest.fixture(params=params(*SORTS))
def place(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Place:
    """A place on each store in turn, fresh and empty."""
    return fresh(request.param, servers, tmp_path)


@pytest.fixture(params=params(*SORTS[1:]))
def shared_place(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Place:
    """A place on each store that several processes can use."""
    return fresh(request.param, servers, tmp_path)


def fresh(sort: str, servers: Servers, folder: Path) -> Place:
    """Return an empty place."""
    namespace = f"t{next(_numbers)}"
    if sort == "memory":
        return Place(sort, "memory://", namespace)
    if sort == "sqlite":
        return Place(sort, f"sqlite:///{folder}/{namespace}.db", namespace)
    place = Place(sort, servers.of(sort).url, namespace)
    if sort == "postgres":
        anyio.run(migrated, place)
    return place


async def migrated(place: Place) -> None:
    """Make the tables of a namespace, as `holdfast store migrate` does."""
    from holdfast.stores.postgres import postgres_care

    async with postgres_care(place.url, namespace=place.namespace) as care:
        await care.migrate()


async def _nothing(place: Place) -> bytes:
    raise AssertionError(f"{place} leaves no bytes behind")


async def _files(place: Place) -> bytes:
    """The file, its log and its index."""
    path = Path(place.url.removeprefix("sqlite:///"))
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


async def _keys(place: Place) -> bytes:
    """Every key of the server with its value as a dump file has it, uncompressed."""
    with _client(place) as client:
        client.config_set("rdbcompression", "no")
        return b"".join(b"%b\n%b\n" % (key, client.dump(key) or b"") for key in client.scan_iter(count=1_000))


async def _odd_file(place: Place, key: bytes) -> None:
    with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute(f"UPDATE \"{place.namespace}/node\" SET state = 'odd', reason = 'odd' WHERE key = ?", (key,))


async def _odd_field(place: Place, key: bytes) -> None:
    """State and reason are the first two bytes of a row, which is a field of a hash."""
    with _client(place) as client:
        for name in client.scan_iter(count=1_000, _type="hash"):
            if row := client.hget(name, key):
                client.hset(name, key, b"\xfe\xfe" + row[2:])


async def _odd_table(place: Place, key: bytes) -> None:
    import asyncpg

    table = f"{place.namespace}.node"
    connection = await asyncpg.connect(place.url)
    await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT node_state_check, DROP CONSTRAINT node_reason_check")
    await connection.execute(f"UPDATE {table} SET state = 'odd', reason = 'odd' WHERE key = $1", key)
    await connection.close()


def _client(place: Place) -> Any:
    from redis import Redis, RedisCluster

    address = place.url.replace("redis+cluster:", "redis:").partition(",")[0]
    return (RedisCluster if place.sort == "cluster" else Redis).from_url(address)


async def _tables(place: Place) -> bytes:
    """Every row of every table as text and as bytes, then the server's own files, its log of changes among them."""
    import asyncpg

    connection = await asyncpg.connect(place.url)
    parts: list[bytes] = []

    async def keep(data: bytes) -> None:
        parts.append(bytes(data))

    try:
        for schema, table in await connection.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ):
            for form in ("text", "binary"):
                await connection.copy_from_table(table, schema_name=schema, output=keep, format=form)
        await connection.execute("CHECKPOINT")
        folder = Path(await connection.fetchval("SHOW data_directory"))
    finally:
        await connection.close()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and {"base", "pg_wal"} & set(path.parts)]
    return b"".join(parts + [path.read_bytes() for path in files])


DUMPS: Final[dict[str, Callable[[Place], Awaitable[bytes]]]] = {
    "memory": _nothing,
    "sqlite": _files,
    "redis": _keys,
    "cluster": _keys,
    "postgres": _tables,
}
DAMAGES: Final[dict[str, Callable[[Place, bytes], Awaitable[None]]]] = {
    "sqlite": _odd_file,
    "redis": _odd_field,
    "cluster": _odd_field,
    "postgres": _odd_table,
}
