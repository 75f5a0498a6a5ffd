"""All sessions end by one mark: at once here, within a second elsewhere, and nothing brings them back (R35, T11)."""

from collections.abc import Awaitable, Callable

import anyio
import msgspec
import pytest

from core.outage import switched
from core.world import KEYS, TUNING, World, empty, manager_on, tree
from holdfast.config import Settings
from holdfast.core.events import Fact
from holdfast.core.ids import begun_ms, new_key
from holdfast.core.keeper import Keeper
from holdfast.core.kinds import Clocks, Kind
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, State
from holdfast.core.session import Session
from holdfast.engine import open_engine
from holdfast.errors import SessionEnded, SessionNotFound
from holdfast.stores.memory import memory_store

WAIT_S = 5.0


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def manager(world: World) -> Manager:
    return manager_on(memory_store(), world)


async def in_hold(manager: Manager, session: Session) -> None:
    async with manager.hold(session.ref, wait=0.0):
        raise AssertionError("nobody holds what is over")


async def visitors(manager: Manager, session: Session) -> None:
    """A visitor's session that began later is attached to a logon that is over."""
    await manager.rotate(await manager.open("http"), parent=session)


WRITES: dict[str, Callable[[Manager, Session], Awaitable[object]]] = {
    "save": lambda manager, session: manager.save(session),
    "merge": lambda manager, session: manager.merge(session, {"n": 2}),
    "rotate": lambda manager, session: manager.rotate(session),
    "attach": visitors,
    "open below": lambda manager, session: manager.open("backend", parent=session, named=False),
    "open below its place": lambda manager, session: manager.open("backend", parent=session.ref, named=False),
    "hold": in_hold,
}


async def test_all_sessions_end_in_one_write_and_new_ones_begin(manager: Manager, world: World) -> None:  # R35
    old, below, _ = await tree(manager, world)
    world.now += 1
    await manager.end_everything()
    with pytest.raises(SessionNotFound, match=r"^there is no such session$"):
        await manager.load(old.id or "", kind="http")
    with pytest.raises(SessionNotFound):
        await manager.get(below.ref)
    assert await manager.children(old.ref) == []
    stored = await manager.current(old.ref)
    assert stored is not None
    assert (stored.state, stored.version) == (State.LIVE, old.record.version), "no row was written"
    world.now += 1
    new = await manager.open("http", owner="ann")
    assert (await manager.load(new.id or "", kind="http")).key == new.key


@pytest.mark.parametrize("way", WRITES)
async def test_no_write_of_a_slow_request_brings_one_back(manager: Manager, way: str) -> None:  # R35, R38
    old = await manager.open("http", {"n": 1}, owner="ann")
    await manager.end_everything()
    manager.clock.now += 1  # type: ignore[attr-defined]
    with pytest.raises(SessionEnded):
        await WRITES[way](manager, old)
    assert (await manager.current(old.ref)) == old.record


async def test_what_was_left_there_is_spared_and_what_ends_may_still_be_closed(world: World) -> None:  # R35
    kinds = [*world.kinds(), Kind(name="draft", clocks=Clocks(), spared=True)]
    manager = manager_on(memory_store(), world, kinds=kinds)
    draft, session = await manager.open("draft"), await manager.open("http")
    world.now += 1
    await manager.end_everything()
    assert (await manager.load(draft.id or "", kind="draft")).key == draft.key
    async with manager.hold(session.ref, wait=0.0, closing=True):
        pass
    await Keeper(manager).clear()
    assert await manager.current(draft.ref) is not None
    assert await manager.current(session.ref) is None


async def test_another_worker_hears_of_it_and_cancels_what_runs(world: World) -> None:  # R35, R32, E18
    store = memory_store()
    async with (
        open_engine(store, kinds=world.kinds(), keys=KEYS, settings=Settings(), clock=world, keeper=False) as here,
        open_engine(store, kinds=world.kinds(), keys=KEYS, settings=Settings(), clock=world, keeper=False) as there,
    ):
        session = await there.manager.open("http")
        with anyio.fail_after(WAIT_S), pytest.raises(SessionEnded):
            async with there.manager.running(session):
                await here.manager.end_everything()
                await anyio.sleep_forever()
        with pytest.raises(SessionNotFound):
            await there.manager.load(session.id or "", kind="http")


async def test_a_worker_that_nobody_could_tell_looks_by_itself_also_at_its_start(world: World) -> None:  # R35
    store = memory_store()
    deaf, late = manager_on(store, world, "deaf"), manager_on(store, world, "late")
    old = await deaf.open("http")
    world.now += 1
    young = await manager_on(store, world).open("http")
    await manager_on(store, world, "other").era.begin()  # and it dies before it could tell
    async with deaf.running(await deaf.open("http", parent=None)):
        assert (await deaf.load(old.id or "", kind="http")).key == old.key
    await deaf.look()
    for manager, session in ((deaf, old), (deaf, young)):
        with pytest.raises(SessionNotFound):
            await manager.load(session.id or "", kind="http")
    async with open_engine(store, kinds=world.kinds(), keys=KEYS, settings=Settings(), clock=world) as started:
        with pytest.raises(SessionNotFound):
            await started.manager.load(old.id or "", kind="http")
    assert not late.era.is_over(old.record.tree), "who has not looked does not know"


async def test_who_runs_on_in_a_younger_session_is_not_disturbed(manager: Manager, world: World) -> None:  # R35
    await manager.open("http")
    world.now += 1
    await manager.era.begin()
    world.now += 1
    async with manager.running(await manager.open("http")):
        await manager.look()
        await anyio.lowlevel.checkpoint()


async def test_an_outage_keeps_what_is_known(world: World) -> None:  # R35, R69
    store, switch = switched(memory_store())
    manager = manager_on(store, world)
    old = await manager.open("http")
    await manager.end_everything()
    switch.set("down")
    await manager.look()
    switch.set("up")
    with pytest.raises(SessionNotFound):
        await manager.load(old.id or "", kind="http")


async def test_what_is_left_is_closed_and_removed_page_by_page_by_one_worker(world: World) -> None:  # R35, R76
    store, tuning = memory_store(), msgspec.structs.replace(TUNING, gc_threshold=2)
    one, two = (manager_on(store, world, name, tuning=tuning) for name in ("one", "two"))
    await tree(one, world)
    for _ in range(5):
        await one.open("http", client=str(_))
    foreign = await manager_on(store, world, kinds=[Kind(name="foreign")]).open("foreign")
    world.now += 1
    await one.end_everything()
    await two.look()
    world.now += 1
    new = await one.open("http")
    assert await two.era.to_clear(), "the other one has begun, and died"
    keeper = Keeper(one)
    assert await keeper.clear() == 0
    world.now += 121
    assert await keeper.clear() >= 6
    assert not one.era.litters
    for _ in range(5):  # what is below may be at it still when what is above has its turn
        await keeper.turn()
        world.now += 1
    assert world.open == set(), "a lock that hung on it is unlocked"
    left = await store.sessions.find("all", b"")
    assert {record.key for record in left} == {new.key, foreign.key}
    assert {e.reason for e in world.events if e.fact is Fact.ENDED} <= {Reason.ADMIN}
    assert await Keeper(two).clear() == 0


async def test_what_is_over_can_be_left_for_a_while_to_whoever_still_reads_it(world: World) -> None:  # R35, S19
    manager = manager_on(memory_store(), world)
    session = await manager.open("http")
    assert manager.era.since == 0.0
    await manager.end_everything(leave=True)
    assert manager.era.since == pytest.approx(world.now, abs=0.01)
    assert await Keeper(manager).clear() == 0
    assert await manager.current(session.ref) is not None
    with pytest.raises(SessionNotFound):
        await manager.load(session.id or "", kind="http")
    world.now += 121
    assert await Keeper(manager).clear() == 1


async def test_the_sweeper_does_so_as_soon_as_it_is_told(world: World) -> None:  # R35
    async with open_engine(memory_store(), kinds=world.kinds(), keys=KEYS, settings=Settings(), clock=world) as engine:
        await tree(engine.manager, world)
        world.now += 1
        await engine.manager.end_everything()
        with anyio.fail_after(WAIT_S):
            while not await empty(engine.manager):
                await anyio.sleep(0.01)
        assert world.open == set()


async def test_of_two_at_once_the_later_counts(world: World) -> None:  # R35
    store = memory_store()
    one, two = (manager_on(store, world, name) for name in ("one", "two"))
    async with anyio.create_task_group() as tasks:
        for manager in (one, two, one, two):
            tasks.start_soon(manager.end_everything)
    world.now += 0.001
    new = await one.open("http")
    await two.look()
    assert (await two.load(new.id or "", kind="http")).key == new.key


def test_a_key_says_when_its_tree_began_and_otherwise_nothing() -> None:  # R2, R35
    keys = [new_key(1_700_000_000.123) for _ in range(100)]
    assert {begun_ms(key) for key in keys} == {1_700_000_000_123}
    assert {len(key) for key in keys} == {16}
    assert len({key[:10] for key in keys}) == 100
    assert begun_ms(new_key()) == 2**48 - 1
