"""Closing: what a worker does, what another does after it, what is never done twice; and all of it in any order."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.world import Crash, World, empty, manager_on, tree, world_on_memory
from holdfast.core.chores import catch_up
from holdfast.core.duty import Duty
from holdfast.core.events import Fact
from holdfast.core.keeper import REMOVED_AT_ONCE, Keeper
from holdfast.core.kinds import Kind, Limits
from holdfast.core.manager import Manager
from holdfast.core.model import Claim, Reason, Ref, State
from holdfast.core.session import Session
from holdfast.errors import SessionEnded, StoreUnavailable


async def test_ending_a_session_closes_what_hangs_below_it_leaves_first(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E14
    session, *_ = await tree(manager, world)
    assert await manager.end(session, Reason.LOGOUT)
    assert await keeper.turn() == 1
    assert world.order == ["L", "B"]
    assert world.open == set()
    assert await empty(manager)
    reasons = {event.kind: event.reason for event in world.events if event.fact is Fact.CLOSED}
    assert reasons == {"http": Reason.LOGOUT, "backend": Reason.PARENT, "lock": Reason.PARENT}


async def test_nothing_is_due_in_a_quiet_tree(manager: Manager, keeper: Keeper, world: World) -> None:  # E10
    await tree(manager, world)
    assert await keeper.turn() == 0
    assert world.open == {"B", "L"}


async def test_ending_a_lock_alone_leaves_the_rest(manager: Manager, keeper: Keeper, world: World) -> None:  # A4
    session, backend, lock = await tree(manager, world)
    await manager.end(lock, Reason.CLIENT)
    await keeper.turn()
    assert world.open == {"B"}
    assert (await manager.get(backend.ref)).above == (session.key,)


async def test_a_worker_that_dies_in_the_middle_of_closing_is_followed_by_another_and_harmless_when_it_wakes(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E15
    session, *_ = await tree(manager, world)
    await manager.end(session, Reason.LOGOUT)
    world.freezes = {"L"}
    other = Keeper(manager_on(manager.store, world, worker="two"))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.turn)
            while world.freezes:
                await anyio.sleep(0)
            world.now += 14.0
            assert await other.turn() == 0, "the dead worker's lease still stands"
            world.now += 1.0
            assert await other.turn() == 1
            assert world.order == ["L", "L", "B"]
            assert await empty(manager)
            world.woken.set()
    assert world.order == ["L", "L", "B"]
    assert await empty(manager)


async def test_a_large_tree_is_removed_in_parts_each_told_of_once_though_the_store_fails_between_two(
    manager: Manager, keeper: Keeper, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # E14, E15
    logon = await manager.open("security", owner="ann")
    for _ in range(2 * REMOVED_AT_ONCE + 1):
        await manager.open("http", parent=logon, owner="ann", limits=Limits())
    parts, delete = [], manager.store.sessions.delete

    async def remove(refs: Sequence[Ref], *, fence: int | None = None) -> int:
        parts.append(len(refs))
        if len(parts) == 2:
            raise StoreUnavailable("down")
        return await delete(refs, fence=fence)

    monkeypatch.setattr(manager.store.sessions, "delete", remove)
    await manager.end(logon, Reason.LOGOUT)
    await keeper.turn()
    world.now += 20.0
    await keeper.turn()
    assert parts == [REMOVED_AT_ONCE, REMOVED_AT_ONCE, REMOVED_AT_ONCE, 2]
    assert await empty(manager)
    assert world.facts().count(Fact.CLOSED) == 2 * REMOVED_AT_ONCE + 2


async def test_a_worker_that_is_told_to_stop_in_the_middle_gives_its_leases_back(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E15
    session, *_ = await tree(manager, world)
    await manager.end(session, Reason.LOGOUT)
    world.crashes = {"L"}
    with pytest.raises(BaseExceptionGroup) as caught:
        await keeper.turn()
    assert caught.group_contains(Crash)
    assert await Keeper(manager_on(manager.store, world, worker="two")).turn() == 1
    assert world.open == set()


async def test_a_worker_that_is_told_to_stop_while_it_claims_gives_its_leases_back(
    manager: Manager, keeper: Keeper, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # E15
    session, *_ = await tree(manager, world)
    await manager.end(session, Reason.LOGOUT)
    claim = manager.store.sessions.claim

    async def slowly(*args: Any, **more: Any) -> list[Claim]:
        claims = await claim(*args, **more)
        scope.cancel()
        await anyio.sleep(0)
        return claims

    with anyio.CancelScope() as scope, monkeypatch.context() as patch:
        patch.setattr(manager.store.sessions, "claim", slowly)
        await keeper.turn()
    assert world.open == {"B", "L"}
    assert await Keeper(manager_on(manager.store, world, worker="two")).turn() == 1
    assert world.open == set()


async def test_a_worker_that_cannot_read_the_tree_gives_its_lease_back(
    manager: Manager, keeper: Keeper, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # E15
    def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("down")

    session, *_ = await tree(manager, world)
    await manager.end(session, Reason.LOGOUT)
    with monkeypatch.context() as patch:
        patch.setattr(manager, "each", down)
        await keeper.turn()
    await catch_up(manager)
    assert await keeper.turn() == 1
    assert world.open == set()


async def test_a_failing_closer_is_tried_again_and_stranded_in_the_end_never_dropped(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E16, A7
    session, *_ = await tree(manager, world)
    world.refuses = {"B"}
    await manager.end(session, Reason.LOGOUT)
    await keeper.turn()
    assert world.open == {"B"}
    record = await manager.current(session.ref)
    assert record is not None
    assert (record.state, record.due_at) == (State.ENDING, world.now + 1)
    world.now += 901.0
    await keeper.turn()
    record = await manager.current(session.ref)
    assert record is not None
    assert record.state is State.STRANDED
    assert Fact.STRANDED in world.facts()
    assert not any("secret" in event.detail for event in world.events)
    world.now += 3600.0
    world.refuses = set()
    await keeper.turn()
    assert world.open == set()
    assert await empty(manager)


async def test_a_closer_that_saves_before_it_fails_is_tried_again_later(manager: Manager, world: World) -> None:  # E16
    async def close(duty: Duty) -> None:
        duty.session.content["tries"] = duty.session.content.get("tries", 0) + 1
        await duty.held.save(duty.session)
        raise RuntimeError("no")

    other = manager_on(manager.store, world, kinds=[Kind(name="backend", closer=close, outside=True)])
    node = await other.open("backend", named=False)
    await other.end(node, Reason.CLIENT)
    for tries in (1, 2):
        await Keeper(other).turn()
        record = await other.current(node.ref)
        assert record is not None
        assert (record.attempts, record.due_at) == (tries, world.now + tries)
        assert (await other.read(record)).content == {"tries": tries}
        world.now += tries


async def test_what_the_outside_has_certainly_forgotten_is_given_up(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E16
    session = await manager.open("http")
    backend = await manager.open("backend", parent=session, label="B", named=False)
    world.refuses = {"B"}
    await manager.end(backend, Reason.CLIENT)
    await keeper.turn()
    world.now += 2000.0
    await keeper.turn()
    assert await manager.current(backend.ref) is None


async def test_a_stranded_node_stays_stranded_until_it_is_closed(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E16
    _, _, lock = await tree(manager, world)
    world.refuses = {"L"}
    await manager.end(lock, Reason.CLIENT)
    await keeper.turn()
    for _ in range(3):
        world.now += 3600.0
        await keeper.turn()
    assert world.facts().count(Fact.STRANDED) == 1


async def test_a_closer_that_hangs_is_bounded(manager: Manager, keeper: Keeper, world: World) -> None:  # E14
    _, _, lock = await tree(manager, world)
    world.hangs = {"L"}
    await manager.end(lock, Reason.CLIENT)
    with anyio.fail_after(5):
        await keeper.turn()
    assert await manager.current(lock.ref) is not None


async def test_closing_waits_for_a_request_that_is_still_on_its_way(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E18
    session, backend, _ = await tree(manager, world)
    async with manager.hold(backend.ref):
        await manager.end(session, Reason.LOGOUT)
        await keeper.turn()
        assert "B" in world.open
    world.now += 1.0
    await keeper.turn()
    assert world.open == set()


async def test_a_closer_may_use_the_lease_of_a_node_of_the_same_run_and_of_another(
    manager: Manager, world: World
) -> None:  # E15
    holders: list[str] = []

    async def close_lock(duty: Duty) -> None:
        parent = await duty.parent()
        assert parent is not None
        async with duty.hold(parent.ref) as held:
            holders.append(f"{duty.session.record.label}:{held.lease.fence}")

    kinds = [kind for kind in world.kinds() if kind.name != "lock"]
    kinds.append(Kind(name="lock", closer=close_lock, outside=True, holds=True))
    mine = manager_on(manager.store, world, worker="three", kinds=kinds)
    _, backend, lock = await tree(mine, world)
    await mine.open("lock", parent=backend, label="M", named=False)
    await mine.end(lock, Reason.CLIENT)
    await Keeper(mine).turn()
    assert holders == ["L:1"]
    await mine.end(backend, Reason.CLIENT)
    await Keeper(mine).turn()
    assert holders == ["L:1", "M:2"]


async def test_a_node_that_another_worker_has_removed_needs_no_closing(manager: Manager, world: World) -> None:  # E15
    async def close_both(duty: Duty) -> None:
        world.order.append(duty.session.record.label)
        leaves = [r.ref async for r in duty.manager.each("kind", "leaf") if r.key != duty.session.key]
        await duty.manager.store.sessions.delete(leaves)

    kinds = [Kind(name="http"), Kind(name="leaf", closer=close_both, outside=True)]
    mine = manager_on(manager.store, world, kinds=kinds)
    mine.tuning = msgspec.structs.replace(mine.tuning, siblings=1)
    top = await mine.open("http")
    for _ in range(2):
        await mine.open("leaf", parent=top, label="leaf", named=False)
    await mine.end(top, Reason.CLIENT)
    await Keeper(mine).turn()
    assert world.order == ["leaf"]
    assert await empty(mine)


async def test_a_root_has_no_parent_and_an_unreadable_parent_is_none(
    manager: Manager, keeper: Keeper, world: World
) -> None:
    seen: list[Session | None] = []

    async def close(duty: Duty) -> None:
        seen.append(await duty.parent())

    kinds = [Kind(name="http"), Kind(name="backend", closer=close, outside=True)]
    mine = manager_on(manager.store, world, kinds=kinds)
    root = await mine.open("backend", named=False)
    parent = await mine.open("http")
    child = await mine.open("backend", parent=parent, named=False)
    await mine.store.sessions.replace(msgspec.structs.replace(parent.record, payload=b""), now=world.now)
    for node in (root, child):
        await mine.end(node, Reason.CLIENT)
        await Keeper(mine).turn()
    assert seen == [None, None]


async def test_an_unreadable_node_with_effect_outside_is_stranded_at_once_and_named_by_its_label(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E6
    _, _, lock = await tree(manager, world)
    broken = msgspec.structs.replace(lock.record, payload=b"junk", due_at=world.now)
    await manager.store.sessions.replace(broken, now=world.now)
    await keeper.turn()
    record = await manager.current(lock.ref)
    assert record is not None
    assert (record.state, record.label) == (State.STRANDED, "L")


async def test_closing_an_unreadable_node_strands_it_without_waiting_for_patience(
    manager: Manager, keeper: Keeper, world: World
) -> None:  # E6
    _, _, lock = await tree(manager, world)
    await manager.store.sessions.replace(msgspec.structs.replace(lock.record, payload=b"junk"), now=world.now)
    await manager.end(lock.ref, Reason.ADMIN)
    await keeper.turn()
    record = await manager.current(lock.ref)
    assert record is not None
    assert record.state is State.STRANDED


async def test_a_node_without_closer_is_just_removed(manager: Manager, world: World) -> None:
    mine = manager_on(manager.store, world, kinds=[Kind(name="silent", outside=True)])
    node = await mine.open("silent")
    await mine.end(node, Reason.CLIENT)
    await Keeper(mine).turn()
    assert await empty(mine)


# -- any order of everything

STEPS = st.lists(
    st.sampled_from(
        ["open", "child", "lock", "touch", "wait", "end top", "end lock", "turn", "other turn", "sweep", "crash"]
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_any_order_of_open_touch_expire_end_and_crash_leaves_no_orphan_and_closes_nothing_twice_at_once(
    steps, choose
) -> None:  # type: ignore[no-untyped-def]  # E14, E15
    async def play() -> None:
        async with world_on_memory() as (world, manager, keeper):
            other = Keeper(manager_on(manager.store, world, worker="two"))
            for number, step in enumerate(steps):
                await one_step(step, number, choose, world, manager, keeper, other)
                await check(manager, world)
            world.crashes.clear()
            for _ in range(40):
                world.now += 50.0
                await other.sweep()
                await other.turn()
            assert await empty(manager)
            assert world.open == set()

    anyio.run(play)


async def check(manager: Manager, world: World) -> None:
    """No node without its parent, and everything open outside has its row."""
    rows = {record.key: record async for record in manager.each("all", b"")}
    assert all(record.parent is None or record.parent in rows for record in rows.values())
    assert world.open <= {record.label for record in rows.values()}
    for record in rows.values():
        assert record.held == sum(1 for lock in rows.values() if lock.holds and is_above(record.key, lock.key, rows))


def is_above(key: bytes, below: bytes, rows: dict) -> bool:  # type: ignore[type-arg]
    while (parent := rows[below].parent) is not None:
        if parent == key:
            return True
        below = parent
    return False


async def one_step(step, number, choose, world, manager, keeper, other) -> None:  # type: ignore[no-untyped-def]
    live = [r async for r in manager.each("all", b"") if r.state is State.LIVE]
    if step in ("child", "lock"):
        parents = [r for r in live if r.kind == ("backend" if step == "lock" else "http")]
        if parents:
            with suppress(SessionEnded):
                kind = "backend" if step == "child" else "lock"
                await manager.open(kind, parent=choose.choice(parents).ref, label=str(number), named=False)
                world.open.add(str(number))
    elif step == "touch" and live:
        await manager.store.sessions.load(choose.choice(live).ref, now=world.now, touch_after=0.0)
    elif step.startswith("end"):
        wanted = [r for r in live if r.kind == "lock" or step == "end top"]
        if wanted:
            await manager.end(choose.choice(wanted).ref, Reason.CLIENT)
    else:
        await simple_step(step, number, choose, world, manager, keeper, other)


async def simple_step(step, number, choose, world, manager, keeper, other) -> None:  # type: ignore[no-untyped-def]
    if step == "open":
        await manager.open("http", owner=str(number))
    elif step == "wait":
        world.now += choose.choice([1.0, 16.0, 99.0, 1000.0])
    elif step == "sweep":
        await keeper.sweep()
    elif step == "crash":
        world.crashes = set(world.open)
    elif step != "touch":
        try:
            await (keeper if step == "turn" else other).turn()
        except* Crash:
            pass
