"""Rows that somebody has damaged, moved or forged, and keys that change, on every store (E5, E6)."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import msgspec
import pytest

from core.world import TUNING, World
from holdfast.core.events import Fact
from holdfast.core.keeper import Keeper
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Record, State
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.errors import SessionNotFound
from stores.stores import Place, Servers, fresh

OLD, NEW = new_key_text(), new_key_text()
EXECUTED = Path("executed")


class Bomb:
    """Leaves a file behind if it is ever unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(EXECUTED),)


def resealed(record: Record, plain: bytes) -> bytes:
    """Return what somebody with the key can write."""
    return KeyRing.parse(OLD).seal(plain, record.key + record.kind.encode())


POISONS: dict[str, Callable[[Record, Record], bytes]] = {
    "pickle": lambda record, other: pickle.dumps(Bomb()),
    "sealed pickle": lambda record, other: resealed(record, pickle.dumps(Bomb())),
    "no mapping": lambda record, other: resealed(record, msgspec.msgpack.encode([1, 2])),
    "extension": lambda record, other: resealed(record, b"\x81\xa1a\xc7\x04\x05bomb\xff"),
    "json with code": lambda record, other: resealed(record, b'{"a": __import__("os").getpid()}'),
    "empty": lambda record, other: b"",
    "one byte": lambda record, other: record.payload[:1],
    "truncated": lambda record, other: record.payload[:-1],
    "half": lambda record, other: record.payload[: len(record.payload) // 2],
    "one bit": lambda record, other: record.payload[:-1] + bytes([record.payload[-1] ^ 1]),
    "another row": lambda record, other: other.payload,
    "an older version": lambda record, other: b"\x00" + record.payload[1:],
    "a later version": lambda record, other: b"\x02" + record.payload[1:],
    "an unknown key": lambda record, other: record.payload[:1] + b"????" + record.payload[5:],
}


def manager_with(store: Store, world: World, keys: str) -> Manager:
    return Manager(store, KeyRing.parse(keys), world.kinds(), worker="one", clock=world, sink=world, tuning=TUNING)


async def put(store: Store, record: Record, payload: bytes, now: float) -> None:
    await store.sessions.replace(msgspec.structs.replace(record, payload=payload), now=now)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_a_poisoned_row_is_an_absent_session_told_of_once_and_nothing_is_executed(place: Place) -> None:  # E6
    world = World()
    async with place.open(world) as store:
        for poison, forge in POISONS.items():
            manager = manager_with(store, world, OLD)
            world.events.clear()
            session, other = [await manager.open("http", {"n": 1}, client=poison) for _ in range(2)]
            await put(store, session.record, forge(session.record, other.record), world.now)
            for _ in range(2):
                with pytest.raises(SessionNotFound, match=r"^there is no such session$"):
                    await manager.load(session.id or "", kind="http")
            with pytest.raises(SessionNotFound):
                await manager.get(session.ref)
            assert world.facts().count(Fact.UNREADABLE) == 1, poison
            assert (await manager.load(other.id or "", kind="http")).content == {"n": 1}, poison
            assert await manager.end(session, Reason.ADMIN), poison
        assert not EXECUTED.exists()


async def test_a_poisoned_row_with_effect_outside_is_stranded_under_its_label_and_never_absent(
    place: Place,
) -> None:  # E6
    world = World()
    async with place.open(world) as store:
        manager = manager_with(store, world, OLD)
        keeper = Keeper(manager)
        for poison, forge in POISONS.items():
            lock, other = [
                await manager.open("lock", {"n": 1}, named=False, label=f"{poison} {n}", due_at=world.now + n)
                for n in range(2)
            ]
            world.open |= {lock.record.label}
            await put(store, lock.record, forge(lock.record, other.record), world.now)
        world.events.clear()
        assert await keeper.turn() == len(POISONS)
        stranded = [r async for r in manager.each("kind", "lock") if r.state is State.STRANDED]
        assert {r.label for r in stranded} == {f"{poison} 0" for poison in POISONS} == world.open
        assert [e.detail for e in world.events if e.fact is Fact.STRANDED] != []
        assert world.facts().count(Fact.UNREADABLE) == world.facts().count(Fact.STRANDED) == len(POISONS)
        world.now += 3600.0  # tried again hourly, and still there
        await keeper.turn()
        assert {r.label async for r in manager.each("kind", "lock")} >= world.open
        assert world.facts().count(Fact.STRANDED) == len(POISONS)
        assert not EXECUTED.exists()


async def test_a_row_in_a_state_nobody_knows_is_stranded_and_in_nobodys_way(shared_place: Place) -> None:  # E6, E10
    world, names = World(), ("plain", "odd", "other")
    async with shared_place.open(world) as store:
        manager = manager_with(store, world, OLD)
        locks = {name: await manager.open("lock", {}, named=False, label=name, due_at=world.now) for name in names}
        world.open |= set(names)
        await shared_place.damage(locks["odd"].key)
        found = {record.label: record for record in await store.sessions.find("due", world.now)}
        assert {label: record.state for label, record in found.items()} == {
            "plain": State.LIVE,
            "odd": State.STRANDED,
            "other": State.LIVE,
        }
        assert found["odd"].reason is None
        assert await store.sessions.load(locks["odd"].ref, now=world.now) is None
        assert await Keeper(manager).turn() == len(names)
        assert set(world.kept) == {"plain", "other"}
        assert world.order == ["odd"]
        assert await manager.current(locks["odd"].ref) is None


@pytest.fixture
def postgres(servers: Servers, tmp_path: Path) -> Place:
    return fresh("postgres", servers, tmp_path)


@pytest.mark.servers
async def test_postgres_keeps_no_state_or_reason_that_nobody_knows(postgres: Place) -> None:  # E28
    world = World()
    async with postgres.open(world) as store:
        await manager_with(store, world, OLD).open("http")
    connection = await asyncpg.connect(postgres.url)
    for column, known in (("state", State), ("reason", Reason)):
        change = f"UPDATE {postgres.namespace}.node SET {column} = $1"
        for value in known:
            assert await connection.execute(change, value) == "UPDATE 1"
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(change, "odd")
    await connection.close()


async def test_what_is_written_is_sealed_under_the_newest_key_and_old_rows_open_as_long_as_theirs_is_kept(
    place: Place,
) -> None:  # E5, R65
    world = World()
    async with place.open(world) as store:
        before = manager_with(store, world, OLD)
        written, left = [await before.open("http", {"n": 1}, client=str(n)) for n in range(2)]
        lock = await before.open("lock", {"n": 1}, named=False, label="L")
        both = manager_with(store, world, f"{NEW},{OLD}")
        found = await both.load(written.id or "", kind="http")
        found.content["n"] = 2
        await both.save(found)
        async with both.hold(lock.ref) as held:
            held.put(await both.get(lock.ref))
        assert (await both.load(left.id or "", kind="http")).content == {"n": 1}
        after = manager_with(store, world, NEW)
        world.events.clear()
        assert (await after.load(written.id or "", kind="http")).content == {"n": 2}
        assert (await after.get(lock.ref)).content == {"n": 1}
        for _ in range(3):
            with pytest.raises(SessionNotFound):
                await after.load(left.id or "", kind="http")
        assert world.facts().count(Fact.UNREADABLE) == 1


async def test_a_thousand_nodes_are_marked_at_once_and_gone_after_one_turn_of_the_keeper(place: Place) -> None:  # E14
    world = World()
    async with place.open(world) as store:
        manager = manager_with(store, world, OLD)
        top = await manager.open("security")
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(_fill, manager, top)
        await manager.end(top, Reason.LOGOUT)
        with pytest.raises(SessionNotFound):
            await manager.get(top.ref)
        assert await Keeper(manager).turn() == 1
        assert await store.sessions.find("all", b"") == []


async def _fill(manager: Manager, top: Any) -> None:
    for _ in range(100):
        await manager.open("security", parent=top, named=False)
