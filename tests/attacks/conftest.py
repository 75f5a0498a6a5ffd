"""Where attacks take place: on SQLite, unless the store is what is attacked."""

from pathlib import Path

import pytest

from stores.stores import Place, Servers, fresh


@pytest.fixture
def sqlite(servers: Servers, tmp_path: Path) -> Place:
    """An empty SQLite store."""
    return fresh("sqlite", servers, tmp_path)
