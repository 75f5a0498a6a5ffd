"""The memory and the Redis store answer alike, whatever is asked of them in whatever order.

On several shards as on one: there, two refusals that both apply may come in another order.
"""

import itertools

import anyio
import pytest
from hypothesis import HealthCheck, given, settings

from holdfast.stores.redis import open_redis
from stores.stores import Servers
from stores.test_alike import Operation, programs, run

_numbers = itertools.count(1)


@pytest.mark.parametrize("shards", [1, 5])
@given(program=programs)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_memory_and_redis_answer_alike(servers: Servers, shards: int, program: list[Operation]) -> None:  # E22, E23
    url = f"{servers.of('redis').url}?shards={shards}"
    anyio.run(run, program, open_redis(url, namespace=f"alike{next(_numbers)}", timeout=10))
