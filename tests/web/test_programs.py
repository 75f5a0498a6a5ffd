"""Programs without cookies: one session each, also for two workers at the same time, and after anything has ended."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from holdfast.config import KindSettings, Settings
from holdfast.core.model import Reason, State
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.core.session import Session
from holdfast.engine import Engine, open_engine
from holdfast.errors import Busy, LimitReached, SessionEnded
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.web.kinds import HTTP, KINDS, SECURITY
from holdfast.web.programs import Programs
from holdfast.web.security import Logon, Logons

ANN = Logon(subject="ann", method="basic", at=1000.0, device="curl/8")


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[list[Engine]]:
    """Two workers on one file."""
    url, keys = f"sqlite:///{tmp_path / 'store.db'}", KeyRing.parse(new_key_text())
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_engine(url, kinds=KINDS, keys=keys, settings=Settings(), keeper=False))
            for _ in range(2)
        ]


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    settings = Settings(kinds={"security": KindSettings(per_principal=2)})
    async with open_engine(memory_store(), kinds=KINDS, settings=settings, clock=Clock(1000.0), keeper=False) as opened:
        yield opened


async def live(engine: Engine, kind: str) -> int:
    return len([one async for one in engine.manager.each("kind", kind) if one.state is State.LIVE])


async def test_of_first_requests_at_two_workers_one_opens_the_session(workers: list[Engine]) -> None:  # T13, S18
    found: set[bytes] = set()

    async def ask(engine: Engine) -> None:
        found.add((await Programs(engine.manager).session(ANN, "shop")).key)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for number in range(24):
                tasks.start_soon(ask, workers[number % 2])
    assert len(found) == 1
    assert [await live(workers[0], kind) for kind in (SECURITY, HTTP)] == [1, 1]


async def test_what_has_ended_above_is_replaced_at_once(engine: Engine) -> None:  # S4
    programs, logons = Programs(engine.manager), Logons(engine.manager)
    first = await programs.session(ANN, "shop")
    assert (await programs.session(ANN, "bank")).record.parent == first.record.parent
    assert await logons.end_all("ann", Reason.ADMIN) == 1
    second = await programs.session(ANN, "shop")
    assert second.key != first.key
    assert (await programs.session(ANN, "shop")).key == second.key


async def test_a_principal_has_no_more_logons_by_being_a_program(engine: Engine) -> None:  # S13
    logons = Logons(engine.manager)
    for _ in range(2):
        await logons.begin(Logon(subject="ann", method="password", at=1000.0))
    with pytest.raises(LimitReached):
        await Programs(engine.manager).session(ANN, "shop")


async def test_a_logon_that_ends_again_and_again_is_given_up(engine: Engine) -> None:
    calls: list[int] = []

    async def below() -> Session:
        calls.append(1)
        raise SessionEnded("it has ended meanwhile")

    with pytest.raises(Busy):
        await Programs(engine.manager).session(ANN, "shop", below)
    assert len(calls) == 5


async def test_others_and_other_programs_have_sessions_of_their_own(engine: Engine) -> None:  # S1
    programs = Programs(engine.manager)
    logons = [ANN, Logon(subject="bob", method="basic", at=0.0, device="curl/8")]
    logons += [Logon(subject="ann", method="basic", at=0.0, device="wget/1")]
    assert len({(await programs.session(logon, "shop")).key for logon in logons}) == 3
