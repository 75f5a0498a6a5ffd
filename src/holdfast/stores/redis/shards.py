"""The shards of a namespace, and how a script is run in one of them.

A shard is what one script can reach: all its keys have one hash tag, so they are on one node of a Cluster. A single
server has one shard. A tree is wholly in the shard that its root's key names; what an alias, an owner or a client has
is written in the shard that its digest names, its home. The number of shards never changes.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from hashlib import sha1
from struct import Struct
from typing import Any, Final
from zlib import crc32

import anyio
from redis.exceptions import NoScriptError, ResponseError

from holdfast.stores.redis.line import packed_command
from holdfast.stores.redis.refusals import failure, refused
from holdfast.stores.redis.scripts import Script, script
from holdfast.stores.redis.servers import Servers

PARTS: Final = (b"nodes", b"starts", b"leaves", b"leases", b"living", b"reserved", b"moving")
ENTRY_BYTES: Final = 26
AT_HOME: Final = frozenset({b"a", b"o", b"c", b"k"})
TAG: Final = Struct("<HH")
HOME: Final = Struct(">H")
TARGET: Final = Struct("<H")


class Shards:
    """Runs scripts."""

    def __init__(self, servers: Servers, namespace: str, number: int, *, wait_replicas: int, timeout: float) -> None:
        self.servers, self.number = servers, number
        self._prefix = namespace.encode()
        self._replicas, self._timeout = wait_replicas, timeout
        self._keys = [
            [tuple(self.key(shard, part) for part in PARTS[:most]) for most in range(len(PARTS) + 1)]
            for shard in range(number)
        ]
        self._tags = [TAG.pack(shard, number) for shard in range(number)]

    def key(self, shard: int, *names: bytes) -> bytes:
        """Return the name of a key of a shard."""
        return b":".join((self._prefix, b"{h%d}" % shard, *names))

    def log(self, shard: int, key: bytes) -> bytes:
        """Return the name of a node's event log."""
        return self.key(shard, b"events", key)

    def of_key(self, key: bytes) -> int:
        """Return the shard of the tree with this key, and the home of an alias."""
        if self.number == 1 or len(key) < HOME.size:
            return 0
        return int(HOME.unpack_from(key)[0]) % self.number

    def of_text(self, text: str) -> int:
        """Return the home of an owner or a client."""
        return 0 if self.number == 1 else self.of_key(sha1(text.encode(), usedforsecurity=False).digest())

    def of_name(self, name: str) -> int:
        """Return the shard of a counter."""
        return crc32(name.encode()) % self.number

    async def run(
        self, name: str, shard: int, *arguments: bytes | str | int, keys: Sequence[bytes] = (), writes: bool = False
    ) -> Any:
        """Run a script over a shard's trees and return its answer."""
        chosen = script(name)
        own = self._keys[shard][chosen.keys]
        rest = (len(own) + len(keys), *own, *keys, self._tags[shard], *arguments)
        return await self._evaluate(chosen, own[0], rest, writes)

    async def step(self, name: str, shard: int, *arguments: bytes | str | int, keys: Sequence[bytes] = ()) -> list[Any]:
        """Run a script that writes or refuses; carry out elsewhere what is due there, and return the rest.

        Raises:
            HoldfastError: What the script refused.
        """
        return await self.settled(await self.run(name, shard, *arguments, keys=keys, writes=True))

    async def settled(self, answer: Sequence[Any], afterwards: Iterable[bytes] = ()) -> list[Any]:
        """Carry out elsewhere what a script's answer says is due there; return the rest, or raise its refusal."""
        if answer[0] != 0:
            raise refused(answer)
        if due := [*answer[1], *afterwards]:
            await self.settle(due)
        return list(answer[2:])

    async def count(self, name: str, keys: Sequence[bytes], *arguments: bytes | str | int) -> Any:
        """Run a script over counters."""
        return await self._evaluate(script(name), keys[0], (len(keys), *keys, *arguments), writes=False)

    async def settle(self, entries: Iterable[bytes]) -> None:
        """Put entries into the lists of their homes (`+` before each), take them out (`-`), or leave queues (`!`)."""
        homes: dict[int, list[bytes]] = {}
        for entry in entries:
            homes.setdefault(self.home(entry[1:]), []).append(entry)
        await gathered([_later(self.run, "settle", home, *homes[home], writes=True) for home in homes])

    def home(self, entry: bytes) -> int:
        """Return the shard whose list an entry belongs to, or the queue before a scope."""
        if len(entry) != ENTRY_BYTES or entry[:1] in AT_HOME:
            return self.of_key(entry[1:])
        return place_of(entry)

    async def everywhere(self, name: str, *arguments: bytes | str | int) -> list[Any]:
        """Run a script in every shard at the same time, and return the answers in order of the shards."""
        if self.number == 1:
            return [await self.run(name, 0, *arguments)]
        return await gathered([_later(self.run, name, shard, *arguments) for shard in range(self.number)])

    async def each(self, name: str, arguments: Mapping[int, Sequence[bytes | str | int]]) -> list[Any]:
        """Run a script in some shards at the same time, each with its own arguments; return the answers in order."""
        return await gathered([_later(self.run, name, shard, *own) for shard, own in arguments.items()])

    async def _evaluate(self, chosen: Script, key: bytes, rest: tuple[Any, ...], writes: bool) -> Any:
        ask = self._ask_and_wait if writes and self._replicas else self.servers.ask
        try:
            try:
                return await ask(key, packed_command(b"EVALSHA", chosen.digest, *rest))
            except NoScriptError:
                return await ask(key, packed_command(b"EVAL", chosen.text, *rest))
        except ResponseError as exc:
            raise failure(exc) from exc

    async def _ask_and_wait(self, key: bytes, command: bytes) -> Any:
        return await self.servers.ask_and_wait(key, command, self._replicas, self._timeout)


def place_of(entry: bytes) -> int:
    """Return the shard of the node that an entry is about."""
    return int(HOME.unpack_from(entry, ENTRY_BYTES - HOME.size)[0])


def _later(call: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Callable[[], Awaitable[Any]]:
    return lambda: call(*arguments, **named)


async def gathered(calls: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """Run calls at the same time; return their results in order, or raise the first failure."""
    results: list[Any] = [None] * len(calls)
    failures: list[Exception] = []

    async def run(place: int) -> None:
        try:
            results[place] = await calls[place]()
        except Exception as exc:  # noqa: BLE001 - raised below, alone
            failures.append(exc)

    async with anyio.create_task_group() as group:
        for place in range(len(calls)):
            group.start_soon(run, place)
    if failures:
        raise failures[0]
    return results
