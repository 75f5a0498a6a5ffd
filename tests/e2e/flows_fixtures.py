"""Fixtures of tests of flows: a receiver in a process of its own, and a store that workers share."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from e2e.flows_world import Receiver, running_receiver
from stores.stores import Servers, fresh, params


@pytest.fixture(scope="module")
def receiver_process() -> Iterator[Receiver]:
    """A receiver for all tests of a file."""
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def erp(receiver_process: Receiver) -> Receiver:
    """That receiver, which has forgotten what was before."""
    receiver_process.tell("reset")
    return receiver_process


@pytest.fixture(params=params("sqlite", "redis"))
def url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> str:
    """A store; of a Redis server one that is empty."""
    store: str = fresh(request.param, servers, tmp_path).url
    if request.param == "redis":
        from redis import Redis

        with closing(Redis.from_url(store)) as redis:
            redis.flushdb()
    return store
