"""The PostgreSQL store against the contract, at a real server, and what is its own."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import asyncpg
import pytest
from msgspec.structs import replace

from holdfast.core.model import Limit, Message, Policy, Reason, Scope
from holdfast.core.ports import Store
from holdfast.errors import BadInput, ConfigurationError
from holdfast.stores.postgres import open_postgres, postgres_care, postgres_store
from holdfast.testing import StoreContract
from holdfast.testing.contract.base import IDLE, NOW, below, chain, root, stored
from stores.stores import Servers

PATIENCE_S = 10.0
EMPTY = "; ".join(f"DELETE FROM contract.{table}" for table in ("node", "stream", "event", "counter"))


@pytest.fixture(scope="module")
def url(servers: Servers) -> str:
    address: str = servers.of("postgres").url
    anyio.run(_migrate, address)
    return address


async def _migrate(url: str) -> None:
    async with postgres_care(url, namespace="contract", timeout=PATIENCE_S) as care:
        await care.migrate()


@asynccontextmanager
async def fresh(url: str) -> AsyncIterator[Store]:
    connection = await asyncpg.connect(url)
    await connection.execute(EMPTY)
    await connection.close()
    async with open_postgres(url, namespace="contract", timeout=PATIENCE_S) as store:
        yield store


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with fresh(url) as opened:
        yield opened


class TestPostgres(StoreContract):
    """Every sentence of the ports (E23)."""

    @pytest.fixture(autouse=True)
    def _at(self, url: str) -> None:
        self._url = url

    def open(self) -> AbstractAsyncContextManager[Store]:
        return fresh(self._url)


async def test_a_pool_may_be_handed_in_and_stays_open(url: str, store: Store) -> None:  # E22
    async with asyncpg.create_pool(url, min_size=1, max_size=3) as pool:
        async with postgres_store(pool, namespace="contract", timeout=PATIENCE_S) as lent:
            node = await chain(lent, root(), root(name="id", idle=IDLE))
            loaded = await lent.sessions.load(node.ref, now=NOW + 60, touch_after=30)
            assert loaded is not None
            assert loaded.record.used_at == NOW + 60
            assert await stored(store, node) == loaded.record
            async with lent.channel.subscribe("t") as messages:
                await store.channel.publish("t", b"hello")
                with anyio.fail_after(PATIENCE_S):
                    assert await anext(messages) == Message("t", b"hello")
        assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("default_transaction_isolation", "serializable", "SERIALIZABLE"),  # it would not see what others commit
        ("synchronous_commit", "off", "synchronous_commit"),  # E28
    ],
)
async def test_a_pool_whose_settings_break_a_promise_is_refused(
    url: str, setting: str, value: str, said: str
) -> None:  # E12
    async with asyncpg.create_pool(url, min_size=1, max_size=1, server_settings={setting: value}) as pool:
        with pytest.raises(ConfigurationError, match=said) as caught:
            async with postgres_store(pool, namespace="contract"):
                pass
        assert caught.value.hint


async def test_a_message_of_a_megabyte_reaches_another_store_whole_and_in_order(url: str, store: Store) -> None:  # E28
    async with (
        open_postgres(url, namespace="contract", timeout=PATIENCE_S) as other,
        store.channel.subscribe("t") as messages,
    ):
        said = [b"before", bytes(range(256)) * 4_096, b"after", b"x" * 7_900]
        for data in said:
            await other.channel.publish("t", data)
        with anyio.fail_after(PATIENCE_S):
            assert [(await anext(messages)).data for _ in said] == said


async def test_what_another_program_says_on_the_channel_does_no_harm(url: str, store: Store) -> None:  # E28
    async with (
        open_postgres(url, namespace="contract", timeout=PATIENCE_S) as other,
        store.channel.subscribe("t") as messages,
    ):
        connection = await asyncpg.connect(url)
        for noise in ("", "x", "a 0 !", "a 0 AAAA", "a b c"):
            await connection.execute("SELECT pg_notify('contract', $1)", noise)
        await connection.close()
        await other.channel.publish("t", b"sense")
        with anyio.fail_after(PATIENCE_S):
            assert (await anext(messages)).data == b"sense"


async def test_of_messages_said_at_once_none_is_mixed_with_another(url: str, store: Store) -> None:  # E28
    async with (
        open_postgres(url, namespace="contract", timeout=PATIENCE_S) as other,
        store.channel.subscribe("t") as messages,
    ):
        said = [bytes([number]) * 40_000 for number in range(30)]
        async with anyio.create_task_group() as group:
            for data in said:
                group.start_soon(other.channel.publish, "t", data)
        with anyio.fail_after(PATIENCE_S):
            assert sorted([(await anext(messages)).data for _ in said]) == said


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_a_text_that_the_server_cannot_keep_is_bad_input(store: Store, text: str) -> None:  # E28
    with pytest.raises(BadInput):
        await store.sessions.create(root(label=text), now=NOW)
    await chain(store, root())


async def test_a_count_is_answered_whatever_becomes_of_the_sweep_behind_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:  # E13: who is told that it failed would send the same again, and be refused as a repeat
    monkeypatch.setattr("holdfast.stores.postgres.counters.SWEEP_EVERY", 1)
    monkeypatch.setattr(store.counters, "_sweep", "SELECT FROM nowhere")
    assert await store.counters.once("nonce", now=NOW, ttl=60)
    assert not await store.counters.once("nonce", now=NOW, ttl=60)


async def test_a_large_payload_is_kept_and_touched(store: Store) -> None:  # E6, E8
    node = await chain(store, root(payload=bytes(range(256)) * 4_096, idle=IDLE))
    loaded = await store.sessions.load(node.ref, now=NOW + 60, touch_after=30)
    assert loaded is not None
    assert loaded.record == replace(node, used_at=NOW + 60)


async def test_touches_leave_the_indexes_alone(url: str) -> None:  # E8, E28
    node, touches = root(idle=IDLE), 300
    connection = await asyncpg.connect(url)
    async with fresh(url) as store:
        await chain(store, node, below(node))
        before = await _updates(connection)
        for number in range(1, touches + 1):
            await store.sessions.load(node.ref, now=NOW + 30 * number, touch_after=30)
    with anyio.fail_after(PATIENCE_S):  # a server process tells what it did when its connection ends, at the latest
        while (after := await _updates(connection))[0] < before[0] + touches:
            await anyio.sleep(0.05)
    await connection.close()
    assert after[1] - before[1] >= 0.8 * touches


async def _updates(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[int, int]:
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    row = await connection.fetchrow(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = 'contract' AND relname = 'node'"
    )
    assert row is not None
    return row[0], row[1]


async def test_who_is_replaced_in_another_tree_is_replaced_in_one_step(store: Store) -> None:  # E12
    trees = [root(kind="security", client="x") for _ in range(3)]
    nodes = [below(tree, kind="http", client="c", used_at=NOW + place) for place, tree in enumerate(trees)]
    await chain(store, *trees, *nodes)
    newest = below(trees[0], kind="http", client="c", used_at=NOW + 9)
    limit = Limit(Scope.CLIENT, 2, Policy.LEAST_RECENT)
    created = await store.sessions.create(newest, [limit], now=NOW)
    assert [record.key for record in created.replaced] == [nodes[0].key, nodes[1].key]
    assert all(record.reason is Reason.REPLACED for record in created.replaced)
