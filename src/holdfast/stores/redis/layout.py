"""How a namespace is laid out at its servers, and which servers are fit for it.

The layout is one key, written when the namespace is first opened: its version and its number of shards.
"""

from collections.abc import Mapping
from typing import Any, Final

from redis.exceptions import ResponseError

from holdfast.errors import ConfigurationError
from holdfast.stores.redis.line import packed_command
from holdfast.stores.redis.refusals import failure
from holdfast.stores.redis.servers import Servers

VERSION: Final = 1
SHARDS_OF_A_CLUSTER: Final = 64
POLICY: Final = "noeviction"


async def command(servers: Servers, key: bytes, *words: bytes | str | int) -> Any:
    """Send one command; a refusal is our error."""
    try:
        return await servers.ask(key, packed_command(*words))
    except ResponseError as exc:
        raise failure(exc) from exc


def layout_key(namespace: str) -> bytes:
    """Return the name of the key that says how a namespace is laid out."""
    return namespace.encode() + b":layout"


async def shards_of(servers: Servers, namespace: str, wanted: int | None) -> tuple[int, bool]:
    """Return how many shards the namespace has, and whether that was just decided.

    Raises:
        ConfigurationError: The URL asks for another number, or another release has laid it out.
    """
    key = layout_key(namespace)
    number = wanted or (SHARDS_OF_A_CLUSTER if servers.clustered else 1)
    new = bool(await command(servers, key, "SET", key, f"{VERSION} {number}", "NX"))
    return await shards_found(servers, namespace, wanted) or number, new


async def shards_found(servers: Servers, namespace: str, wanted: int | None) -> int | None:
    """Return how many shards the namespace has, None if it was never laid out; refuse it as `shards_of` does."""
    key = layout_key(namespace)
    layout = await command(servers, key, "GET", key)
    if layout is None:
        return None
    version, shards = map(int, layout.split())
    if version != VERSION:
        raise ConfigurationError(
            f"the namespace {namespace} has layout {version} on this server, this release knows {VERSION}",
            hint="Run the release that wrote it, or use another namespace.",
        )
    if wanted not in {None, shards}:
        raise ConfigurationError(
            f"the namespace {namespace} has {shards} shards, not {wanted}",
            hint="Leave out ?shards=: the number is fixed when a namespace is first used.",
        )
    return shards


async def refuse_eviction(servers: Servers) -> None:
    """Raise ConfigurationError if a server may throw away what is stored to make room (E27)."""
    for policy in await eviction_policies(servers):
        if policy != POLICY:
            raise ConfigurationError(
                f"the server may evict sessions: its maxmemory-policy is {policy}",
                hint="Set `maxmemory-policy noeviction`, in redis.conf or by CONFIG SET, or use a server of its own.",
            )


async def eviction_policies(servers: Servers) -> list[str]:
    """Return each server's `maxmemory-policy`; from INFO where CONFIG is forbidden, as managed servers do."""
    try:
        answers = await servers.ask_everyone(packed_command(b"CONFIG", b"GET", b"maxmemory-policy"))
        return [answer[1].decode() for answer in answers]
    except (ResponseError, IndexError):
        return [figures["maxmemory_policy"] for figures in await info(servers, "memory")]


async def info(servers: Servers, section: str) -> list[Mapping[str, str]]:
    """Return a section of each server's INFO."""
    try:
        answers = await servers.ask_everyone(packed_command(b"INFO", section))
    except ResponseError as exc:
        raise failure(exc) from exc
    return [_figures(answer.decode()) for answer in answers]


def _figures(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, separator, value in lines if separator}
