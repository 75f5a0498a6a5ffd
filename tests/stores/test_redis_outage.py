"""A Redis that is away, stands still, forgets its scripts, is full, refuses us, or hands over to its replica."""

import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import anyio
import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection

from holdfast.core.ids import alias_of
from holdfast.core.model import Message
from holdfast.core.ports import Store
from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.stores.redis import open_redis, redis_care, redis_store
from holdfast.testing.contract.base import NOW, all_at_once, below, chain, lives, root, stored
from servers.redis import RedisServer, RedisServers, redis_cluster, redis_sentinel, redis_server
from stores.outages import PATIENCE_S, is_called_after, paused, stopped
from stores.stores import Servers

TIMEOUT_S = 0.5
SLACK_S = 1.0  # of a machine that has more to do
SEND = AbstractConnection._send_packed_command
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def own() -> Iterator[RedisServer]:
    """A server that only these tests stop and start."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[RedisServers]:
    """A Cluster that only these tests stop and start."""
    with redis_cluster() as servers:
        yield servers


@pytest.fixture
async def store(own: RedisServer) -> AsyncIterator[Store]:
    async with open_redis(own.url, namespace=f"outage{next(_numbers)}", timeout=TIMEOUT_S) as opened:
        yield opened


@contextmanager
def cut(server: RedisServer) -> Iterator[None]:
    """Close the connections that listen, at a server that goes on."""
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    yield


async def unavailable(store: Store) -> float:
    """Ask the store; return after how many seconds it said that it is not available."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.sessions.load(alias_of("one"), now=NOW)
    return time.monotonic() - began


async def hung_up(connection: AbstractConnection, command: Iterable[bytes], *, check_health: bool) -> None:
    """Send when another task has just disconnected."""
    await connection.disconnect(nowait=True)
    await SEND(connection, command)


async def closed_below(connection: AbstractConnection, command: object, *, check_health: bool) -> None:
    """Send when uvloop has closed the transport, and redis-py does not know yet."""
    raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


@pytest.mark.parametrize("end", [hung_up, closed_below])
async def test_a_connection_that_ends_while_a_command_is_on_its_way_out_is_an_outage_and_made_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch, end: Callable[..., Awaitable[None]]
) -> None:  # E26
    await back(store)
    with monkeypatch.context() as patched:
        patched.setattr(AbstractConnection, "send_packed_command", end)
        assert await unavailable(store) < TIMEOUT_S
    await back(store)


async def back(store: Store) -> None:
    """Return when the store is available again, without having been opened again."""
    with anyio.fail_after(PATIENCE_S):
        while True:
            try:
                await store.sessions.find("due", NOW, count=1)
            except StoreUnavailable:
                await anyio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize("away", [stopped, paused])
async def test_a_store_that_is_away_says_so_in_time_and_comes_back(
    store: Store, own: RedisServer, away: Callable[[RedisServer], AbstractContextManager[None]]
) -> None:  # E26
    node = await chain(store, root(name="one"))
    with away(own):
        for _ in range(3):
            assert await unavailable(store) < TIMEOUT_S + SLACK_S
        began = time.monotonic()
        results = await all_at_once(*(store.sessions.create(root(), now=NOW) for _ in range(20)))
        assert all(isinstance(result, StoreUnavailable) for result in results)
        assert time.monotonic() - began < TIMEOUT_S + SLACK_S
        with pytest.raises(StoreUnavailable):
            await store.channel.publish("t")
    await back(store)
    assert await lives(store, node)
    await store.counters.add("n", now=NOW)


@pytest.mark.parametrize("away", [stopped, paused])
async def test_a_cluster_that_is_away_says_so_in_time_and_comes_back(
    own_cluster: RedisServers, away: Callable[[RedisServers], AbstractContextManager[None]]
) -> None:  # E26
    async with open_redis(own_cluster.url, namespace=f"outage{next(_numbers)}", timeout=TIMEOUT_S) as store:
        node = await chain(store, root(name="one"))
        with away(own_cluster):
            for _ in range(3):
                assert await unavailable(store) < TIMEOUT_S + SLACK_S
        await back(store)
        assert await lives(store, node)


async def test_one_fallen_node_of_a_cluster_makes_nothing_hang(own_cluster: RedisServers) -> None:  # E26
    async with open_redis(own_cluster.url, namespace=f"outage{next(_numbers)}", timeout=TIMEOUT_S) as store:
        nodes = [await chain(store, root()) for _ in range(30)]
        with stopped(own_cluster.nodes[1]):
            began = time.monotonic()
            await all_at_once(*(store.sessions.load(node.ref, now=NOW) for node in nodes))
            assert time.monotonic() - began < 2 * TIMEOUT_S + SLACK_S
        await back(store)
        assert all([await lives(store, node) for node in nodes])


async def test_what_was_acknowledged_survives_a_restart(store: Store, own: RedisServer) -> None:  # E27
    node = root(name="one", payload=b"p", due_at=NOW)
    await chain(store, node, below(node, holds=True))
    lease = await store.leases.acquire(node.ref, worker="w", now=NOW, ttl=15)
    await store.events.append(node.ref, "s", b"1", now=NOW)
    with stopped(own):
        pass
    await back(store)
    kept = await stored(store, node)
    assert kept is not None
    assert (kept.payload, kept.held) == (b"p", 1)
    assert await store.leases.acquire(node.ref, worker="x", now=NOW, ttl=15) is None
    assert lease is not None
    await store.leases.renew(lease, now=NOW, ttl=15)
    assert await store.events.append(node.ref, "s", b"2", now=NOW) == 2


async def test_a_server_that_forgets_its_scripts_is_told_them_again(store: Store, own: RedisServer) -> None:  # E27
    node = await chain(store, root(name="one"))
    own.ask("SCRIPT", "FLUSH")
    results = await all_at_once(*(store.sessions.load(node.ref, now=NOW, touch_after=0.0) for _ in range(10)))
    assert all(result is not None for result in results)
    own.ask("SCRIPT", "FLUSH")
    assert await store.counters.add("n", now=NOW) == 1


async def test_a_cancelled_caller_leaves_no_answer_for_the_next(store: Store) -> None:  # E26
    nodes = [await chain(store, root(payload=b"%d" % place)) for place in range(20)]

    async def cancelled(place: int) -> None:
        with anyio.CancelScope() as scope:
            asked = anyio.Event()

            async def ask() -> None:
                asked.set()
                await store.sessions.load(nodes[place].ref, now=NOW)

            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await asked.wait()
                scope.cancel()

    with anyio.fail_after(PATIENCE_S):
        for place in range(20):
            await cancelled(place)
            loaded = await store.sessions.load(nodes[-place - 1].ref, now=NOW)
            assert loaded is not None
            assert loaded.record == nodes[-place - 1]


@pytest.mark.parametrize("away", [stopped, cut])
async def test_a_subscription_ends_with_its_connection_and_the_next_one_hears(
    own: RedisServer, away: Callable[[RedisServer], AbstractContextManager[None]]
) -> None:  # E26
    async with (
        open_redis(own.url, namespace="channel") as other,
        open_redis(own.url, namespace="channel", timeout=PATIENCE_S) as ours,
        ours.channel.subscribe("t") as before,
    ):
        await other.channel.publish("t", b"before")
        with anyio.fail_after(PATIENCE_S):
            assert await anext(before) == Message("t", b"before")
            with away(own):
                assert [message async for message in before] == []
            await back(other)
            async with ours.channel.subscribe("t") as after:  # although the one before has not been left
                await other.channel.publish("t", b"after")
                assert await anext(after) == Message("t", b"after")


async def test_who_listens_is_called_after_an_outage(store: Store, own: RedisServer) -> None:  # E26
    await is_called_after(stopped(own), store)


async def test_a_full_server_refuses_new_sessions_and_says_why(store: Store, own: RedisServer) -> None:  # E26
    node = await chain(store, root(name="one"))
    own.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable, match="out of memory") as caught:
            await store.sessions.create(root(), now=NOW)
        assert "maxmemory" in caught.value.hint
        assert await lives(store, node)
        assert len(await store.sessions.find("all", b"")) == 1
    finally:
        own.ask("CONFIG", "SET", "maxmemory", "0")
    await chain(store, root())


async def test_a_server_that_may_evict_is_refused() -> None:  # E27
    with redis_server(maxmemory_policy="allkeys-lru") as server:
        with pytest.raises(ConfigurationError, match="allkeys-lru") as caught:
            async with open_redis(server.url):
                pass
        assert "noeviction" in caught.value.hint
        async with redis_care(server.url) as care:
            assert "evicts" in {finding.code for finding in await care.check()}


async def test_a_server_that_forbids_config_is_asked_otherwise() -> None:  # E27
    with (
        redis_server(rename_command="CONFIG ''", maxmemory_policy="volatile-ttl") as server,
        pytest.raises(ConfigurationError, match="volatile-ttl"),
    ):
        async with open_redis(server.url):
            pass


async def test_a_wrong_password_is_refused_and_not_repeated() -> None:  # E26
    with redis_server(requirepass="the-right-one") as server:
        address = f"127.0.0.1:{server.port}/0"
        for login in ("", ":the-wrong-one@"):
            with pytest.raises(ConfigurationError) as caught:
                async with open_redis(f"redis://{login}{address}"):
                    pass
            assert "the-wrong-one" not in f"{caught.value} {caught.value.hint}"
        async with open_redis(f"redis://:the-right-one@{address}") as store:
            await chain(store, root())
            assert "the-right-one" not in store.url


async def test_nobody_at_the_address_is_unavailable() -> None:  # E26
    with pytest.raises(StoreUnavailable):
        async with open_redis("redis://127.0.0.1:1/0", timeout=TIMEOUT_S):
            pass
    with pytest.raises(StoreUnavailable):
        async with open_redis("redis+cluster://127.0.0.1:1", timeout=TIMEOUT_S):
            pass
    with pytest.raises(StoreUnavailable):
        async with open_redis("redis+sentinel://127.0.0.1:1/main/0", timeout=TIMEOUT_S):
            pass


async def test_a_single_server_is_no_cluster(own: RedisServer) -> None:  # E22
    with pytest.raises(ConfigurationError, match="no cluster"):
        async with open_redis(own.url.replace("redis:", "redis+cluster:").removesuffix("/0")):
            pass


async def test_work_goes_on_at_the_replica_when_the_primary_dies() -> None:  # E22, E26, E27
    with redis_sentinel() as watched:
        async with open_redis(f"{watched.url}?wait_replicas=1", timeout=2.0) as store:
            nodes = [await chain(store, root(name=f"n{place}")) for place in range(10)]
            watched.primary.kill()
            await back(store)
            assert all([await lives(store, node) for node in nodes])
        async with open_redis(watched.url) as store:
            await chain(store, root())


async def test_a_change_that_no_replica_has_is_not_acknowledged(servers: Servers) -> None:  # E27
    async with open_redis(f"{servers.of('redis').url}?wait_replicas=1", namespace="waits", timeout=TIMEOUT_S) as store:
        with pytest.raises(StoreUnavailable, match="replicas"):
            await store.sessions.create(root(), now=NOW)
        assert len(await store.sessions.find("all", b"")) == 1


async def test_the_number_of_shards_is_fixed(servers: Servers) -> None:  # E27
    url = servers.of("redis").url
    async with open_redis(f"{url}?shards=3", namespace="fixed") as store:
        node = await chain(store, root(name="one"))
    with pytest.raises(ConfigurationError, match="3 shards"):
        async with open_redis(f"{url}?shards=4", namespace="fixed"):
            pass
    async with open_redis(url, namespace="fixed") as store:
        assert await lives(store, node)


@pytest.mark.parametrize("sort", ["redis", "cluster"])
async def test_two_namespaces_never_see_each_other(servers: Servers, sort: str) -> None:  # E22
    url = servers.of(sort).url
    async with open_redis(url, namespace="ours") as ours, open_redis(url, namespace="ours:too") as theirs:
        node = await chain(ours, root(name="one", due_at=NOW))
        await ours.counters.add("n", now=NOW)
        assert await theirs.sessions.load(alias_of("one"), now=NOW) is None
        assert not await lives(theirs, node)
        assert await theirs.sessions.find("all", b"") == []
        assert await theirs.sessions.claim(["mcp"], worker="w", now=NOW, ttl=15, count=9) == []
        assert await theirs.counters.read(["n"], now=NOW) == [0]
        async with theirs.channel.subscribe("t") as messages:
            await ours.channel.publish("t", b"ours")
            await theirs.channel.publish("t", b"theirs")
            with anyio.fail_after(PATIENCE_S):
                assert (await anext(messages)).data == b"theirs"


async def test_a_client_that_is_there_already_is_used(servers: Servers) -> None:  # E22
    client = Redis.from_url(servers.of("redis").url, decode_responses=True)
    async with redis_store(client, namespace="handed") as store:
        node = await chain(store, root(payload=b"\xff\x00"))
        assert await lives(store, node)
    assert await client.get("handed:layout") == "1 1"
    await client.aclose()


async def test_a_cluster_client_that_is_there_already_is_used(servers: Servers) -> None:  # E22
    node = servers.of("cluster").nodes[0]
    client = RedisCluster(host="127.0.0.1", port=node.port)
    async with redis_store(client, namespace="handed") as store:
        records = [await chain(store, root()) for _ in range(10)]
        assert all([await lives(store, record) for record in records])
    assert await client.get("handed:layout") == b"1 64"
    await client.aclose()


async def test_a_primary_that_has_become_a_replica_is_left() -> None:  # E26
    with redis_server() as one, redis_server() as two:
        async with open_redis(one.url, timeout=TIMEOUT_S) as store:
            await chain(store, root())
            one.ask("REPLICAOF", "127.0.0.1", two.port)
            with pytest.raises(StoreUnavailable, match="replica"):
                await store.sessions.create(root(), now=NOW)
            one.ask("REPLICAOF", "NO", "ONE")
            await store.counters.add("n", now=NOW)
