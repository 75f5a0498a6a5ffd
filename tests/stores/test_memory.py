"""The memory store against the contract, and what is its own."""

from contextlib import AbstractAsyncContextManager

from holdfast.core.ports import Store
from holdfast.stores import open_store
from holdfast.testing import StoreContract


class TestMemory(StoreContract):
    """Every sentence of the ports (E23)."""

    def open(self) -> AbstractAsyncContextManager[Store]:
        return open_store("memory://")


async def test_two_memory_stores_share_nothing() -> None:  # E22
    async with open_store("memory://") as one, open_store("memory://") as two:
        await one.counters.add("n", now=0.0)
        assert await two.counters.read(["n"], now=0.0) == [0]
        assert not one.shared
