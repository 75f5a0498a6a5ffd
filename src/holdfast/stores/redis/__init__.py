"""The Redis store: for any number of machines, on Redis 6.2 or later or Valkey: alone, with Sentinel, or a Cluster.

    redis://user:password@host:6379/0                        one server; rediss:// with TLS
    redis+sentinel://host:26379,host:26379/service/0         whatever server the Sentinels name
    redis+cluster://host:6379,host:6379                      a Cluster; ?shards=64 is fixed when it is first used
    …?wait_replicas=1                                        a change is reported when so many replicas have it

All keys begin with the namespace. Every operation is one script (`lua/`), so it is one round trip and happens wholly or
not at all; on a Cluster that is true within a tree, and `spread` says what happens between trees.

Nothing of a tree expires by itself, and the server must not evict: it is refused unless `maxmemory-policy` is
`noeviction`. How much survives a crash is the server's `appendonly`, and a fail-over: Redis copies to replicas after it
has answered, so a replica that takes over may not know the last changes, of sessions, locks and fences alike. That is
outside the promise of this store unless `wait_replicas` is set: then every change that creates, replaces, marks, leases
or deletes is on so many replicas before it is reported, or reported as StoreUnavailable.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import Redis, RedisCluster

from holdfast.core.ports import Store
from holdfast.stores.care import Care
from holdfast.stores.namespaces import check_namespace
from holdfast.stores.redis.address import Address, parse
from holdfast.stores.redis.care import RedisCare
from holdfast.stores.redis.channel import RedisChannel
from holdfast.stores.redis.counters import RedisCounters
from holdfast.stores.redis.events import RedisEventLog
from holdfast.stores.redis.layout import refuse_eviction, shards_of
from holdfast.stores.redis.leases import RedisLeases
from holdfast.stores.redis.servers import Servers, servers_at, servers_of
from holdfast.stores.redis.sessions import RedisSessions
from holdfast.stores.redis.shards import Shards
from holdfast.stores.redis.spread import SpreadSessions

TIMEOUT_S: Final = 2.0


@asynccontextmanager
async def open_redis(
    url: str,
    *,
    namespace: str = "holdfast",
    clock: Callable[[], float] = time.time,
    timeout: float = TIMEOUT_S,
) -> AsyncIterator[Store]:
    """Open the store at an address for as long as the block runs.

    Args:
        url: See above.
        namespace: Two namespaces on one server never see each other.
        clock: Unix seconds; for what has to be finished after a crash between two trees.
        timeout: Seconds after which a call, its connecting included, raises StoreUnavailable.
    Raises:
        ConfigurationError: The URL cannot be read, the server refuses the user or may evict, or the namespace was laid
            out otherwise.
        StoreUnavailable: The server is out of reach.
    """
    address = parse(url)
    servers = servers_at(address, timeout=timeout)
    async with _store(servers, address, namespace=namespace, clock=clock, timeout=timeout) as store:
        yield store


@asynccontextmanager
async def redis_store(
    client: Redis | RedisCluster,
    *,
    namespace: str = "holdfast",
    clock: Callable[[], float] = time.time,
    timeout: float = TIMEOUT_S,
    wait_replicas: int = 0,
    shards: int | None = None,
) -> AsyncIterator[Store]:
    """Open the store at the servers of a client that is there already, on connections made like the client's (E22).

    The client stays open. See `open_redis` for the rest.
    """
    servers = servers_of(client, timeout=timeout)
    address = Address(mode="single", hosts=(), plain="redis://", shards=shards, wait_replicas=wait_replicas)
    async with _store(servers, address, namespace=namespace, clock=clock, timeout=timeout) as store:
        yield store


@asynccontextmanager
async def redis_care(url: str, *, namespace: str = "holdfast", timeout: float = TIMEOUT_S) -> AsyncIterator[Care]:
    """Look after a namespace at an address for as long as the block runs. Nothing is asked of the server on entering.

    Raises:
        ConfigurationError: The URL cannot be read.
    """
    address = parse(url)
    servers = servers_at(address, timeout=timeout)
    try:
        yield RedisCare(servers, check_namespace(namespace), address.shards, timeout=timeout)
    finally:
        await servers.close()


@asynccontextmanager
async def _store(
    servers: Servers, address: Address, *, namespace: str, clock: Callable[[], float], timeout: float
) -> AsyncIterator[Store]:
    check_namespace(namespace)
    channel = RedisChannel(servers, namespace, timeout=timeout)
    try:
        await refuse_eviction(servers)
        number, _ = await shards_of(servers, namespace, address.shards)
        shards = Shards(servers, namespace, number, wait_replicas=address.wait_replicas, timeout=timeout)
        yield Store(
            sessions=RedisSessions(shards) if number == 1 else SpreadSessions(shards, clock),
            leases=RedisLeases(shards),
            events=RedisEventLog(shards),
            channel=channel,
            counters=RedisCounters(shards),
            url=address.plain,
            shared=True,
        )
    finally:
        await channel.close()
        await servers.close()
