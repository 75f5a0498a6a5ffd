"""Writing into a store behind its back: what somebody does who has got hold of the server or the file."""

import pickle
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
from msgspec.structs import replace

from holdfast.core.model import Record
from holdfast.stores.redis.codec import HEAD, packed
from stores.stores import Place, _client
from stores.test_poison import Bomb

BAD_TEXT = b"\xff\xfe\xc3("


def in_sqlite(place: Place, change: str, *values: Any) -> None:
    """Run a statement with the node's table as `{node}`."""
    with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"), isolation_level=None, timeout=10)) as connection:
        connection.execute(change.format(node=f'"{place.namespace}/node"'), values)


def in_redis(place: Place, key: bytes, row: Callable[[bytes], bytes]) -> None:
    """Write another row over a node's."""
    with _client(place) as client:
        for name in client.scan_iter(match=f"{place.namespace}:*:nodes", count=1_000):
            if old := client.hget(name, key):
                client.hset(name, key, row(old))


async def in_postgres(place: Place, change: str, *values: Any) -> None:
    """Run a statement with the node's table as `{node}`."""
    connection = await asyncpg.connect(place.url)
    try:
        await connection.execute(change.format(node=f"{place.namespace}.node"), *values)
    finally:
        await connection.close()


async def put_payload(place: Place, record: Record, payload: bytes) -> None:
    """Write another payload over a node's."""
    if place.sort == "sqlite":
        in_sqlite(place, "UPDATE {node} SET payload = ? WHERE key = ?", payload, record.key)
    elif place.sort == "postgres":
        await in_postgres(place, "UPDATE {node} SET payload = $1 WHERE key = $2", payload, record.key)
    else:
        in_redis(place, record.key, lambda old: packed(replace(record, payload=payload)))


def _with_text(row: bytes) -> bytes:
    """Break the UTF-8 of all texts behind the alias: the mark, the kind, and so on."""
    start = HEAD.size + row[3] + row[4]
    return row[:start] + BAD_TEXT[: row[5]].ljust(row[5], b"\xff") + row[start + row[5] :]


REDIS_ROWS: dict[str, Callable[[bytes], bytes]] = {
    **{f"cut to {most}": lambda row, most=most: row[:most] for most in (0, 1, 2, 9, 60, HEAD.size - 1, HEAD.size)},  # type: ignore[misc]
    **{f"cut to {HEAD.size} and {more}": lambda row, more=more: row[: HEAD.size + more] for more in (1, 20, 40, 60)},  # type: ignore[misc]
    "broken text": _with_text,
    "a pickle": lambda row: pickle.dumps(Bomb()),
    "all ones": lambda row: b"\xff" * len(row),
    "all zeros": lambda row: bytes(len(row)),
    "somebody's text": lambda row: b"!!python/object/apply:os.mkdir [executed]",
}
SQLITE_ROWS: dict[str, str] = {
    f"{name} = {value}": f"UPDATE {{node}} SET {name} = {value} WHERE key = ?"
    for name, value in (
        *(("mark", "cast(x'fffec328' AS text)"), ("kind", "cast(x'ff' AS text)"), ("label", "cast(x'c3' AS text)")),
        *(("owner", "x'00'"), ("client", "x'80'"), ("ends_at", "'never'"), ("used_at", "x'00'"), ("idle", "'long'")),
        *(("version", "'new'"), ("held", "'much'"), ("payload", "'!!python/object/apply:os.mkdir [executed]'")),
        *(("payload", "7"), ("tree", "1"), ("busy_until", "'x'"), ("state", "x'ff'"), ("reason", "x'ff'")),
    )
}


def row_damages(place: Place) -> dict[str, Callable[[bytes], Awaitable[None]]]:
    """Return what can be done to a row of this store, by name: each takes the key of the node."""
    if place.sort == "sqlite":
        return {name: _later(in_sqlite, place, change) for name, change in SQLITE_ROWS.items()}
    if place.sort == "postgres":  # its columns have types, and its texts are UTF-8
        return {}
    return {name: _over(place, row) for name, row in REDIS_ROWS.items()}


def _later(do: Callable[..., None], place: Place, change: str) -> Callable[[bytes], Awaitable[None]]:
    async def run(key: bytes) -> None:
        do(place, change, key)

    return run


def _over(place: Place, row: Callable[[bytes], bytes]) -> Callable[[bytes], Awaitable[None]]:
    async def run(key: bytes) -> None:
        in_redis(place, key, row)

    return run


def nothing_executed(folder: Path) -> bool:
    """Say whether no bomb has left its folder behind."""
    return not list(folder.rglob("executed"))
