"""Looking after a namespace at a PostgreSQL server: its schema, its settings, what its rows say about each other."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from holdfast.errors import ConfigurationError
from holdfast.stores.care import Finding
from holdfast.stores.postgres.connections import Connection, Connections
from holdfast.stores.postgres.database import borrowed
from holdfast.stores.postgres.schema import HINT, found, migrate, names, placed, refuse_other

PATIENCE_S: Final = 300.0  # a check reads every row, a migration waits for another
SKEW_S: Final = 2.0
WANTED: Final = (  # setting, value, what does not hold with another
    ("fsync", "on", "a crash of the server's machine may lose or damage everything"),
    ("full_page_writes", "on", "a crash of the server's machine may damage rows"),
    ("autovacuum", "on", "dead rows pile up, and statements slow down"),
)
DAMAGE: Final = (  # code, what so many nodes are, how to find them
    (
        "orphan",
        "are below a node that is not there",
        "SELECT count(*) FROM holdfast.node AS n WHERE parent IS NOT NULL "
        "AND NOT EXISTS (SELECT FROM holdfast.node AS p WHERE p.key = n.parent AND p.tree = n.tree)",
    ),
    (
        "path_wrong",
        "have another path than their parent's",
        "SELECT count(*) FROM holdfast.node AS n LEFT JOIN holdfast.node AS p ON p.key = n.parent "
        "WHERE n.above <> CASE WHEN n.parent IS NULL THEN '{}' ELSE p.key || p.above END "
        "OR (n.parent IS NULL AND n.tree <> n.key)",
    ),
    (
        "held_wrong",
        "count another number of held nodes below than there are",
        "SELECT count(*) FROM (SELECT key, held FROM holdfast.node WHERE held <> 0) AS said FULL JOIN "
        "(SELECT a.key, count(*) AS held FROM holdfast.node AS d, unnest(d.above) AS a (key) WHERE d.holds GROUP BY 1) "
        "AS counted USING (key) WHERE said.held IS DISTINCT FROM counted.held",
    ),
    (
        "events_left",
        "have gone without their events",
        "SELECT count(*) FROM (SELECT node FROM holdfast.stream UNION SELECT node FROM holdfast.event) AS logged "
        "WHERE NOT EXISTS (SELECT FROM holdfast.node WHERE key = node)",
    ),
)
MISSING: Final = """
SELECT name FROM unnest($1::text[]) AS name WHERE NOT EXISTS (
  SELECT FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
  WHERE relnamespace = to_regnamespace($2) AND relname = name AND coalesce(indisvalid, true)
) AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = to_regnamespace($2) AND proname = name)
"""
SIZES: Final = """
SELECT sum(pg_total_relation_size(oid))::int8 FROM pg_class
WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'
"""
FIGURES: Final = """
SELECT count(*) AS nodes, count(*) FILTER (WHERE due_at <= $1) AS due,
  count(*) FILTER (WHERE state = 'live' AND expires_at <= $1) AS expired,
  count(*) FILTER (WHERE until > $1) AS leased FROM holdfast.node
"""
KINDS: Final = "SELECT kind, state, count(*) FROM holdfast.node GROUP BY 1, 2 ORDER BY 1, 2"
SERVER: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY ($1) ORDER BY name"
NOTED: Final = ("server_version", "max_connections", "synchronous_commit", "fsync")


class PostgresCare:
    """Implements `Care`."""

    def __init__(self, connections: Connections, namespace: str, timeout: float) -> None:
        self._connections, self._namespace, self._timeout = connections, namespace, timeout

    async def migrate(self) -> list[str]:
        """See `Care.migrate`. The user must be allowed to create a schema in the database."""
        async with self._patient() as connection:
            return await migrate(connection, self._namespace)

    async def check(self) -> list[Finding]:
        """See `Care.check`."""
        async with self._patient() as connection:
            try:
                refuse_other(await found(connection, self._namespace), self._namespace)
            except ConfigurationError as exc:
                return [Finding("schema_wrong", str(exc), exc.hint)]
            return [
                *await self._missing(connection),
                *await _settings(connection),
                *await self._damage(connection),
                *await _skew(connection),
                *await self._deaf(connection),
            ]

    async def stats(self) -> Mapping[str, int | float | str]:
        """See `Care.stats`."""
        async with self._patient() as connection:
            refuse_other(await found(connection, self._namespace), self._namespace)
            figures = await connection.fetchrow(placed(FIGURES, self._namespace), time.time())
            kinds = await connection.fetch(placed(KINDS, self._namespace))
            counters = await connection.fetchval(placed("SELECT count(*) FROM holdfast.counter", self._namespace))
            events = await connection.fetchval(placed("SELECT count(*) FROM holdfast.event", self._namespace))
            settings = await connection.fetch(SERVER, list(NOTED))
            return {
                **(dict(figures) if figures is not None else {}),
                **{f"nodes.{kind}.{state}": number for kind, state, number in kinds},
                "events": events,
                "counters": counters,
                "bytes": await connection.fetchval(SIZES, f'"{self._namespace}"'),
                **{f"server.{name}": setting for name, setting in settings},
            }

    @asynccontextmanager
    async def _patient(self) -> AsyncIterator[Connection]:
        """Lend a connection whose statements may take long."""
        async with borrowed(self._connections, self._timeout) as connection, asyncio.timeout(PATIENCE_S):
            await connection.execute("SET statement_timeout = 0; SET enable_seqscan = on", timeout=self._timeout)
            yield connection

    async def _missing(self, connection: Connection) -> list[Finding]:
        lost = await connection.fetch(MISSING, sorted(names()), f'"{self._namespace}"')
        return [
            Finding("part_missing", f"{name} is missing in the schema {self._namespace}, or an invalid index", HINT)
            for (name,) in lost
        ]

    async def _damage(self, connection: Connection) -> list[Finding]:
        counts = [(*what, await connection.fetchval(placed(statement, self._namespace))) for *what, statement in DAMAGE]
        return [
            Finding(code, f"{number} nodes {text}", "Restore the database; rows were changed by another program.")
            for code, text, number in counts
            if number
        ]

    async def _deaf(self, connection: Connection) -> list[Finding]:
        """Say something to ourselves on another connection, and listen whether it arrives."""
        word, heard = f"check {secrets.token_hex(4)}", asyncio.Event()
        ear = await self._connections.dedicated(self._timeout)
        try:
            await ear.add_listener(word, lambda *_: heard.set())
            await connection.execute("SELECT pg_notify($1, '')", word)
            await asyncio.wait_for(heard.wait(), self._timeout)
        except TimeoutError:
            hint = "Connect to the server itself, or let PgBouncer pool sessions."
            return [Finding("channel_deaf", "notifications do not arrive: workers do not hear each other", hint)]
        finally:
            await self._connections.end(ear)
        return []


async def _settings(connection: Connection) -> list[Finding]:
    set_to = dict(map(tuple, await connection.fetch(SERVER, [name for name, _, _ in WANTED])))
    return [
        Finding("server_setting", f"{name} is {set_to[name]}: {harm}", f"Set it to {value}.")
        for name, value, harm in WANTED
        if set_to[name] != value
    ]


async def _skew(connection: Connection) -> list[Finding]:
    skew = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8") - time.time()
    if abs(skew) < SKEW_S:
        return []
    text = f"the server's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    return [Finding("clock_skew", text, "Let all machines ask the same time server.", serious=False)]
