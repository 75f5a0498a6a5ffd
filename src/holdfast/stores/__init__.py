"""Where the trees are kept: `open_store(url)` opens one of the stores, whose five ports `core.ports` describes."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from holdfast.core.ports import Store
from holdfast.errors import ConfigurationError
from holdfast.stores.memory import memory_store
from holdfast.stores.sqlite import open_sqlite

HINT = "Use memory://, sqlite:///relative/path or, with four slashes, sqlite:////absolute/path."
ANNOUNCED = ("redis", "rediss", "redis+sentinel", "redis+cluster", "postgresql")


@asynccontextmanager
async def open_store(
    url: str, *, namespace: str = "holdfast", clock: Callable[[], float] = time.time
) -> AsyncIterator[Store]:
    """Open a store for as long as the block runs.

    Args:
        url: `memory://`, or `sqlite:///` and a path: `sqlite:///file.db` lies in the working folder, and
            `sqlite:////var/lib/file.db`, with four slashes, where it says.
        namespace: Two namespaces on one file or server never see each other.
        clock: Unix seconds.
    Raises:
        ConfigurationError: The URL names no store, or one that cannot be opened as it says.
        StoreUnavailable: The store is out of reach.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ConfigurationError("a store is named by a URL", hint=HINT)
    match scheme:
        case "memory":
            yield memory_store()
        case "sqlite":
            async with open_sqlite(_path(rest), namespace=namespace, clock=clock) as store:
                yield store
        case _ if scheme in ANNOUNCED:
            raise ConfigurationError(f"this release has no {scheme} store yet", hint=HINT)
        case _:
            raise ConfigurationError(f"no store is called {scheme!r}", hint=HINT)


def _path(rest: str) -> Path:
    """Return the file that a SQLite URL names after its first two slashes."""
    name = rest.removeprefix("/")
    if not name or name == rest:
        raise ConfigurationError("a SQLite store needs a file", hint=HINT)
    if name == ":memory:":
        raise ConfigurationError("a SQLite store needs a file", hint="A store in memory is called memory://.")
    return Path(name)
