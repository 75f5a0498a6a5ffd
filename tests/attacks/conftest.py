"""Where attacks take place: on SQLite, unless the store is what is attacked."""

from pathlib import Path

import pytest

from stores.stores import Place, Servers, fresh, params


@pytest.fixture
def sqlite(servers: Servers, tmp_path: Path) -> Place:
    """An empty SQLite store."""
    return fresh("sqlite", servers, tmp_path)


@pytest.fixture(params=params("sqlite", "redis", "postgres"))
def each_place(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Place:
    """An empty store of each sort that does things in a way of its own, where what an attack does depends on that."""
    return fresh(request.param, servers, tmp_path)
