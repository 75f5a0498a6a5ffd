"""The PostgreSQL store against the contract, at a real server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg
import pytest

from holdfast.core.ports import Store
from holdfast.stores.postgres import open_postgres, postgres_care
from holdfast.testing import StoreContract
from servers.postgres import PostgresServer, postgres_server

EMPTY = "TRUNCATE contract.node, contract.stream, contract.event, contract.counter"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


class TestPostgres(StoreContract):
    """Every sentence of the ports (E23)."""

    @pytest.fixture(autouse=True)
    def _url(self, server: PostgresServer) -> None:
        self._server = server

    def open(self) -> AbstractAsyncContextManager[Store]:
        return self._fresh()

    @asynccontextmanager
    async def _fresh(self) -> AsyncIterator[Store]:
        async with postgres_care(self._server.url, namespace="contract", timeout=5) as care:
            await care.migrate()
        connection = await asyncpg.connect(self._server.url)
        await connection.execute(EMPTY)
        await connection.close()
        async with open_postgres(self._server.url, namespace="contract", timeout=5) as store:
            yield store
