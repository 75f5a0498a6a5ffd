"""The contract accepts a store that shares no code with those that ship, and notices when one breaks a sentence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.core.ports import Store
from holdfast.testing import StoreContract
from testing.other_store import other_store


class TestOtherStore(StoreContract):
    """Every sentence of the ports (E23)."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        yield other_store()
