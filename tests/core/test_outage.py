"""What the core does while the store is out of reach, and afterwards (E26)."""

import anyio
import pytest

from core.outage import AWAY, Mode, Switch, opened, switched
from core.world import TUNING, World, manager_on
from holdfast.core.chores import catch_up
from holdfast.core.keeper import Keeper
from holdfast.core.manager import Manager
from holdfast.core.model import Message, Reason
from holdfast.core.session import Session
from holdfast.core.together import listen
from holdfast.errors import StoreUnavailable
from holdfast.stores.memory import memory_store


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.core.together.STORE_DOWN_S", 0.01)
    monkeypatch.setattr("holdfast.core.keeper.STORE_DOWN_S", 0.01)


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
                await catch_up(manager)
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
