"""Where a command goes: to the one server, to the primary that Sentinel names, or to the node that has the key's slot.

There is one line to each server. A demoted primary, a moved slot or a fallen node is noticed by its answer: the line is
cut or the map of slots read again, and the command goes to the right one if it was not carried out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import anyio
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import Sentinel
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import (
    AskError,
    MovedError,
    ResponseError,
)

from holdfast.errors import ConfigurationError, HoldfastError, StoreUnavailable
from holdfast.stores.redis.address import LINE, Address
from holdfast.stores.redis.line import Line, packed_command
from holdfast.stores.redis.refusals import code_of, failure

Host = tuple[str, int]
TURNS: Final = 4  # how often a command is sent on to where it belongs
NAP_S: Final = 0.05
DEMOTED: Final = frozenset({"READONLY", "MASTERDOWN", "LOADING"})
MISPLACED: Final = frozenset({"MovedError", "CLUSTERDOWN", "READONLY", "TRYAGAIN"})


class Servers(Protocol):
    """One server or many."""

    clustered: bool

    async def ask(self, key: bytes, command: bytes) -> Any:
        """Send a packed command to the server that has the key, and return its answer.

        Raises:
            ResponseError: The server refuses the command for what it is.
            StoreUnavailable: No server takes it in time.
        """
        ...

    async def ask_and_wait(self, key: bytes, command: bytes, replicas: int, timeout: float) -> Any:
        """Send a command and do not return before `replicas` replicas have what it wrote."""
        ...

    async def ask_everyone(self, command: bytes) -> list[Any]:
        """Send a command to every primary and return their answers."""
        ...

    def line_for_channel(self) -> Callable[[], AbstractConnection]:
        """Return what makes a connection to a server that hears what is published."""
        ...

    async def close(self) -> None:
        """Hang up everywhere."""
        ...


class OneServer:
    """Implements `Servers` for a server, or for the primary of a service that Sentinels watch."""

    clustered = False

    def __init__(self, make: Callable[[], AbstractConnection], *, timeout: float) -> None:
        self._make, self._line = make, Line(make, timeout=timeout)

    async def ask(self, key: bytes, command: bytes) -> Any:
        """See `Servers.ask`."""
        try:
            return await self._line.ask(command)
        except ResponseError as exc:
            self._doubt(exc)
            raise

    async def ask_and_wait(self, key: bytes, command: bytes, replicas: int, timeout: float) -> Any:
        """See `Servers.ask_and_wait`."""
        try:
            return _acknowledged(await self._line.ask_all([command, _wait(replicas, timeout)]), replicas)
        except ResponseError as exc:
            self._doubt(exc)
            raise

    def _doubt(self, exc: ResponseError) -> None:
        """Cut the line to a server that is no primary any more: Sentinel may know another."""
        if code_of(exc) in DEMOTED:
            self._line.cut(failure(exc))

    async def ask_everyone(self, command: bytes) -> list[Any]:
        """See `Servers.ask_everyone`."""
        return [await self.ask(b"", command)]

    def line_for_channel(self) -> Callable[[], AbstractConnection]:
        """See `Servers.line_for_channel`."""
        return self._make

    async def close(self) -> None:
        """See `Servers.close`."""
        await self._line.close()


class ManyServers:
    """Implements `Servers` for a Cluster."""

    clustered = True

    def __init__(self, make: Callable[[Host], AbstractConnection], hosts: Iterable[Host], *, timeout: float) -> None:
        self._make, self._known, self._timeout = make, list(hosts), timeout
        self._lines: dict[Host, Line] = {}
        self._slots: list[Host] = []
        self._reading = anyio.Lock()

    async def ask(self, key: bytes, command: bytes) -> Any:
        """See `Servers.ask`."""
        return (await self._sent(key, [command]))[-1]

    async def ask_and_wait(self, key: bytes, command: bytes, replicas: int, timeout: float) -> Any:
        """See `Servers.ask_and_wait`."""
        return _acknowledged(await self._sent(key, [command, _wait(replicas, timeout)]), replicas)

    async def ask_everyone(self, command: bytes) -> list[Any]:
        """See `Servers.ask_everyone`."""
        if not self._slots:
            await self._read_slots()
        return [await self._line(host).ask(command) for host in sorted(set(self._slots))]

    def line_for_channel(self) -> Callable[[], AbstractConnection]:
        """See `Servers.line_for_channel`. Every node of a Cluster hears everything: the next one is tried each time."""
        turn = 0

        def make() -> AbstractConnection:
            nonlocal turn
            turn += 1
            return self._make(self._known[turn % len(self._known)])

        return make

    async def close(self) -> None:
        """See `Servers.close`."""
        for line in self._lines.values():
            await line.close()

    def _line(self, host: Host) -> Line:
        line = self._lines.get(host)
        if line is None:
            line = self._lines[host] = Line(lambda: self._make(host), timeout=self._timeout)
        return line

    async def _sent(self, key: bytes, commands: Sequence[bytes]) -> list[Any]:
        """Send commands to the node that has the key, wherever it has gone."""
        slot, error = key_slot(key), None
        with anyio.move_on_after(self._timeout):
            for _ in range(TURNS):
                if not self._slots:
                    await self._read_slots()
                try:
                    answers = await self._line(self._slots[slot]).ask_all(commands)
                    return await self._followed(answers, commands)
                except ResponseError as exc:
                    if code_of(exc) not in MISPLACED:
                        raise
                    error = failure(exc)
                    self._slots = []
                    if not isinstance(exc, MovedError):
                        await anyio.sleep(NAP_S)
                except StoreUnavailable:
                    self._slots = []  # the node may have fallen: ask who has its slots now
                    raise
        raise error or StoreUnavailable("the cluster did not answer in time")

    async def _followed(self, answers: list[Any], commands: Sequence[bytes]) -> list[Any]:
        """Return the answers, or those of the node to which a slot is just moving."""
        if isinstance(answers[0], AskError):
            host = (str(answers[0].host), int(answers[0].port))
            answers = (await self._line(host).ask_all([packed_command(b"ASKING"), *commands]))[1:]
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers

    async def _read_slots(self) -> None:
        """Read which node has which slots, from the first node that answers."""
        async with self._reading:
            if self._slots:
                return
            error: Exception | None = None
            for host in list(self._known):
                try:
                    self._learn(await self._line(host).ask(packed_command(b"CLUSTER", b"SLOTS")), host)
                except (StoreUnavailable, ResponseError) as exc:
                    error = exc
                else:
                    return
            if isinstance(error, ResponseError):
                raise ConfigurationError(
                    "the servers of the URL are no cluster", hint="Use redis:// for a single server."
                ) from error
            raise error or StoreUnavailable("no node of the cluster answers")

    def _learn(self, ranges: Sequence[Any], asked: Host) -> None:
        slots: list[Host | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        known = []
        for first, last, *nodes in ranges:
            hosts = [(node[0].decode() or asked[0], node[1]) for node in nodes]
            known += hosts
            slots[first : last + 1] = [hosts[0]] * (last + 1 - first)
        if any(host is None for host in slots):
            raise StoreUnavailable("the cluster does not cover all slots")
        self._slots = [host for host in slots if host is not None]
        self._known = list(dict.fromkeys([*known, *self._known]))


def servers_at(address: Address, *, timeout: float) -> Servers:
    """Return the servers of a URL; nothing is connected yet."""
    settings = {**address.settings(), "socket_connect_timeout": timeout}
    cls = address.connection_class
    if address.mode == "cluster":
        return ManyServers(lambda host: cls(host=host[0], port=host[1], **settings), address.hosts, timeout=timeout)
    settings["db"] = address.database
    if address.mode == "sentinel":
        return servers_of(_primary(address, settings, timeout), timeout=timeout)
    [(host, port)] = address.hosts
    return OneServer(lambda: cls(host=host, port=port, **settings), timeout=timeout)


def servers_of(client: Redis | RedisCluster, *, timeout: float) -> Servers:
    """Return the servers that a client is connected to, with its user, its TLS and its Sentinels."""
    if isinstance(client, RedisCluster):
        nodes = list(client.nodes_manager.startup_nodes.values())
        settings, cls = _plain(nodes[0].connection_kwargs), nodes[0].connection_class
        return ManyServers(
            lambda host: cls(**{**settings, "host": host[0], "port": host[1]}),
            [(str(node.host), int(node.port)) for node in nodes],
            timeout=timeout,
        )
    pool = client.connection_pool
    return OneServer(lambda: pool.connection_class(**_plain(pool.connection_kwargs)), timeout=timeout)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a client's settings of a connection, with the timeouts, retries and protocol of a line."""
    kept = {name: value for name, value in settings.items() if "maint_notifications" not in name}
    return {**kept, **LINE}


def _primary(address: Address, settings: dict[str, Any], timeout: float) -> Redis:
    """Return a client that asks the Sentinels who is primary whenever it connects."""
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        address.hosts, sentinel_kwargs={"socket_timeout": timeout / 2, "socket_connect_timeout": timeout / 2}
    )
    client: Redis = sentinels.master_for(address.service, **settings, ssl=address.tls)
    return client


def _wait(replicas: int, timeout: float) -> bytes:
    return packed_command(b"WAIT", replicas, max(int(timeout * 500), 1))


def _acknowledged(answers: Sequence[Any], replicas: int) -> Any:
    done, reached = answers
    for answer in answers:
        if isinstance(answer, HoldfastError):
            raise answer
    if isinstance(done, Exception):
        raise done
    if not isinstance(reached, int) or reached < replicas:
        raise StoreUnavailable(
            f"fewer than {replicas} replicas have what was written",
            hint="It is written on the primary. See that its replicas are connected.",
        )
    return done
