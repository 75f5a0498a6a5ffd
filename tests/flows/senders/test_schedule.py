"""The sender `schedule`: what is due is done once, by one of all workers, and not twice at once."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from flows.senders import scripts
from flows.senders.world import Served, served
from holdfast.core.sealing import new_key_text
from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.flows.model import read_flow
from holdfast.flows.senders.post import Post

TEXT = """\
flow: nightly
sender: {{adapter: schedule, every: 1s{more}}}
steps:
- script: flows.senders.scripts:{function}
"""
BEGIN = 1_800_000_000.5


class Time:
    """A clock that is moved on by the test, and what waits for it."""

    def __init__(self) -> None:
        self.now = BEGIN
        self._moved = anyio.Event()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            await self._moved.wait()

    async def pass_by(self, seconds: float = 1.0) -> None:
        """Move the clock on and let everybody do what they can."""
        self.now += seconds
        self._moved.set()
        self._moved = anyio.Event()


@pytest.fixture
def time() -> Time:
    scripts.seen.clear()
    scripts.gates["here"] = anyio.Event()
    return Time()


@asynccontextmanager
async def workers(folder: Path, time: Time, count: int = 2, **flow: str) -> AsyncIterator[list[Served]]:
    """Run a flow at several workers with one store."""
    text = TEXT.format(more=flow.get("more", ""), function=flow.get("function", "note"))
    url, keys = f"sqlite:///{folder / 'store.db'}", new_key_text()
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(served(folder, text, store=url, keys=keys, clock=time, sleep=time.sleep))
            for _ in range(count)
        ]
        await settled(running)
        yield running


async def settled(served: list[Served], *, busy: int = 0) -> None:
    """Wait until no more than so many workers have something to do."""
    with anyio.fail_after(10):
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        while sum(world.flows.busy for world in served) > busy:
            await anyio.sleep(0.01)


def dues() -> list[str]:
    return [str(message.headers["due"])[17:25] for message in scripts.seen]


async def test_what_is_due_is_done_once_whatever_number_of_workers_there_is(tmp_path: Path, time: Time) -> None:
    # F15
    async with workers(tmp_path, time, 3) as running:
        for _ in range(4):
            await time.pass_by()
            await settled(running)
    assert dues() == ["01+00:00", "02+00:00", "03+00:00", "04+00:00"]
    assert all(message.body is None and message.id for message in scripts.seen)


async def test_what_takes_longer_than_its_time_is_not_begun_twice_at_once(tmp_path: Path, time: Time) -> None:
    async with workers(tmp_path, time, function="wait") as running:
        for _ in range(3):
            await time.pass_by()
            await settled(running, busy=1)
        assert dues() == ["01+00:00"]
        scripts.gates["here"].set()
        await settled(running)
        await time.pass_by()
        await settled(running)
    assert dues() == ["01+00:00", "04+00:00"]


async def test_times_may_overlap_where_the_flow_says_so(tmp_path: Path, time: Time) -> None:
    async with workers(tmp_path, time, function="wait", more=", overlap: true") as running:
        for count in (1, 2, 3):
            await time.pass_by()
            with anyio.fail_after(10):
                while len(scripts.seen) < count:
                    await anyio.sleep(0.01)
        scripts.gates["here"].set()
        await settled(running)
    assert sorted(dues()) == ["01+00:00", "02+00:00", "03+00:00"]


async def test_a_clock_that_jumps_makes_up_for_nothing(tmp_path: Path, time: Time) -> None:
    async with workers(tmp_path, time, 1) as running:
        await time.pass_by(3600)
        await settled(running)
        await time.pass_by()
        await settled(running)
    assert len(scripts.seen) == 2


async def test_a_flow_that_fails_and_a_store_that_is_away_leave_the_schedule_going(
    tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: object) -> bool:
        raise StoreUnavailable("the store is away")

    async with workers(tmp_path, time, 1, function="fail") as running:
        await time.pass_by()
        await settled(running)
        with monkeypatch.context() as patched:
            patched.setattr(Post, "first", away)
            await time.pass_by()
            await settled(running)
        with anyio.fail_after(10):
            while caplog.text.count("flow.yaml:4: script:") < 2:  # the turn is given back when the store is back
                await time.pass_by()
                await settled(running)
    assert caplog.text.count("the store is away") == 1


async def test_a_server_that_stops_begins_nothing_that_is_due(tmp_path: Path, time: Time) -> None:
    async with workers(tmp_path, time) as running:
        for world in running:
            world.flows.stop()
        await time.pass_by()
        await settled(running)
    assert scripts.seen == []


def test_a_schedule_that_is_never_due_is_told_with_its_line() -> None:
    with pytest.raises(ConfigurationError, match=r"^a\.yaml:2: '99 \* \* \* \*' is no cron expression"):
        read_flow("flow: a\nsender: {adapter: schedule, cron: '99 * * * *'}\nsteps: [{filter: body}]\n", "a.yaml")
