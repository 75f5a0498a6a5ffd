"""Fixtures of tests of flows: a receiver in a process of its own, and a store that workers share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from e2e.flows_world import running_receiver
from stores.stores import Servers, fresh, params


def fixtures_of(running: Callable[[], AbstractContextManager[Any]]) -> tuple[Any, Any]:
    """Return two fixtures: `receiver_process`, for all tests of a file, and it with what was before forgotten."""

    @pytest.fixture(scope="module")
    def receiver_process() -> Iterator[Any]:
        with running() as receiver:
            yield receiver

    @pytest.fixture
    def receiver(receiver_process: Any) -> Any:
        receiver_process.tell("reset")
        return receiver_process

    return receiver_process, receiver


receiver_process, erp = fixtures_of(running_receiver)


@pytest.fixture(params=params("sqlite", "redis"))
def url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> str:
    """A store; of a Redis server one that is empty."""
    store: str = fresh(request.param, servers, tmp_path).url
    if request.param == "redis":
        from redis import Redis

        with closing(Redis.from_url(store)) as redis:
            redis.flushdb()
    return store
