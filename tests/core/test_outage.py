"""What the core does while the store is out of reach, and afterwards (E26)."""

from contextlib import AsyncExitStack
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.outage import TIMEOUT_S, Mode, Switch, switched
from core.world import TUNING, World, manager_on
from holdfast.core.holding import Held
from holdfast.core.keeper import Keeper
from holdfast.core.manager import Manager
from holdfast.core.missed import Missed, Use
from holdfast.core.model import Message, Reason
from holdfast.core.session import Session
from holdfast.core.together import listen
from holdfast.errors import LeaseLost, SessionNotFound, StoreUnavailable
from holdfast.stores.memory import memory_store

AWAY: list[Mode] = ["down", "hanging"]
QUICK = msgspec.structs.replace(TUNING, lease_ttl=0.2)


@pytest.fixture
def parts() -> tuple[Manager, World, Switch]:
    world = World()
    store, switch = switched(memory_store())
    return manager_on(store, world), world, switch


@pytest.fixture
def manager(parts: tuple[Manager, World, Switch]) -> Manager:
    return parts[0]


@pytest.fixture
def world(parts: tuple[Manager, World, Switch]) -> World:
    return parts[1]


@pytest.fixture
def switch(parts: tuple[Manager, World, Switch]) -> Switch:
    return parts[2]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.core.together.STORE_DOWN_S", 0.01)
    monkeypatch.setattr("holdfast.core.keeper.STORE_DOWN_S", 0.01)


async def opened(manager: Manager, **more: Any) -> Session:
    return await manager.open("http", {"n": 1}, owner="ann", **more)


async def load(manager: Manager, session: Session, owner: str = "ann") -> Session:
    assert session.id is not None
    return await manager.load(session.id, kind="http", owner=owner)


# -- nobody is logged out for an outage


@pytest.mark.parametrize("mode", AWAY)
async def test_a_use_that_could_not_be_recorded_is_recorded_when_the_store_is_back(
    manager: Manager, world: World, switch: Switch, mode: Mode
) -> None:
    session = await opened(manager)
    world.now += 95.0
    switch.set(mode)
    with pytest.raises(StoreUnavailable):
        await load(manager, session)
    world.now += 10.0  # its idle clock has run out during the outage
    switch.set("up")
    assert (await load(manager, session)).record.used_at == world.now
    assert not manager.missed


async def test_uses_during_a_long_outage_count_one_after_the_other(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    switch.set("down")
    for _ in range(10):
        world.now += 60.0
        with pytest.raises(StoreUnavailable):
            await load(manager, session)
    switch.set("up")
    world.now += 60.0
    await manager.catch_up()
    assert not manager.missed
    stored = await manager.current(session.ref)
    assert stored is not None
    assert stored.used_at == world.now - 60.0
    assert (await load(manager, session)).record.used_at == world.now


async def test_who_did_not_use_a_session_during_the_outage_finds_it_ended_as_ever(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    switch.set("down")
    world.now += 50.0
    with pytest.raises(StoreUnavailable):
        await load(manager, session, owner="bob")  # an attempt of somebody else is no use
    world.now += 50.0
    switch.set("up")
    await manager.catch_up()
    with pytest.raises(SessionNotFound):
        await load(manager, session)


async def test_the_absolute_clock_does_not_wait_for_the_store(manager: Manager, world: World, switch: Switch) -> None:
    session = await opened(manager)
    world.now += 95.0
    switch.set("down")
    with pytest.raises(StoreUnavailable):
        await load(manager, session)
    world.now = session.record.ends_at
    switch.set("up")
    with pytest.raises(SessionNotFound):
        await load(manager, session)


async def test_a_running_call_keeps_its_session_through_an_outage_longer_than_the_idle_clock(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    async with manager.running(session):
        switch.set("down")
        for _ in range(30):
            world.now += 5.0
            await manager.touch_running()
        switch.set("up")
        world.now += 5.0
        await manager.touch_running()
        await anyio.sleep(0)  # it would be cancelled here
    assert (await load(manager, session)).record.used_at == world.now


async def test_a_call_in_a_session_whose_uses_are_not_recorded_goes_on_through_an_outage(
    manager: Manager, switch: Switch
) -> None:
    session = await manager.open("security")
    async with manager.running(session):
        switch.set("down")
        await manager.touch_running()
        await anyio.sleep(0)
    assert not manager.missed


async def test_a_sign_of_life_that_could_not_be_recorded_is_recorded_later(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    world.now += 95.0
    switch.set("down")
    with pytest.raises(StoreUnavailable):
        await manager.get(session.ref, touch=True)
    with pytest.raises(StoreUnavailable):
        await manager.get(session.ref)
    world.now += 10.0
    switch.set("up")
    await manager.catch_up()
    assert (await manager.get(session.ref)).record.used_at == world.now - 10.0


async def test_uses_wait_on_if_the_store_goes_again_while_they_are_written(
    manager: Manager, world: World, switch: Switch
) -> None:
    sessions = [await opened(manager) for _ in range(2)]
    world.now += 95.0
    switch.set("down")
    for session in sessions:
        with pytest.raises(StoreUnavailable):
            await load(manager, session)
    await manager.catch_up()
    assert len(manager.missed) == 2
    switch.set("mute")  # this time it is written, but not answered
    await manager.catch_up()
    assert len(manager.missed) == 2
    world.now += 10.0
    switch.set("up")
    for session in sessions:
        await load(manager, session)
    assert not manager.missed


async def test_a_use_outlives_the_request_that_was_cancelled_while_it_recorded_it(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    world.now += 95.0
    switch.set("down")
    with pytest.raises(StoreUnavailable):
        await load(manager, session)
    switch.set("hanging")
    with anyio.move_on_after(TIMEOUT_S / 5) as request:
        await load(manager, session)
    assert request.cancelled_caught
    assert len(manager.missed) == 1
    world.now += 10.0
    switch.set("up")
    await load(manager, session)
    assert not manager.missed


async def test_a_request_does_not_overtake_the_use_that_is_just_being_recorded(
    manager: Manager, world: World, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await opened(manager)
    world.now += 95.0
    switch.set("down")
    with pytest.raises(StoreUnavailable):
        await load(manager, session)
    switch.set("up")
    world.now += 10.0
    write, begun, go_on = manager.store.sessions.load, anyio.Event(), anyio.Event()

    async def slowly(*args: Any, **more: Any) -> Any:
        if not begun.is_set():
            begun.set()
            await go_on.wait()
        return await write(*args, **more)

    monkeypatch.setattr(manager.store.sessions, "load", slowly, raising=False)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(manager.catch_up)
            await begun.wait()
            assert (await load(manager, session)).record.used_at == world.now
            go_on.set()
    assert not manager.missed


async def test_leases_are_given_back_before_uses_are_recorded(
    manager: Manager, world: World, switch: Switch
) -> None:  # many uses take their time, and somebody waits for the lease
    session = await opened(manager)
    world.now += 95.0
    with pytest.raises(StoreUnavailable):
        async with manager.hold(session.ref):
            switch.set("down")
            await load(manager, session)
    switch.set("up")
    switch.calls.clear()
    await manager.catch_up()
    assert switch.calls == ["release", "load"]


async def test_nothing_is_swept_while_uses_wait_to_be_recorded(manager: Manager, world: World, switch: Switch) -> None:
    session, keeper = await opened(manager), Keeper(manager)
    world.now += 95.0
    switch.set("down")
    with pytest.raises(StoreUnavailable):
        await load(manager, session)
    switch.set("up")  # the keeper has noticed nothing of it
    world.now += TUNING.cleanup_interval
    await keeper._sweep_if_due()
    assert await manager.current(session.ref) is not None
    await manager.catch_up()
    await keeper._sweep_if_due()
    assert await manager.current(session.ref) is None


async def test_what_is_kept_is_bounded_and_no_more_than_would_have_been_written() -> None:  # E8
    missed, ann, bob = Missed(most=3), Use(b"a", "ann"), Use(b"a", "bob")
    for now in (0.0, 5.0, 10.0, 15.0, 20.0, 30.0):
        missed.add(ann, now=now, touch_after=10.0)
        missed.add(bob, now=now, touch_after=100.0)
    assert missed.uses(b"a") == missed.uses() == [ann, bob]
    assert missed.uses(b"b") == []
    assert missed.instants(ann) == [(0.0, 10.0), (10.0, 10.0)]
    assert missed.instants(bob) == [(0.0, 100.0)]
    for use in (ann, bob):
        await missed.write(use, memory_store().sessions)
    assert (len(missed), missed.uses()) == (0, [])
    missed.add(ann, now=40.0, touch_after=10.0)
    assert missed.instants(ann) == [(40.0, 10.0)]  # there is room again


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["load", "down", "up", "catch up"]), st.floats(0.0, 120.0)), max_size=40))
def test_a_session_in_use_outlives_any_weather_exactly_as_it_would_have_outlived_none(
    steps: list[tuple[str, float]],
) -> None:
    async def play() -> None:
        world, calm_world = World(), World()
        store, switch = switched(memory_store())
        stormy, calm = manager_on(store, world), manager_on(memory_store(), calm_world)
        session, other = await opened(stormy), await opened(calm)
        alive = True
        for step, wait in [*steps, ("up", 0.0), ("load", 0.0)]:
            world.now += wait
            calm_world.now += wait
            if step in ("up", "down"):
                switch.set("up" if step == "up" else "down")
            elif step == "catch up":
                await stormy.catch_up()
            else:
                alive = alive and await _loads(calm, other)
                there = await _loads(stormy, session)
                assert there in (alive, None)

    anyio.run(play)


async def _loads(manager: Manager, session: Session) -> bool | None:
    """Whether the session is there; None if nobody can say."""
    try:
        await load(manager, session)
    except SessionNotFound:
        return False
    except StoreUnavailable:
        return None
    return True


# -- a holder stops in time


def quick(manager: Manager, world: World) -> Manager:
    """Return a manager whose leases last 0.2 s."""
    kinds = list(manager.kinds.values())
    return Manager(manager.store, manager.keys, kinds, worker="quick", clock=world, sink=world, tuning=QUICK)


async def test_a_holder_that_cannot_renew_stops_before_others_may_take_the_lease(
    manager: Manager, world: World, switch: Switch
) -> None:
    session = await opened(manager)
    mine = quick(manager, world)
    began = anyio.current_time()
    with anyio.fail_after(5), pytest.raises(LeaseLost):
        async with mine.hold(session.ref):
            switch.set("hanging")
            while True:  # the wall clock stands still: only the event loop's counts
                await mine.renew_held()
                await anyio.sleep(0.01)
    assert anyio.current_time() - began < QUICK.lease_ttl
    assert len(mine.leaving) == 1


async def test_a_slow_answer_does_not_lengthen_the_lease(
    manager: Manager, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await opened(manager)
    mine = quick(manager, world)
    acquire = manager.store.leases.acquire

    async def slowly(*args: Any, **more: Any) -> Any:
        lease = await acquire(*args, **more)
        await anyio.sleep(QUICK.lease_ttl)
        return lease

    monkeypatch.setattr(manager.store.leases, "acquire", slowly, raising=False)
    with pytest.raises(LeaseLost):
        async with mine.hold(session.ref) as held:
            with pytest.raises(LeaseLost, match="time"):
                held.check()
            await anyio.sleep(0)
            pytest.fail("the holder went on")


async def test_a_slow_answer_to_a_renewal_does_not_lengthen_the_lease_either(
    manager: Manager, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await opened(manager)
    mine = quick(manager, world)
    renew = manager.store.leases.renew

    async def slowly(*args: Any, **more: Any) -> Any:
        lease = await renew(*args, **more)
        await anyio.sleep(QUICK.lease_ttl / 4)
        return lease

    monkeypatch.setattr(manager.store.leases, "renew", slowly, raising=False)
    async with mine.hold(session.ref) as held:
        asked_at = anyio.current_time()
        await held.renew()
        assert held.deadline < asked_at + QUICK.lease_use + QUICK.lease_ttl / 8


async def test_the_most_urgent_leases_are_renewed_first(
    manager: Manager, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # few at a time: whose lease runs out soon must not stand behind those that have time
    renewed: list[float] = []
    renew = Held.renew

    async def noted(held: Held) -> None:
        renewed.append(held.deadline)
        await renew(held)

    monkeypatch.setattr(Held, "renew", noted)
    async with AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(manager.hold((await opened(manager)).ref))
        await manager.renew_held()
    assert renewed == sorted(renewed)
    assert len(set(renewed)) == 8


async def test_a_renewal_moves_the_deadline_but_revives_nobody(manager: Manager, world: World) -> None:
    session = await opened(manager)
    async with manager.hold(session.ref) as held:
        held.check()
        first = held.deadline
        await held.renew()
        assert held.deadline > first
    mine = quick(manager, world)
    with pytest.raises(LeaseLost):
        async with mine.hold(session.ref) as late:
            with anyio.CancelScope(shield=True):  # a request that has been sent is not cut off
                await anyio.sleep(QUICK.lease_ttl)
                session.content["answer"] = "kept"
                await late.save(session)  # nobody has taken the lease: what was learnt is written
            await anyio.sleep(0)
            pytest.fail("the holder went on")
    assert (await load(manager, session)).content == {"n": 1, "answer": "kept"}


async def test_the_wall_clock_ends_a_lease_as_well(manager: Manager, world: World, switch: Switch) -> None:
    session = await opened(manager)
    with pytest.raises(LeaseLost):
        async with manager.hold(session.ref) as held:
            world.now += TUNING.lease_use  # the machine slept: its event loop has not noticed
            with pytest.raises(LeaseLost):
                held.check()
            switch.set("down")
            await manager.renew_held()
            await anyio.sleep(0)
            pytest.fail("the holder went on")


async def test_who_has_lost_the_lease_is_told_before_sending(manager: Manager, world: World) -> None:
    session = await opened(manager)
    other = manager_on(manager.store, world, worker="two")
    with pytest.raises(LeaseLost, match="was lost"):
        async with manager.hold(session.ref) as held:
            world.now += TUNING.lease_ttl
            async with other.hold(session.ref):
                await held.renew()
                world.now -= TUNING.lease_ttl
                with pytest.raises(LeaseLost):
                    held.check()


# -- leases that could not be given back


async def test_a_lease_that_could_not_be_given_back_is_given_back_with_what_was_learnt(
    manager: Manager, switch: Switch
) -> None:
    session = await opened(manager)
    with pytest.raises(StoreUnavailable):
        async with manager.hold(session.ref) as held:
            session.content["cookie"] = "new"
            held.put(session)
            switch.set("down")
    await manager.catch_up()
    switch.set("up")
    await manager.catch_up()
    assert not manager.leaving
    async with manager.hold(session.ref, wait=0.01):
        assert (await load(manager, session)).content["cookie"] == "new"


async def test_a_request_that_failed_for_the_store_does_not_wait_for_it_once_more(
    manager: Manager, switch: Switch
) -> None:
    session = await opened(manager)
    switch.refused.clear()
    with pytest.raises(StoreUnavailable):
        async with manager.hold(session.ref) as held:
            switch.set("hanging")
            await held.save(session)
    assert switch.refused == ["renew"]
    switch.set("up")
    await manager.catch_up()
    async with manager.hold(session.ref, wait=0.01):
        pass


async def test_an_error_of_the_block_rules_over_a_release_that_failed(manager: Manager, switch: Switch) -> None:
    session = await opened(manager)
    with pytest.raises(ValueError, match="theirs"):
        async with manager.hold(session.ref):
            switch.set("down")
            raise ValueError("theirs")
    assert len(manager.leaving) == 1


@pytest.mark.parametrize("how", ["run out", "taken", "gone", "too large"])
async def test_giving_back_is_given_up_when_it_has_become_pointless(
    manager: Manager, world: World, switch: Switch, how: str
) -> None:
    session = await opened(manager)
    with pytest.raises(StoreUnavailable):
        async with manager.hold(session.ref) as held:
            held.put(session)
            switch.set("down")
    if how == "run out":
        world.now += TUNING.lease_ttl
        await manager.catch_up()
        assert not manager.leaving
        return
    switch.set("up")
    if how == "taken":
        world.now += TUNING.lease_ttl
        async with manager_on(manager.store, world, worker="two").hold(session.ref):
            await manager.catch_up()
    elif how == "gone":
        await manager.store.sessions.delete([session.ref])
        await manager.catch_up()
    else:
        session.content["cart"] = "x" * 2000
        await manager.catch_up()
        async with manager.hold(session.ref, wait=0.01):
            pass
    assert not manager.leaving


# -- the loops


async def test_the_keeper_goes_on_when_the_store_is_back_and_sweeps_only_after_a_while(
    manager: Manager, world: World, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.core.keeper.SWEEPER_TURN_S", 0.001)
    monkeypatch.setattr("holdfast.core.keeper.GRACE_S", 3600.0)
    keeper = Keeper(manager)
    closed, expired = await opened(manager), await opened(manager)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            tasks.start_soon(keeper.run_sweeper)
            await anyio.sleep(0)
            await manager.end(closed, Reason.CLIENT)
            switch.set("down")
            while len(switch.refused) < 10:
                await anyio.sleep(0.001)
            world.now += TUNING.cleanup_interval
            switch.set("up")
            assert await manager.gone(closed.ref, timeout=4)
            await anyio.sleep(0.02)
            assert await manager.current(expired.ref) is not None, "a use of it may be on its way"
            monkeypatch.setattr("holdfast.core.keeper.GRACE_S", 0.0)
            assert await manager.gone(expired.ref, timeout=4)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("mode", AWAY)
async def test_listening_goes_on_when_the_store_is_back_and_says_that_something_may_have_been_missed(
    manager: Manager, switch: Switch, mode: Mode
) -> None:
    heard: list[bytes] = []
    back: list[str] = []

    async def take(message: Message) -> None:
        heard.append(message.data)

    async def run(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        await listen(manager.store.channel, ["t"], take, back=lambda: back.append("back"), task_status=task_status)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            switch.set(mode)
            await tasks.start(run)  # it does not wait for the store
            await anyio.wait_all_tasks_blocked()
            switch.set("up")
            while not back:
                await anyio.sleep(0.001)
            await manager.store.channel.publish("t", b"1")
            while not heard:
                await anyio.sleep(0.001)
            switch.set(mode)
            await anyio.wait_all_tasks_blocked()
            switch.set("up")
            while len(back) < 2:
                await anyio.sleep(0.001)
            await manager.store.channel.publish("t", b"2")
            while len(heard) < 2:
                await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()
    assert heard == [b"1", b"2"]


# -- at any call


class Cut(Switch):
    """A store of which one call, the n-th, is not answered: done or not, as the mode says."""

    def __init__(self) -> None:
        super().__init__()
        self.at, self.how = -1, "down"

    @property  # type: ignore[override]
    def mode(self) -> Mode:
        return self.how if self.at == len(self.calls) else "up"  # type: ignore[return-value]

    @mode.setter
    def mode(self, mode: Mode) -> None:
        """The n-th call decides."""


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Cut:
    made = Cut()
    monkeypatch.setattr("core.outage.Switch", lambda: made)
    return made


@pytest.mark.parametrize("how", ["down", "mute"])
async def test_closing_and_keeping_survive_an_outage_at_any_of_their_calls(cut: Cut, how: str) -> None:
    for number in range(1, 60):
        world = World()
        store, _ = switched(memory_store())
        manager = manager_on(store, world)
        keeper = Keeper(manager)
        cut.at = -1
        session = await opened(manager)
        backend = await manager.open("backend", parent=session, named=False, label="B")
        await manager.open("lock", parent=backend, named=False, label="L", due_at=world.now)
        world.open = {"B", "L"}
        cut.calls.clear()
        cut.refused.clear()
        cut.at, cut.how = number, how
        await _quietly(keeper)  # keeps the lock
        with anyio.fail_after(5):
            await _ended(manager, session)
            for _ in range(6):
                await _quietly(keeper)
                await manager.catch_up()
                world.now += TUNING.lease_ttl
        cut.at = -1
        assert world.open == set(), (number, cut.refused)
        assert await manager.store.sessions.find("all", b"") == [], (number, cut.refused)
        if not cut.refused:
            return  # every call has had its turn
    pytest.fail("the run never ends")


async def _ended(manager: Manager, session: Session) -> None:
    """End a session as a client does that tries again."""
    while True:
        try:
            await manager.end(session, Reason.CLIENT)
        except StoreUnavailable:
            continue
        return


async def _quietly(keeper: Keeper) -> None:
    try:
        await keeper.turn()
    except StoreUnavailable:
        return
