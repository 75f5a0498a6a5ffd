"""The memory and the Redis store answer alike, whatever is asked of them in whatever order.

On several shards as on one: there, two refusals that both apply may come in another order.
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import HealthCheck, given, settings

from holdfast.core.ports import Store
from holdfast.stores.redis import open_redis, redis_care
from stores.stores import Servers
from stores.test_alike import Operation, programs, run

_numbers = itertools.count(1)


@pytest.mark.parametrize("shards", [1, 5])
@given(program=programs)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_memory_and_redis_answer_alike(servers: Servers, shards: int, program: list[Operation]) -> None:  # E22, E23
    url = f"{servers.of('redis').url}?shards={shards}"
    anyio.run(run, program, _checked(url, f"alike{next(_numbers)}"))


@asynccontextmanager
async def _checked(url: str, namespace: str) -> AsyncIterator[Store]:
    """Open a store, and see in the end that its index entries are those that its rows make."""
    async with open_redis(url, namespace=namespace, timeout=10) as store:
        yield store
    async with redis_care(url, namespace=namespace, timeout=10) as care:
        assert await care.check() == []
