"""The entries of the sorted lists that are written from outside their node's shard (`lua/base.lua` has all of them)."""

from collections.abc import Sequence
from hashlib import sha1

from holdfast.core.model import Record, Scope
from holdfast.stores.redis.shards import HOME, Shards


def digest(text: str, size: int) -> bytes:
    """Return the first bytes of a text's SHA-1: enough to find it by, never enough to know it by."""
    return sha1(text.encode(), usedforsecurity=False).digest()[:size]


def alias_entry(alias: bytes, key: bytes, shard: int) -> bytes:
    """Return the entry by which an alias names a node."""
    return b"a" + alias[:7] + key + HOME.pack(shard)


def names_of(record: Record, shards: Shards) -> list[bytes]:
    """Return the entries that only one node may have: its alias, and its key where its tree is in another shard."""
    shard = shards.of_key(record.tree)
    names = []
    if shards.of_key(record.key) != shard:
        names.append(b"k" + record.key[:7] + record.key + HOME.pack(shard))
    if record.alias is not None:
        names.append(alias_entry(record.alias, record.key, shard))
    return names


def scope_of(scope: Scope, record: Record) -> bytes:
    """Return how the entries of a limit's scope begin, and the name of the queue before it."""
    kind = digest(record.kind, 2)
    match scope:
        case Scope.OWNER:
            return b"o" + digest(record.owner, 5) + kind
        case Scope.CLIENT:
            return b"c" + digest(record.client, 5) + kind
        case Scope.PARENT:
            return b"p" + (record.parent or b"")[:7].ljust(7, b"\0")
        case _:
            return b"*" + kind + bytes(5)


def places(found: Sequence[bytes | int]) -> list[tuple[bytes, int]]:
    """Return keys and shards that a script gave one after the other."""
    pairs = zip(found[::2], found[1::2], strict=True)
    return [(key, shard) for key, shard in pairs if isinstance(key, bytes) and isinstance(shard, int)]
