"""How a PostgreSQL server gets a namespace's schema, who is refused, and what a check finds."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import asyncpg
import pytest

from holdfast.errors import ConfigurationError
from holdfast.stores.care import Finding
from holdfast.stores.postgres import open_postgres, postgres_care
from holdfast.stores.postgres.care import PostgresCare
from holdfast.stores.postgres.connections import Connection, OwnConnections
from holdfast.stores.postgres.database import Database
from holdfast.stores.postgres.schema import VERSION, placed
from holdfast.stores.postgres.sessions import FINDS, LOAD, PostgresSessions
from holdfast.testing.contract.base import NOW, below, chain, root, stored
from servers.postgres import postgres_server
from stores.stores import Servers

PATIENCE_S = 10.0
CALLED = {  # of version 1, by the statements of this package
    "acquire_lease(bytea,bytea,real,real,record[],boolean) integer",
    "bucket(real) bigint",
    "claim_nodes(text[],real,real,bigint) SETOF node",
    "create_node(record,cap[],real) SETOF node",
    "cut(bytea[],real) boolean",
    "delete_nodes(bytea[],bytea[],integer) integer",
    "end_node(bytea,bytea,text,real) SETOF node",
    "keep_lease(bytea,bytea,integer,real,record[]) void",
    "rekey_node(bytea,bytea,integer,bytea,text,real,bytea,bytea) SETOF node",
    "replace_node(record,real,integer) SETOF node",
    "take(text,real,real,real,real) real",
    "touch(bytea,real,real) boolean",
}


@pytest.fixture
def url(servers: Servers) -> str:
    address: str = servers.of("postgres").url
    return address


@pytest.fixture
async def namespace(url: str, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A namespace nobody has migrated yet; gone after the test."""
    name = f"s{abs(hash(request.node.name)):x}"
    yield name
    await changed(url, f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


async def migrated(url: str, namespace: str) -> list[str]:
    async with postgres_care(url, namespace=namespace, timeout=PATIENCE_S) as care:
        return await care.migrate()


async def checked(url: str, namespace: str) -> list[Finding]:
    async with postgres_care(url, namespace=namespace, timeout=PATIENCE_S) as care:
        return await care.check()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def changed(url: str, *statements: str) -> None:
    async with connected(url) as connection:
        for statement in statements:
            await connection.execute(statement)


async def test_a_server_without_the_schema_is_refused_with_the_command_that_makes_it(
    url: str, namespace: str
) -> None:  # E28
    with pytest.raises(ConfigurationError, match=namespace) as caught:
        async with open_postgres(url, namespace=namespace):
            pass
    assert "holdfast store migrate" in caught.value.hint


async def test_migrating_again_does_nothing(url: str, namespace: str) -> None:  # E28
    assert len(await migrated(url, namespace)) == 2
    async with open_postgres(url, namespace=namespace) as store:
        node = await chain(store, root())
        assert await migrated(url, namespace) == []
        assert await stored(store, node) == node


async def test_of_those_who_migrate_at_once_one_does_it(url: str, namespace: str) -> None:  # E28
    done: list[list[str]] = []

    async def migrate() -> None:
        done.append(await migrated(url, namespace))

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(migrate)
    assert sorted(map(len, done)) == [0, 0, 0, 0, 0, 2]


async def test_an_older_schema_is_refused_and_a_migration_mends_it(url: str, namespace: str) -> None:  # E28
    await migrated(url, namespace)
    await changed(url, f"UPDATE {namespace}.meta SET functions = 'of yesterday'")
    with pytest.raises(ConfigurationError, match="another release") as caught:
        async with open_postgres(url, namespace=namespace):
            pass
    assert "holdfast store migrate" in caught.value.hint
    assert await migrated(url, namespace) == ["wrote the functions"]
    async with open_postgres(url, namespace=namespace) as store:
        await chain(store, root())


async def test_functions_of_another_release_are_replaced_whatever_they_took(url: str, namespace: str) -> None:  # E28
    await migrated(url, namespace)
    await changed(
        url,
        f"DROP FUNCTION {namespace}.take",
        f"CREATE FUNCTION {namespace}.take(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        f"UPDATE {namespace}.meta SET functions = ''",
    )
    await migrated(url, namespace)
    async with open_postgres(url, namespace=namespace) as store:
        assert await store.counters.take("c", rate=1, burst=1, now=NOW) == 0.0


async def test_a_store_that_is_open_goes_on_when_the_functions_are_written_anew(
    url: str, namespace: str
) -> None:  # E28
    await migrated(url, namespace)
    async with open_postgres(url, namespace=namespace) as store:
        node = await chain(store, root())
        await changed(url, f"UPDATE {namespace}.meta SET functions = ''")
        await migrated(url, namespace)
        assert await store.sessions.load(node.ref, now=NOW, touch_after=0.0) is not None
        assert (await store.sessions.replace(node, now=NOW)).version == 1


async def test_what_statements_call_stays_as_it_is_within_a_version(url: str, namespace: str) -> None:  # E28
    await migrated(url, namespace)
    async with connected(url) as connection:
        found = await connection.fetch(
            "SELECT oid::regprocedure || ' ' || pg_get_function_result(oid) "
            "FROM pg_proc WHERE pronamespace = to_regnamespace($1)",
            namespace,
        )
    offered = {signature.replace(f"{namespace}.", "").replace("double precision", "real") for (signature,) in found}
    assert offered >= CALLED, "a running server of an earlier release would fail: that takes a new VERSION"


async def test_a_later_schema_is_left_alone(url: str, namespace: str) -> None:  # E28
    await migrated(url, namespace)
    await changed(url, f"UPDATE {namespace}.meta SET version = {VERSION + 1}")
    with pytest.raises(ConfigurationError, match="version"):
        async with open_postgres(url, namespace=namespace):
            pass
    with pytest.raises(ConfigurationError, match="version"):
        await migrated(url, namespace)


async def test_another_programs_schema_is_left_alone(url: str, namespace: str) -> None:  # E28
    await changed(url, f"CREATE SCHEMA {namespace}", f"CREATE TABLE {namespace}.theirs ()")
    with pytest.raises(ConfigurationError, match="not ours"):
        await migrated(url, namespace)


@pytest.mark.parametrize("namespace", ["public", "pg_toast", "information_schema", "n" * 64, 'a"b', ""])
async def test_what_cannot_be_a_schema_is_no_namespace(url: str, namespace: str) -> None:  # E22
    with pytest.raises(ConfigurationError, match="namespace"):
        async with open_postgres(url, namespace=namespace):
            pass


async def test_namespaces_do_not_see_each_other(url: str, namespace: str) -> None:  # E22
    await migrated(url, namespace)
    await migrated(url, f"{namespace}:x")
    node = root(name="id", due_at=NOW)
    async with (
        open_postgres(url, namespace=namespace) as one,
        open_postgres(url, namespace=f"{namespace}:x") as two,
        one.channel.subscribe("t") as messages,
    ):
        await chain(one, node)
        assert node.alias is not None
        assert await two.sessions.load(node.alias, now=NOW) is None
        assert await two.sessions.find("all", b"") == []
        assert await two.sessions.claim(["mcp"], worker="w", now=NOW, ttl=1, count=1) == []
        await one.counters.add("n", now=NOW)
        assert await two.counters.read(["n"], now=NOW) == [0]
        await chain(two, node)
        await two.channel.publish("t", b"theirs")
        async with open_postgres(url, namespace=namespace) as other:
            await other.channel.publish("t", b"ours")
        with anyio.fail_after(PATIENCE_S):
            assert (await anext(messages)).data == b"ours"
    await changed(url, f'DROP SCHEMA "{namespace}:x" CASCADE')


async def test_a_sound_store_gives_no_finding_and_its_figures(url: str, namespace: str) -> None:  # E28
    assert [finding.code for finding in await checked(url, namespace)] == ["schema_wrong"]
    await migrated(url, namespace)
    async with open_postgres(url, namespace=namespace) as store:
        top = root()
        await chain(store, top, below(top, kind="backend"), below(top, kind="lock", holds=True, due_at=1.0))
        await store.events.append(top.ref, "s", b"", now=NOW)
    assert await checked(url, namespace) == []
    async with postgres_care(url, namespace=namespace, timeout=PATIENCE_S) as care:
        stats = await care.stats()
    assert (stats["nodes"], stats["nodes.lock.live"], stats["due"], stats["events"]) == (3, 1, 1, 1)
    assert int(stats["bytes"]) > 100_000
    assert stats["server.fsync"] == "on"


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("UPDATE {ns}.node SET held = 7 WHERE parent IS NULL", "held_wrong"),
        ("UPDATE {ns}.node SET holds = true WHERE parent IS NOT NULL", "held_wrong"),
        ("DELETE FROM {ns}.node WHERE parent IS NULL", "orphan"),
        ("UPDATE {ns}.node SET above = '{{}}' WHERE parent IS NOT NULL", "path_wrong"),
        ("INSERT INTO {ns}.stream VALUES ('\\x00', 's', 1)", "events_left"),
        ("DROP INDEX {ns}.node_due", "part_missing"),
        ("DROP FUNCTION {ns}.take", "part_missing"),
        ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{ns}.node_kind'::regclass", "part_missing"),
    ],
)
async def test_a_check_finds_what_is_wrong(url: str, namespace: str, damage: str, code: str) -> None:  # E28
    await migrated(url, namespace)
    async with open_postgres(url, namespace=namespace) as store:
        top = root()
        await chain(store, top, below(top))
    await changed(url, damage.format(ns=namespace))
    findings = await checked(url, namespace)
    assert code in [finding.code for finding in findings]
    assert all(finding.serious and finding.hint for finding in findings)


async def test_a_check_tells_of_settings_that_break_a_promise() -> None:  # E28
    with postgres_server(autovacuum="off") as server:
        await migrated(server.url, "own")
        findings = await checked(server.url, "own")
    assert [finding.code for finding in findings] == ["server_setting"]
    assert "autovacuum" in findings[0].text


@pytest.mark.parametrize(("at_server", "ours"), [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")])
async def test_what_is_committed_is_on_disk_whatever_the_server_is_set_to(
    url: str, namespace: str, at_server: str, ours: str
) -> None:  # E28
    await migrated(url, namespace)
    address = f"{url}&options=-csynchronous_commit%3D{at_server}"
    connections = OwnConnections(address, PATIENCE_S, most=1)
    database = Database(connections, PATIENCE_S)
    store = PostgresSessions(database, namespace)
    node = root()
    await store.create(node, now=NOW)
    assert await store.load(node.ref, now=NOW, touch_after=0.0) is not None  # a use may be lost, and only that
    assert await database.value("SHOW synchronous_commit") == ours
    await database.close()


class Elsewhere(OwnConnections):
    """Listens where nobody speaks, as behind a PgBouncer in transaction mode."""

    async def dedicated(self, timeout: float) -> Connection:
        connection: Any = await asyncpg.connect(self._url.replace("/postgres?", "/template1?"))
        return connection  # type: ignore[no-any-return]


async def test_a_check_tells_of_a_channel_that_hears_nothing(url: str, namespace: str) -> None:  # E28
    await migrated(url, namespace)
    connections = Elsewhere(url, PATIENCE_S)
    findings = await PostgresCare(connections, namespace, timeout=0.5).check()
    await connections.close()
    assert [finding.code for finding in findings] == ["channel_deaf"]


async def test_every_look_up_of_many_nodes_goes_by_an_index(url: str, namespace: str) -> None:  # E10, E25
    await migrated(url, namespace)
    async with open_postgres(url, namespace=namespace) as store:
        await chain(store, root())
    async with connected(url) as connection:
        for many in (
            "INSERT INTO {ns}.node (key, tree, above, mark, kind, owner, client, label, payload, state, created_at, "
            "used_at, slides_after, slid_at, ends_at, busy_until, holds, held, attempts, version) "
            "SELECT decode(md5(n::text), 'hex'), decode(md5(n::text), 'hex'), '{{}}', '', 'mcp', 'o' || n, 'c' || n, "
            "'', '', 'live', n, n, 0, 0, n, 0, false, 0, 0, 0 FROM generate_series(1, 20000) AS n",
            "ANALYZE {ns}.node",
            "SET plan_cache_mode = force_generic_plan",
        ):
            await connection.execute(many.format(ns=namespace))
        for statement in (LOAD.format(at="key = $1 AND tree = $6"), LOAD.format(at="alias = $1"), *FINDS.values()):
            await connection.execute(f"PREPARE look AS {placed(statement, namespace)}")
            nothing = ", ".join(["NULL"] * len(set(re.findall(r"\$\d", statement))))
            plan = "\n".join([line for (line,) in await connection.fetch(f"EXPLAIN EXECUTE look ({nothing})")])
            await connection.execute("DEALLOCATE look")
            assert "Seq Scan" not in plan, plan
