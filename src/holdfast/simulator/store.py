"""Where repository objects are kept: in memory or in one SQLite file.

Only objects are kept. Security sessions, contexts and locks live in the process alone: a real system loses them at
a restart, and so does this one.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol


class ObjectStore(Protocol):
    """Keeps encoded objects by type and name."""

    def load_all(self) -> Iterable[bytes]:
        """Return every object."""

    def save(self, object_type: str, name: str, data: bytes) -> None:
        """Add the object or write over it."""

    def delete(self, object_type: str, name: str) -> None:
        """Remove the object if it is there."""

    def close(self) -> None:
        """Let go of the file."""


class MemoryStore:
    """Keeps nothing: the repository itself is the memory."""

    def load_all(self) -> Iterable[bytes]:
        return ()

    def save(self, object_type: str, name: str, data: bytes) -> None:
        """The repository has it already."""

    def delete(self, object_type: str, name: str) -> None:
        """The repository has dropped it already."""

    def close(self) -> None:
        """There is nothing to let go of."""


class SqliteStore:
    """One table in one file, one transaction per change."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS objects (type TEXT, name TEXT, data BLOB NOT NULL, PRIMARY KEY (type, name))"
        )

    def load_all(self) -> Iterable[bytes]:
        return [row[0] for row in self._db.execute("SELECT data FROM objects ORDER BY type, name")]

    def save(self, object_type: str, name: str, data: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", (object_type, name, data))

    def delete(self, object_type: str, name: str) -> None:
        self._db.execute("DELETE FROM objects WHERE type = ? AND name = ?", (object_type, name))

    def close(self) -> None:
        self._db.close()
