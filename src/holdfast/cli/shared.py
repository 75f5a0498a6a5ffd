"""What commands look into: the store that servers use."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from holdfast.config import Settings, store_url
from holdfast.core.model import Record
from holdfast.core.ports import Store, each
from holdfast.engine import Engine, open_engine
from holdfast.errors import ConfigurationError
from holdfast.stores import open_store


@asynccontextmanager
async def shared_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the configured store beside the servers that use it.

    Raises:
        ConfigurationError: It is in the memory of a server, where no command can see it.
    """
    url = store_url(settings)
    if url.startswith("memory:"):
        raise ConfigurationError(
            "a store in memory is seen by its own server only",
            hint="Give servers and commands a store that lasts: HOLDFAST_STORE=sqlite:///file.db, for example.",
        )
    async with open_store(url, namespace=settings.namespace, timeout=settings.store_timeout) as store:
        yield store


async def all_records(settings: Settings) -> list[Record]:
    """Return all nodes of the configured store, in any state."""
    async with shared_store(settings) as store:
        return [record async for record in each(store.sessions, "all", b"")]


def plain_engine(settings: Settings) -> AbstractAsyncContextManager[Engine]:
    """Return an engine that opens no session and closes none: it only reads and marks."""
    plain = settings.model_copy(update={"kinds": {}, "apps": {}})
    return open_engine(store_url(settings), kinds=(), settings=plain, keeper=False)
