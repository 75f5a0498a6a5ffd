"""Where the trees are kept: `open_store(url)` opens one of the stores, whose five ports `core.ports` describes."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Never

from holdfast.core.ports import Store
from holdfast.errors import ConfigurationError
from holdfast.stores.care import Care
from holdfast.stores.memory import memory_store
from holdfast.stores.sqlite import open_sqlite
from holdfast.stores.sqlite.care import sqlite_care

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
    async with _sort(url).store(url, namespace=namespace, clock=clock, timeout=timeout) as store:
        yield store


@asynccontextmanager
async def open_care(url: str, *, namespace: str = "holdfast", timeout: float = STORE_TIMEOUT_S) -> AsyncIterator[Care]:
    """Look after the store at a URL for as long as the block runs: what an operator does with it besides using it.

    Raises:
        ConfigurationError: As `open_store`; and a store in memory needs no care.
        StoreUnavailable: The store is out of reach.
    """
    async with _sort(url).care(url, namespace=namespace, timeout=timeout) as care:
        yield care


class _Sort(NamedTuple):
    """How stores of one sort are opened: to be used, and to be looked after."""

    store: Callable[..., AbstractAsyncContextManager[Store]]
    care: Callable[..., AbstractAsyncContextManager[Care]]


def _sort(url: str) -> _Sort:
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ConfigurationError("a store is named by a URL", hint=HINT)
    if scheme not in SORTS:
        raise ConfigurationError(f"no store is called {scheme!r}", hint=HINT)
    return SORTS[scheme]()


def _memory() -> _Sort:
    @asynccontextmanager
    async def opened(url: str, **_: object) -> AsyncIterator[Store]:
        yield memory_store()

    def care(url: str, **_: object) -> Never:
        raise ConfigurationError(
            "a store in memory is gone with its process: there is nothing to look after", hint=HINT
        )

    return _Sort(opened, care)


def _sqlite() -> _Sort:
    def opened(url: str, **how: Any) -> AbstractAsyncContextManager[Store]:
        return open_sqlite(_path(url), **how)

    def care(url: str, **how: Any) -> AbstractAsyncContextManager[Care]:
        return sqlite_care(_path(url), **how)

    return _Sort(opened, care)


def _redis() -> _Sort:
    with _driver("redis"):
        from holdfast.stores.redis import open_redis, redis_care  # noqa: PLC0415 - an extra
    return _Sort(open_redis, redis_care)


def _postgres() -> _Sort:
    with _driver("postgres"):
        from holdfast.stores.postgres import open_postgres, postgres_care  # noqa: PLC0415 - an extra
    return _Sort(open_postgres, postgres_care)


SORTS: Final[dict[str, Callable[[], _Sort]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    **dict.fromkeys(REDIS, _redis),
    **dict.fromkeys(POSTGRES, _postgres),
}


@contextmanager
def _driver(extra: str) -> Iterator[None]:
    """Name the extra whose driver is missing."""
    try:
        yield
    except ModuleNotFoundError as exc:
        raise ConfigurationError(
            f"the driver of this store, {exc.name}, is not installed", hint=f"pip install 'holdfast[{extra}]'"
        ) from exc


def file_of(url: str) -> Path | None:
    """Return the file that a URL names; None if its store is none of files."""
    return _path(url) if url.partition("://")[0] == "sqlite" else None


def _path(url: str) -> Path:
    rest = url.partition("://")[2]
    name = rest.removeprefix("/")
    if not name or name == rest:
        raise ConfigurationError("a SQLite store needs a file", hint=HINT)
    if name == ":memory:":
        raise ConfigurationError("a SQLite store needs a file", hint="A store in memory is called memory://.")
    return Path(name)
