"""The Redis store against the contract, on one server and on a Cluster."""

import itertools
from contextlib import AbstractAsyncContextManager

import pytest

from holdfast.core.ports import Store
from holdfast.stores import open_store
from holdfast.testing import StoreContract
from stores.stores import Servers

_numbers = itertools.count(1)


class TestRedis(StoreContract):
    """Every sentence of the ports (E23)."""

    @pytest.fixture(autouse=True)
    def _server(self, servers: Servers) -> None:
        self._url = servers.of("redis").url

    def open(self) -> AbstractAsyncContextManager[Store]:
        return open_store(self._url, namespace=f"contract{next(_numbers)}")


class TestRedisCluster(StoreContract):
    """Every sentence of the ports, over a Cluster of three nodes and so over many shards (E23, E25)."""

    @pytest.fixture(autouse=True)
    def _server(self, servers: Servers) -> None:
        self._url = servers.of("cluster").url

    def open(self) -> AbstractAsyncContextManager[Store]:
        return open_store(self._url, namespace=f"contract{next(_numbers)}")
