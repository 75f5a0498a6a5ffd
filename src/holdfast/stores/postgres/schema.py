"""The schema of a namespace: its name, its version, and how a server gets it (E28).

Version 1 is what `schema.sql` makes. The functions hold no data: a migration replaces them in place, all at once. A
server starts only on the functions of its own release; one that runs already goes on with the new ones. So within a
version whatever statements call keeps its name, arguments, result and meaning. A change of that, or of the tables, is a
new version, for which the servers of the old one have to be stopped first (docs/operations.md, "Upgrades").
"""

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

import asyncpg

from holdfast.core.model import MAX_DEPTH
from holdfast.errors import ConfigurationError
from holdfast.stores.namespaces import check_namespace
from holdfast.stores.postgres.connections import Connection

VERSION: Final = 1
LONGEST: Final = 63  # bytes of a name at the server
OTHERS: Final = ("public", "information_schema")
HINT: Final = "Run: holdfast store migrate"
PART: Final = re.compile(r"(?:CREATE (?:UNIQUE )?(?:INDEX |(?:TABLE|FUNCTION) holdfast\.)|CONSTRAINT )(\w+)")
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('holdfast migrate ' || $1, 0))"
META: Final = """
CREATE TABLE holdfast.meta (version int4 NOT NULL, functions text NOT NULL);
INSERT INTO holdfast.meta VALUES (0, '');
"""


def schema_of(namespace: str) -> str:
    """Return the quoted name of a namespace's schema, or raise ConfigurationError."""
    check_namespace(namespace)
    if len(namespace) > LONGEST or namespace in OTHERS or namespace.startswith("pg_"):
        raise ConfigurationError(
            f"the namespace {namespace!r} cannot be the name of a schema",
            hint=f"Take another of at most {LONGEST} characters.",
        )
    return f'"{namespace}"'


def placed(text: str, namespace: str) -> str:
    """Put the namespace's schema into SQL that says `holdfast.` for it."""
    return text.replace("holdfast.", f"{schema_of(namespace)}.")


@cache
def tables() -> str:
    """Return the statements that make version 1."""
    return files(__package__).joinpath("schema.sql").read_text()


@cache
def functions() -> str:
    """Return the statements that make the functions."""
    texts = (files(__package__).joinpath(name).read_text() for name in ("functions.sql", "leases.sql"))
    return "".join(texts).replace("@depth@", str(MAX_DEPTH))


@cache
def names() -> frozenset[str]:
    """Return the names of all tables, indexes and functions."""
    return frozenset(PART.findall(META + tables() + functions()))


@cache
def fingerprint() -> str:
    """Return what tells these functions from another release's."""
    return hashlib.sha256(functions().encode()).hexdigest()[:16]


async def found(connection: Connection, namespace: str, timeout: float | None = None) -> tuple[int, str] | None:
    """Return version and fingerprint of what is at the server, None if nothing is."""
    try:
        row = await connection.fetchrow(
            placed("SELECT version, functions FROM holdfast.meta", namespace), timeout=timeout
        )
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return None
    return None if row is None else (row["version"], row["functions"])


def refuse_other(at_server: tuple[int, str] | None, namespace: str) -> None:
    """Raise ConfigurationError unless this release's schema is at the server."""
    if at_server is None:
        raise ConfigurationError(f"the PostgreSQL server has no schema for the namespace {namespace!r}", hint=HINT)
    version, of_functions = at_server
    if version > VERSION:
        raise ConfigurationError(
            f"the schema of the namespace {namespace!r} has version {version}, this release knows {VERSION}",
            hint="Run the release that migrated it, or a later one.",
        )
    if version < VERSION or of_functions != fingerprint():
        raise ConfigurationError(
            f"the schema of the namespace {namespace!r} is of another release (version {version} of {VERSION})",
            hint=HINT,
        )


async def migrate(connection: Connection, namespace: str) -> list[str]:
    """Create or update the schema in one transaction; return what was done.

    Raises:
        ConfigurationError: The schema was written by a later release, or is another program's.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute(LOCK, namespace)
        done = await _make(connection, namespace)
        at_server = await found(connection, namespace)
        if at_server != (VERSION, fingerprint()):
            done.append("wrote the functions")
            await _drop_functions(connection, namespace)
            await connection.execute(placed(functions(), namespace))
            await connection.execute(
                placed("UPDATE holdfast.meta SET version = $1, functions = $2", namespace), VERSION, fingerprint()
            )
    return done


async def _make(connection: Connection, namespace: str) -> list[str]:
    """Make the tables if they are not there."""
    if await connection.fetchval("SELECT to_regclass($1) IS NULL", f"{schema_of(namespace)}.meta"):
        await _refuse_foreign(connection, namespace)
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema_of(namespace)}")
        await connection.execute(placed(META + tables(), namespace))
        return [f"created the schema {namespace} with version {VERSION}"]
    at_server = await found(connection, namespace)
    if at_server is not None and at_server[0] > VERSION:
        refuse_other(at_server, namespace)
    return []


async def _refuse_foreign(connection: Connection, namespace: str) -> None:
    if await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = $1)", namespace
    ):
        raise ConfigurationError(
            f"the schema {namespace} is there and is not ours", hint="Take another namespace, or another database."
        )


async def _drop_functions(connection: Connection, namespace: str) -> None:
    """Drop another release's functions, whatever their arguments; not those that columns are computed with."""
    old = await connection.fetch(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = to_regnamespace($1) AND proname <> ALL ($2)",
        schema_of(namespace),
        PART.findall(tables()),
    )
    for (signature,) in old:
        await connection.execute(f"DROP FUNCTION {signature}")
