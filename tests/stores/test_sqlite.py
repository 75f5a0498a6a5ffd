"""The SQLite store against the contract."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from holdfast.core.ports import Store
from holdfast.stores import open_store
from holdfast.testing import StoreContract


class TestSqlite(StoreContract):
    """Every sentence of the ports (E23)."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._file = tmp_path / "store.db"

    def open(self) -> AbstractAsyncContextManager[Store]:
        return open_store(f"sqlite:///{self._file}")
