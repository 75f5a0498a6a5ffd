"""Where the trees are kept: `open_store(url)` opens one of the stores, whose five ports `core.ports` describes."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from holdfast.core.ports import Store
from holdfast.errors import ConfigurationError
from holdfast.stores.memory import memory_store

KNOWN = ("memory://", "sqlite:///path")
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
    scheme, separator, _ = url.partition("://")
    if scheme == "memory" and separator:
        yield memory_store()
        return
    if scheme in ANNOUNCED and separator:
        raise ConfigurationError(f"this release has no {scheme} store yet", hint=f"Use one of {', '.join(KNOWN)}.")
    raise ConfigurationError(f"no store is called {scheme!r}", hint=f"Use one of {', '.join(KNOWN)}.")
