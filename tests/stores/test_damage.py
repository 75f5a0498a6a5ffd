"""Rows cut short, with broken text or of other types, in between sound ones: they hide nothing and stop nobody (E6)."""

import asyncpg
import pytest

from attacks.behind import BAD_TEXT, in_postgres, row_damages
from core.world import World
from holdfast.core.keeper import Keeper
from holdfast.core.manager import Manager
from holdfast.core.model import Limit, Policy, Reason, Record, Scope
from holdfast.core.ports import Store
from holdfast.errors import SessionNotFound
from stores.stores import Place
from stores.test_poison import OLD, manager_with

LIMITS = [Limit(scope, 3, Policy.LEAST_RECENT) for scope in (Scope.CLIENT, Scope.OWNER)] + [Limit(Scope.TOTAL, 40)]


async def test_a_damaged_row_is_absent_and_in_nobodys_way(shared_place: Place) -> None:  # E6, R63
    if shared_place.sort == "postgres":
        with pytest.raises(asyncpg.PostgresError):  # its columns have types, and its texts are UTF-8
            await in_postgres(shared_place, "SELECT convert_from($1, 'UTF8') FROM (SELECT) AS one", BAD_TEXT)
    for name, damage in row_damages(shared_place).items():
        world = World()
        async with shared_place.open(world) as store:
            manager = manager_with(store, world, OLD)
            bad, good = [await manager.open("http", {"n": 1}, owner="o", client="c", label="L") for _ in range(2)]
            lock = await manager.open("lock", {"n": 1}, named=False, label="odd", due_at=world.now)
            sound = await manager.open("lock", {"n": 1}, named=False, label="sound", due_at=world.now)
            world.open |= {"odd", "sound"}
            for key in (bad.key, lock.key):
                await damage(key)
            await judge(manager, store, world, name, bad.id or "", good.id or "")
            await store.sessions.delete([good.ref, sound.ref])
            for record in await store.sessions.find("all", b""):
                await store.sessions.delete([record.ref])


async def judge(manager: Manager, store: Store, world: World, name: str, bad: str, good: str) -> None:
    try:
        await manager.load(bad, kind="http", owner="o")
    except SessionNotFound:
        pass
    else:
        assert name in HARMLESS, name
    assert (await manager.load(good, kind="http", owner="o")).content == {"n": 1}, name
    for index, value in (("all", b""), ("kind", "http"), ("owner", "o"), ("client", "c"), ("expired", world.now + 9e9)):
        found = await store.sessions.find(index, value)  # type: ignore[arg-type]
        assert any(record.mark == good[:8] for record in found), (name, index)
    keeper = Keeper(manager)
    await keeper.turn()
    assert "sound" in world.kept, name
    await keeper.note_unclaimed()
    added = await store.sessions.create(another(world), LIMITS, now=world.now)
    assert await store.sessions.load(added.record.ref, now=world.now) is not None, name
    await manager.end(added.record.ref, Reason.CLIENT)
    world.now += 1e6
    await keeper.sweep()
    listed = [record async for record in manager.each("all", b"")]
    assert all(record.mark != good[:8] for record in listed), name
    world.now -= 1e6


HARMLESS = {"broken text", "mark = cast(x'fffec328' AS text)", "label = cast(x'c3' AS text)", "reason = x'ff'"}


def another(world: World) -> Record:
    key = bytes([9]) * 16
    return Record(
        key=key,
        tree=key,
        kind="http",
        owner="o",
        client="c",
        created_at=world.now,
        used_at=world.now,
        ends_at=world.now + 99,
    )
