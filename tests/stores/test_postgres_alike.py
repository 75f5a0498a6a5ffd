"""The memory and the PostgreSQL store answer alike, whatever is asked of them in whatever order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings

from holdfast.core.ports import Store
from holdfast.stores.postgres import open_postgres, postgres_care
from stores.stores import Servers
from stores.test_alike import Operation, programs, run

NAMESPACE = "alike"
EMPTY = "DELETE FROM alike.node; DELETE FROM alike.stream; DELETE FROM alike.event; DELETE FROM alike.counter"


@pytest.fixture(scope="module")
def url(servers: Servers) -> str:
    address: str = servers.of("postgres").url
    anyio.run(_migrate, address)
    return address


@given(programs)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_memory_and_postgres_answer_alike(url: str, program: list[Operation]) -> None:  # E22, E23
    anyio.run(run, program, _empty(url))


@asynccontextmanager
async def _empty(url: str) -> AsyncIterator[Store]:
    connection = await asyncpg.connect(url)
    await connection.execute(EMPTY)
    await connection.close()
    async with open_postgres(url, namespace=NAMESPACE, timeout=10) as store:
        yield store


async def _migrate(url: str) -> None:
    async with postgres_care(url, namespace=NAMESPACE, timeout=10) as care:
        await care.migrate()
