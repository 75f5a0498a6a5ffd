"""Mistakes of the program in the background: told once, paid with a pause, and never with the server (E10)."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from core.world import World, manager_on
from holdfast.core.events import Event, Fact
from holdfast.core.keeper import Keeper
from holdfast.core.kinds import Kind
from holdfast.core.manager import Manager
from holdfast.core.mistakes import Mistakes
from holdfast.core.model import Reason
from holdfast.errors import StoreUnavailable


def wrong(*_: object, **__: object) -> Any:
    raise ZeroDivisionError("secret")


async def wrong_later(*_: object, **__: object) -> Any:
    raise ZeroDivisionError("secret")


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "holdfast.core.mistakes"]


def caught(do: Callable[[], object]) -> Exception:
    try:
        do()
    except Exception as exc:  # noqa: BLE001
        return exc
    raise AssertionError


def test_a_mistake_is_told_once_with_its_place_and_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    mistakes = Mistakes("counting")
    for _ in range(3):
        mistakes.note(caught(wrong))
        mistakes.note(ExceptionGroup("several", [caught(wrong), ValueError("another")]))
    mistakes.note(caught(lambda: int("secret")))
    first, second = logged(caplog)
    assert first.startswith("counting: ZeroDivisionError; going on\n")
    assert "in wrong" in first
    assert second.startswith("counting: ValueError")
    assert "secret')" not in caplog.text
    assert "ZeroDivisionError: secret" not in caplog.text


async def test_the_loops_go_on_after_a_mistake(
    manager: Manager, keeper: Keeper, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("holdfast.core.keeper.SWEEPER_TURN_S", 0.001)
    expired = await manager.open("http")
    closed = await manager.open("backend", named=False)
    await manager.end(closed, Reason.ADMIN)
    world.now += 1_000.0
    stumbled: list[object] = []

    async def stumble(*given: object, **_: object) -> Any:
        stumbled.append(given[1])
        wrong()

    with monkeypatch.context() as patched, anyio.fail_after(5):
        patched.setattr(type(manager.store.sessions), "find", stumble)
        patched.setattr("holdfast.core.keeper.MISTAKE_S", 0.001)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            tasks.start_soon(keeper.run_sweeper)
            while min(stumbled.count("due"), stumbled.count("expired")) < 3:
                await anyio.sleep(0.001)
            patched.undo()
            assert await manager.gone(closed.ref, timeout=4)
            assert await manager.gone(expired.ref, timeout=4)
            tasks.cancel_scope.cancel()
    assert len(logged(caplog)) == 1


@pytest.mark.parametrize("ends", [True, False])
async def test_a_node_over_which_the_program_stumbles_is_due_again_after_a_pause(
    manager: Manager, keeper: Keeper, world: World, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    lock = await manager.open("lock", named=False, due_at=world.now)
    if ends:
        await manager.end(lock, Reason.ADMIN)
    with monkeypatch.context() as patched:
        patched.setattr("holdfast.core.closing.levels", wrong)
        patched.setattr(Keeper, "_next_due", wrong_later)
        assert await keeper.turn() == 1
    assert world.facts()[-1] is Fact.CLOSING_FAILED
    assert await keeper.turn() == 0, "not at once"
    world.now += 10.0
    assert await keeper.turn() == 1
    assert (await manager.current(lock.ref) is None) == ends


@pytest.mark.parametrize("fault", [ZeroDivisionError, StoreUnavailable])
async def test_if_not_even_the_pause_can_be_written_the_lease_makes_it(
    manager: Manager, keeper: Keeper, world: World, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    lock = await manager.open("lock", named=False)
    await manager.end(lock, Reason.ADMIN)

    async def fail(*_: object, **__: object) -> None:
        raise fault("secret")

    with monkeypatch.context() as patched:
        patched.setattr("holdfast.core.closing.levels", wrong)
        patched.setattr(Keeper, "_again", fail)
        assert await keeper.turn() == 1
    assert await keeper.turn() == 0, "the lease still stands"
    world.now += manager.tuning.lease_ttl
    assert await keeper.turn() == 1
    assert await manager.current(lock.ref) is None


async def test_a_sink_that_fails_costs_neither_the_keeper_nor_what_is_due(
    manager: Manager, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Deaf(World):
        def emit(self, event: Event) -> None:
            if event.fact is Fact.CLOSING_FAILED:
                raise ZeroDivisionError("secret")

    async def fail(_: object) -> None:
        raise RuntimeError("no")

    kinds = [Kind(name="lock", closer=fail, outside=True)]
    mine = manager_on(manager.store, Deaf(now=world.now), kinds=kinds)
    lock = await mine.open("lock", named=False)
    await mine.end(lock, Reason.ADMIN)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Keeper(mine).run)
            while not logged(caplog):
                await anyio.sleep(0.001)
            await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    stored = await mine.current(lock.ref)
    assert stored is not None
    assert stored.due_at == world.now + 1.0
