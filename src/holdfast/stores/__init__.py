"""Where the trees are kept: `open_store(url)` opens one of the stores, whose five ports `core.ports` describes."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from holdfast.core.ports import Store
from holdfast.errors import ConfigurationError
from holdfast.stores.care import Care
from holdfast.stores.memory import memory_store
from holdfast.stores.sqlite import open_sqlite

STORE_TIMEOUT_S: Final = 2.0  # how long a call may wait for its store (E26)
REDIS: Final = ("redis", "rediss", "redis+sentinel", "redis+cluster")
POSTGRES: Final = ("postgresql", "postgres")
HINT: Final = (
    "Use memory://, sqlite:///relative/path or, with four slashes, sqlite:////absolute/path, redis://host:port/0, "
    "rediss://…, redis+sentinel://host:port,host:port/service, redis+cluster://host:port,host:port, or "
    "postgresql://user@host/database."
)


@asynccontextmanager
async def open_store(
    url: str,
    *,
    namespace: str = "holdfast",
    clock: Callable[[], float] = time.time,
    timeout: float = STORE_TIMEOUT_S,
) -> AsyncIterator[Store]:
    """Open a store for as long as the block runs.

    Args:
        url: `memory://`, or `sqlite:///` and a path: `sqlite:///file.db` lies in the working folder, and
            `sqlite:////var/lib/file.db`, with four slashes, where it says; or the address of a Redis, Valkey or
            PostgreSQL, as `holdfast.stores.redis` and `holdfast.stores.postgres` describe.
        namespace: Two namespaces on one file or server never see each other.
        clock: Unix seconds.
        timeout: Seconds after which a call that waits for its server raises StoreUnavailable.
    Raises:
        ConfigurationError: The URL names no store, one whose driver is not installed, or one that cannot be opened
            as it says.
        StoreUnavailable: The store is out of reach.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ConfigurationError("a store is named by a URL", hint=HINT)
    if scheme == "memory":
        yield memory_store()
    elif scheme == "sqlite":
        async with open_sqlite(_path(rest), namespace=namespace, clock=clock, timeout=timeout) as store:
            yield store
    elif scheme in REDIS:
        with _driver("redis"):
            from holdfast.stores.redis import open_redis  # noqa: PLC0415 - an extra
        async with open_redis(url, namespace=namespace, clock=clock, timeout=timeout) as store:
            yield store
    elif scheme in POSTGRES:
        with _driver("postgres"):
            from holdfast.stores.postgres import open_postgres  # noqa: PLC0415 - an extra
        async with open_postgres(url, namespace=namespace, clock=clock, timeout=timeout) as store:
            yield store
    else:
        raise ConfigurationError(f"no store is called {scheme!r}", hint=HINT)


@asynccontextmanager
async def open_care(url: str, *, namespace: str = "holdfast", timeout: float = STORE_TIMEOUT_S) -> AsyncIterator[Care]:
    """Look after the store at a URL for as long as the block runs: what an operator does with it besides using it.

    Raises:
        ConfigurationError: As `open_store`; and a store in memory needs no care.
        StoreUnavailable: The store is out of reach.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        from holdfast.stores.sqlite.care import sqlite_care  # noqa: PLC0415 - only commands need it

        opened: AbstractAsyncContextManager[Care] = sqlite_care(_path(rest), namespace=namespace, timeout=timeout)
    elif scheme in REDIS:
        with _driver("redis"):
            from holdfast.stores.redis import redis_care  # noqa: PLC0415 - an extra
        opened = redis_care(url, namespace=namespace, timeout=timeout)
    elif scheme in POSTGRES:
        with _driver("postgres"):
            from holdfast.stores.postgres import postgres_care  # noqa: PLC0415 - an extra
        opened = postgres_care(url, namespace=namespace, timeout=timeout)
    elif scheme == "memory":
        raise ConfigurationError(
            "a store in memory is gone with its process: there is nothing to look after", hint=HINT
        )
    else:
        raise ConfigurationError("the URL names no store", hint=HINT)
    async with opened as care:
        yield care


@contextmanager
def _driver(extra: str) -> Iterator[None]:
    """Name the extra whose driver is missing."""
    try:
        yield
    except ModuleNotFoundError as exc:
        raise ConfigurationError(
            f"the driver of this store, {exc.name}, is not installed", hint=f"pip install 'holdfast[{extra}]'"
        ) from exc


def _path(rest: str) -> Path:
    """Return the file that a SQLite URL names after its first two slashes."""
    name = rest.removeprefix("/")
    if not name or name == rest:
        raise ConfigurationError("a SQLite store needs a file", hint=HINT)
    if name == ":memory:":
        raise ConfigurationError("a SQLite store needs a file", hint="A store in memory is called memory://.")
    return Path(name)
