"""The SQLite file that repository objects are kept in.

Only objects and their versions are kept. Security sessions, contexts and locks live in the process alone: a real
system loses them at a restart, and so does this one.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path


class ObjectStore:
    """Encoded objects by type and name, and their former versions by part and stamp. One transaction per change."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS objects (type TEXT, name TEXT, data BLOB NOT NULL, PRIMARY KEY (type, name))"
        )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS versions (type TEXT, name TEXT, part TEXT, stamp INTEGER, data BLOB NOT NULL,"
            " PRIMARY KEY (type, name, part, stamp))"
        )

    def load_objects(self) -> Iterable[bytes]:
        """Return every object."""
        return [row[0] for row in self._db.execute("SELECT data FROM objects ORDER BY type, name")]

    def load_versions(self) -> Iterable[tuple[str, str, str, bytes]]:
        """Return type, name, part and text of every version, oldest first."""
        return self._db.execute("SELECT type, name, part, data FROM versions ORDER BY stamp").fetchall()

    def save(self, object_type: str, name: str, data: bytes) -> None:
        """Add the object or write over it."""
        self._db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", (object_type, name, data))

    def add_version(self, object_type: str, name: str, part: str, stamp: int, data: bytes) -> None:
        """Keep one more version."""
        self._db.execute(
            "INSERT OR REPLACE INTO versions VALUES (?, ?, ?, ?, ?)", (object_type, name, part, stamp, data)
        )

    def drop_version(self, object_type: str, name: str, part: str, stamp: int) -> None:
        """Forget one version."""
        key = (object_type, name, part, stamp)
        self._db.execute("DELETE FROM versions WHERE type = ? AND name = ? AND part = ? AND stamp = ?", key)

    def delete(self, object_type: str, name: str) -> None:
        """Remove the object and its versions, if they are there."""
        self._db.execute("DELETE FROM objects WHERE type = ? AND name = ?", (object_type, name))
        self._db.execute("DELETE FROM versions WHERE type = ? AND name = ?", (object_type, name))

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
