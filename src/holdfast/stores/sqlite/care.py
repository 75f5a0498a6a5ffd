"""Looking after a namespace in a SQLite file: its tables, the file itself, what its rows say about each other."""

# ruff: noqa: S608 - a namespace is checked before it stands in a statement, and values are bound

import os
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final, TypeVar

import anyio.to_thread

from holdfast.errors import ConfigurationError
from holdfast.stores.care import Finding
from holdfast.stores.namespaces import check_namespace
from holdfast.stores.sqlite import MOUNTS, open_sqlite, refuse_network
from holdfast.stores.sqlite.database import unavailable
from holdfast.stores.sqlite.rows import EXPIRES
from holdfast.stores.sqlite.schema import APPLICATION, TABLES, VERSION

HINT: Final = "Run `holdfast store migrate`."
RESTORE: Final = "Stop all servers, keep a copy of the file, and restore it from a backup."
LARGE_WAL_BYTES: Final = 256 * 1024 * 1024
SHOWN: Final = 3  # of the lines in which SQLite describes damage
DAMAGE: Final = (  # code, what so many nodes are, how to find them
    (
        "orphan",
        "are below a node that is not there",
        'SELECT count(*) FROM "{ns}/node" AS n WHERE parent IS NOT NULL '
        'AND NOT EXISTS (SELECT 1 FROM "{ns}/node" AS p WHERE p.key = n.parent AND p.tree = n.tree)',
    ),
    (
        "path_wrong",
        "begin a tree that is not their own",
        'SELECT count(*) FROM "{ns}/node" WHERE parent IS NULL AND tree <> key',
    ),
    (
        "held_wrong",
        "count another number of held nodes below than there are",
        "WITH RECURSIVE holding (key, holder) AS ("
        '  SELECT parent, key FROM "{ns}/node" WHERE holds AND parent IS NOT NULL UNION '
        '  SELECT n.parent, holder FROM holding JOIN "{ns}/node" AS n USING (key) WHERE n.parent IS NOT NULL) '
        'SELECT count(*) FROM "{ns}/node" '
        "LEFT JOIN (SELECT key, count(*) AS below FROM holding GROUP BY key) USING (key) "
        "WHERE held <> coalesce(below, 0)",
    ),
    (
        "events_left",
        "have gone without their events",
        'SELECT count(*) FROM (SELECT node FROM "{ns}/stream" UNION SELECT node FROM "{ns}/event") '
        'WHERE node NOT IN (SELECT key FROM "{ns}/node")',
    ),
)
FIGURES: Final = {
    "nodes": 'SELECT count(*) FROM "{ns}/node"',
    "due": 'SELECT count(*) FROM "{ns}/node" WHERE due_at <= :now',
    "expired": f"""SELECT count(*) FROM "{{ns}}/node" WHERE state = 'live' AND {EXPIRES} <= :now""",
    "leased": 'SELECT count(*) FROM "{ns}/node" WHERE until > :now',
    "events": 'SELECT count(*) FROM "{ns}/event"',
    "counters": 'SELECT count(*) FROM "{ns}/counter"',
}
KINDS: Final = 'SELECT kind, state, count(*) FROM "{ns}/node" GROUP BY 1, 2 ORDER BY 1, 2'
PARTS: Final = tuple(line.split('"')[1] for line in TABLES.splitlines() if line.startswith("CREATE"))

Result = TypeVar("Result")


class SqliteCare:
    """Implements `Care`. It opens the file for each question, and makes it only to migrate."""

    def __init__(self, path: Path, namespace: str, timeout: float) -> None:
        self._path, self._namespace, self._timeout = path.absolute(), namespace, timeout

    async def migrate(self) -> list[str]:
        """See `Care.migrate`. Opening the store does the same: there is nothing to run before an upgrade."""
        before = await self._ask(self._lacking) if self._path.exists() else None
        async with open_sqlite(self._path, namespace=self._namespace, clock=time.time, timeout=self._timeout):
            pass
        done = [] if before is not None else [f"made the file {self._path}"]
        return done if before == [] else [*done, f"made the tables of {self._namespace}, version {VERSION}"]

    async def check(self) -> list[Finding]:
        """See `Care.check`."""
        if not self._path.exists():
            return [Finding("schema_wrong", f"there is no file {self._path}", HINT)]
        return [*self._place(), *await self._ask(self._wrong)]

    async def stats(self) -> Mapping[str, int | float | str]:
        """See `Care.stats`."""
        if not self._path.exists():
            raise ConfigurationError(f"there is no file {self._path}", hint=HINT)
        return await self._ask(self._figures)

    async def _ask(self, question: Callable[[sqlite3.Connection], Result]) -> Result:
        """Put a question to the file, which is not written to, in a thread."""

        def call() -> Result:
            address = f"{self._path.as_uri()}?mode=ro"
            try:
                with closing(sqlite3.connect(address, uri=True, timeout=self._timeout)) as connection:
                    return question(connection)
            except sqlite3.Error as exc:
                raise unavailable(exc) from exc

        return await anyio.to_thread.run_sync(call)

    def _lacking(self, connection: sqlite3.Connection) -> list[str]:
        """Return the tables and indexes that the namespace does not have."""
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        return [part for part in (part.format(ns=self._namespace) for part in PARTS) if part not in there]

    # -- what is wrong

    def _wrong(self, connection: sqlite3.Connection) -> list[Finding]:
        try:
            return self._found(connection)
        except sqlite3.DatabaseError as exc:
            if exc.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise
            return [Finding("damaged", f"the file cannot be read as a database ({exc.sqlite_errorname})", RESTORE)]

    def _found(self, connection: sqlite3.Connection) -> list[Finding]:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        [application] = connection.execute("PRAGMA application_id").fetchone()
        if application not in (0, APPLICATION):
            return [Finding("schema_wrong", "the file is another program's database", "Name another file.")]
        if version > VERSION:
            text = f"the file has version {version}, this release knows {VERSION}"
            return [Finding("schema_wrong", text, "Run the release that wrote it, or a later one.")]
        lacking = self._lacking(connection)
        if lacking:
            return [Finding("part_missing", f"{part} is missing", HINT) for part in lacking]
        return [*_damaged(connection), *self._inconsistent(connection)]

    def _inconsistent(self, connection: sqlite3.Connection) -> list[Finding]:
        hint = "Restore the file; rows were changed by another program."
        counts = [(code, text, connection.execute(self._placed(sql)).fetchone()[0]) for code, text, sql in DAMAGE]
        return [Finding(code, f"{number} nodes {text}", hint) for code, text, number in counts if number]

    def _place(self) -> list[Finding]:
        """Look at the file from outside."""
        found = []
        try:
            refuse_network(self._path.parent, MOUNTS)
        except ConfigurationError as exc:
            found.append(Finding("network_file_system", str(exc), exc.hint))
        if stat.S_IMODE(self._path.stat().st_mode) & 0o077:
            text = f"{self._path} can be opened by others: who may call, and when, is not sealed"
            found.append(Finding("open_to_others", text, f"chmod 600 {self._path}", serious=False))
        if self._size("-wal") > LARGE_WAL_BYTES:
            text = f"the write-ahead log has grown to {self._size('-wal')} bytes"
            found.append(Finding("large_log", text, "A process reads without end; look for one.", serious=False))
        return found

    # -- figures

    def _figures(self, connection: sqlite3.Connection) -> dict[str, int | float | str]:
        if self._lacking(connection):
            raise ConfigurationError(f"the file has no tables of {self._namespace}", hint=HINT)
        values = {"now": time.time()}
        figures = {name: connection.execute(self._placed(sql), values).fetchone()[0] for name, sql in FIGURES.items()}
        kinds = connection.execute(self._placed(KINDS)).fetchall()
        return {
            **figures,
            **{f"nodes.{kind}.{state}": number for kind, state, number in kinds},
            "bytes": self._size(""),
            "log_bytes": self._size("-wal"),
            "schema_version": connection.execute("PRAGMA user_version").fetchone()[0],
            "server.sqlite_version": sqlite3.sqlite_version,
            "server.journal_mode": connection.execute("PRAGMA journal_mode").fetchone()[0],
        }

    def _placed(self, statement: str) -> str:
        return statement.format(ns=self._namespace)

    def _size(self, suffix: str) -> int:
        try:
            return os.stat(f"{self._path}{suffix}").st_size
        except FileNotFoundError:
            return 0


def _damaged(connection: sqlite3.Connection) -> list[Finding]:
    """Let SQLite read the whole file and compare it with its indexes."""
    lines = [line for (line,) in connection.execute("PRAGMA integrity_check")]
    if lines == ["ok"]:
        return []
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return [Finding("damaged", f"{'; '.join(lines[:SHOWN])}{more}", RESTORE)]


@asynccontextmanager
async def sqlite_care(path: Path, *, namespace: str, timeout: float) -> AsyncIterator[SqliteCare]:
    """Look after a namespace in a file, which need not be there yet.

    Raises:
        ConfigurationError: The namespace cannot be used.
    """
    yield SqliteCare(path, check_namespace(namespace), timeout)
