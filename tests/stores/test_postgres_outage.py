"""A PostgreSQL server that goes, comes back, stands still or is in the way; and callers who do not wait."""

import secrets
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import asyncpg
import pytest

from holdfast.core.model import Message, Ref
from holdfast.core.ports import Store
from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.stores.postgres import open_postgres, postgres_care
from holdfast.stores.postgres.connections import CLOSE_S, MOST, OwnConnections
from holdfast.stores.postgres.database import Database
from holdfast.testing.contract.base import NOW, all_at_once, chain, lives, root, stored
from servers.postgres import PostgresServer, postgres_server
from stores.outages import PATIENCE_S, is_called_after, paused, stopped

TIMEOUT_S = 0.5
IN_TIME_S = 3 * TIMEOUT_S


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        anyio.run(_migrate, running.url)
        yield running


async def _migrate(url: str) -> None:
    async with postgres_care(url, timeout=PATIENCE_S) as care:
        await care.migrate()


@asynccontextmanager
async def opened(server: PostgresServer) -> AsyncIterator[Store]:
    async with open_postgres(server.url, timeout=TIMEOUT_S) as store:
        yield store


@pytest.fixture
async def store(server: PostgresServer) -> AsyncIterator[Store]:
    async with opened(server) as store:
        yield store


@asynccontextmanager
async def gone_and_back(server: PostgresServer) -> AsyncIterator[None]:
    with stopped(server):
        yield


@asynccontextmanager
async def cut(server: PostgresServer) -> AsyncIterator[None]:
    """Close the connections that listen, at a server that goes on."""
    other = await asyncpg.connect(server.url)
    await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'")
    await other.close()
    yield


def calls(store: Store, ref: Ref) -> list[Callable[[], Awaitable[object]]]:
    """Return one call of every method that asks the server."""
    sessions, leases, events, counters = store.sessions, store.leases, store.events, store.counters
    return [
        lambda: sessions.create(root(), now=NOW),
        lambda: sessions.load(ref, now=NOW, touch_after=0.0),
        lambda: sessions.find("all", b""),
        lambda: sessions.delete([ref]),
        lambda: sessions.claim(["mcp"], worker="w", now=NOW, ttl=15, count=1),
        lambda: leases.acquire(ref, worker="w", now=NOW, ttl=15),
        lambda: events.append(ref, "s", b"", now=NOW),
        lambda: store.channel.publish("t"),
        lambda: counters.take("c", rate=1, burst=1, now=NOW),
        lambda: counters.once("c", now=NOW, ttl=1),
    ]


async def refused_in_time(store: Store, ref: Ref) -> None:
    with anyio.fail_after(IN_TIME_S):
        results = await all_at_once(*(call() for call in calls(store, ref)))
    assert [type(result) for result in results] == [StoreUnavailable] * len(results)


async def test_a_server_that_is_down_is_said_so_and_work_goes_on_when_it_is_back(
    store: Store, server: PostgresServer
) -> None:  # E26
    node = await chain(store, root())
    with stopped(server):
        await refused_in_time(store, node.ref)
        with anyio.fail_after(IN_TIME_S), pytest.raises(StoreUnavailable):
            async with opened(server):
                pass
    assert await lives(store, node)
    await all_at_once(*(store.sessions.create(root(), now=NOW) for _ in range(30)))


async def test_a_server_that_stands_still_is_unavailable_in_time_and_comes_back(
    store: Store, server: PostgresServer
) -> None:  # E26
    node = await chain(store, root())
    await all_at_once(*(lives(store, node) for _ in range(20)))
    with paused(server):
        await refused_in_time(store, node.ref)
        with anyio.fail_after(IN_TIME_S):
            results = await all_at_once(*(lives(store, node) for _ in range(40)))
        assert all(isinstance(result, StoreUnavailable) for result in results)
        with anyio.fail_after(IN_TIME_S), pytest.raises(StoreUnavailable):
            async with opened(server):
                pass
    assert await lives(store, node)


async def test_a_store_can_be_closed_while_the_server_stands_still(server: PostgresServer) -> None:  # E26
    with anyio.fail_after(PATIENCE_S):
        async with opened(server) as store, store.channel.subscribe("t"):
            await all_at_once(*(lives(store, root()) for _ in range(2 * MOST)))
            server.pause()
            began = anyio.current_time()
        server.resume()
    assert anyio.current_time() - began < 3 * CLOSE_S  # not as often as there are connections


async def test_a_cancelled_caller_of_a_server_that_stands_still_returns_at_once(
    store: Store, server: PostgresServer
) -> None:  # E18, E26
    node = await chain(store, root())
    with paused(server), anyio.fail_after(TIMEOUT_S / 2):
        async with anyio.create_task_group() as group:
            for call in calls(store, node.ref):
                group.start_soon(call)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert await stored(store, node) == node


async def test_nobody_gets_the_answer_to_a_cancelled_call(store: Store) -> None:  # E26
    nodes = [root() for _ in range(20)]
    await chain(store, *nodes)
    wrong = []

    async def load(number: int) -> None:
        node = nodes[number % len(nodes)]
        with anyio.CancelScope() as scope:
            if number % 3 == 0:
                group.start_soon(later, scope, number % 5)
            loaded = await store.sessions.load(node.ref, now=NOW)
            if loaded is None or loaded.record.key != node.key:
                wrong.append(number)

    async def later(scope: anyio.CancelScope, turns: int) -> None:
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        scope.cancel()

    with anyio.fail_after(PATIENCE_S):
        for start in range(0, 300, 60):
            async with anyio.create_task_group() as group:
                for number in range(start, start + 60):
                    group.start_soon(load, number)
    assert wrong == []
    assert all([await lives(store, node) for node in nodes])


async def test_a_row_that_another_program_has_locked_is_waited_for_in_time(
    store: Store, server: PostgresServer
) -> None:  # E26
    node = await chain(store, root())
    other = await asyncpg.connect(server.url)
    async with other.transaction():
        await other.execute("SELECT FROM holdfast.node FOR UPDATE")
        with anyio.fail_after(IN_TIME_S), pytest.raises(StoreUnavailable):
            await store.sessions.replace(node, now=NOW)
        assert await lives(store, node)  # who only reads does not wait
    await other.close()
    assert (await store.sessions.replace(node, now=NOW)).version == 1


async def test_connections_that_the_server_closes_are_replaced(store: Store, server: PostgresServer) -> None:  # E26
    node = await chain(store, root())
    await all_at_once(*(lives(store, node) for _ in range(20)))
    other = await asyncpg.connect(server.url)
    await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast'")
    await other.close()
    with anyio.fail_after(PATIENCE_S):
        while await _refused(store):
            pass
    results = await all_at_once(*(lives(store, node) for _ in range(30)))
    assert results == [True] * 30


async def test_a_connection_that_ends_between_two_steps_of_a_call_is_said_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:  # E26
    node = await chain(store, root())
    prepare = asyncpg.Connection._get_statement

    async def end_after(self: asyncpg.Connection, *given: object, **named: object) -> object:
        found = await prepare(self, *given, **named)
        self.terminate()
        return found

    monkeypatch.setattr(asyncpg.Connection, "_get_statement", end_after)
    with pytest.raises(StoreUnavailable):
        await lives(store, node)
    monkeypatch.undo()
    assert await lives(store, node)


async def test_who_waits_for_a_connection_may_open_one_in_the_place_of_one_that_is_lost(
    server: PostgresServer,
) -> None:  # E26
    connections = OwnConnections(server.url, PATIENCE_S, most=1)
    lost, taken = await connections.take(PATIENCE_S), []

    async def wait() -> None:
        taken.append(await connections.take(PATIENCE_S))

    with anyio.fail_after(PATIENCE_S / 2):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert taken == []
            lost.terminate()
            await connections.drop(lost)
    assert taken[0] is not lost
    await connections.give(taken[0])
    await connections.close()


async def test_what_others_stood_in_the_way_of_is_done_again_until_the_time_is_over(
    server: PostgresServer,
) -> None:  # E12, E26
    connections = OwnConnections(server.url, TIMEOUT_S)
    database = Database(connections, TIMEOUT_S)
    await database.rows("CREATE SEQUENCE IF NOT EXISTS tries")
    again = "SELECT CASE WHEN nextval('tries') < $1::int8 THEN holdfast.refuse('40001', '') END, currval('tries')"
    [(_, tries)] = await database.rows(again, 3)
    assert tries == 3
    with anyio.fail_after(IN_TIME_S), pytest.raises(StoreUnavailable):
        await database.rows(again, 1_000_000)
    await database.close()


@pytest.mark.parametrize("away", [gone_and_back, cut])
async def test_a_subscription_ends_with_its_connection_and_the_next_one_hears(
    server: PostgresServer, away: Callable[[PostgresServer], AbstractAsyncContextManager[None]]
) -> None:  # E26
    async with (
        open_postgres(server.url, timeout=PATIENCE_S) as other,
        open_postgres(server.url, timeout=PATIENCE_S) as ours,
        ours.channel.subscribe("t") as before,
    ):
        await other.channel.publish("t", b"before")
        with anyio.fail_after(PATIENCE_S):
            assert await anext(before) == Message("t", b"before")
            async with away(server):
                assert [message async for message in before] == []
            async with ours.channel.subscribe("t") as after:  # although the one before has not been left
                while await _refused(other):
                    pass
                await other.channel.publish("t", b"after")
                assert await anext(after) == Message("t", b"after")


async def test_who_listens_is_called_after_an_outage(store: Store, server: PostgresServer) -> None:  # E26
    await is_called_after(stopped(server), store)


async def test_nobody_can_subscribe_to_a_server_that_is_down(store: Store, server: PostgresServer) -> None:  # E26
    with stopped(server), anyio.fail_after(IN_TIME_S), pytest.raises(StoreUnavailable):
        async with store.channel.subscribe("t"):
            pass
    with anyio.fail_after(PATIENCE_S):
        while True:
            try:
                async with store.channel.subscribe("t"):
                    return
            except StoreUnavailable:
                continue


@pytest.mark.parametrize("password", ["{}/{}", "{}%2F{}", "{}@{}"])
@pytest.mark.parametrize("port", ["server's", "1"])
async def test_no_error_shows_a_password(server: PostgresServer, password: str, port: str) -> None:  # E5
    halves = secrets.token_hex(8), secrets.token_hex(8)
    number = server.port if port == "server's" else 1
    with pytest.raises((ConfigurationError, StoreUnavailable)) as caught:
        async with open_postgres(f"postgresql://ann:{password.format(*halves)}@127.0.0.1:{number}/postgres"):
            pass
    text = "".join(traceback.format_exception(caught.value))
    assert not any(half in text for half in halves)


async def test_a_store_shows_its_address_and_no_more(server: PostgresServer) -> None:  # E5
    async with open_postgres(server.url.replace("postgres@", "postgres:secret@")) as store:
        assert store.url == f"postgresql://127.0.0.1:{server.port}/postgres"


async def _refused(store: Store) -> bool:
    try:
        await store.sessions.find("key", b"")
    except StoreUnavailable:
        return True
    return False
