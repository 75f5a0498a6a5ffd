"""What the flows of a worker are at: begun, left alone, stopped, given up."""

import anyio
import anyio.lowlevel
import pytest

from holdfast.errors import ServerStopping
from holdfast.flows.senders.work import Work

SECRET = "hunter2"


async def one() -> int:
    return 1


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    with pytest.raises(ValueError, match="mine"):
        async with Work().running():
            raise ValueError("mine")


async def test_an_errand_that_fails_leaves_the_others_going_and_its_text_out_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise RuntimeError(f"the password is {SECRET}")

    done = anyio.Event()

    async def go() -> None:
        done.set()

    work = Work()
    async with work.running():
        work.leave(fail)
        work.leave(go)
        with anyio.fail_after(5):
            await done.wait()
            while "RuntimeError" not in caplog.text:
                await anyio.lowlevel.checkpoint()
        assert await work.do(one) == 1
    assert SECRET not in caplog.text


async def test_nothing_is_begun_once_it_stops_and_nothing_left_alone_without_a_block() -> None:
    work = Work()
    with pytest.raises(ServerStopping, match="nothing was begun"):
        work.leave(one)
    async with work.running():
        work.stop()
        with pytest.raises(ServerStopping, match="nothing was begun"):
            await work.do(one)
        with pytest.raises(ServerStopping, match="nothing was begun"):
            work.leave(one)
        assert not work.busy


async def test_what_is_under_way_goes_on_until_it_is_given_up_and_told_so() -> None:
    work, gate, results = Work(), anyio.Event(), []

    async def errand() -> None:
        try:
            await work.do(gate.wait)
        except ServerStopping as exc:
            results.append(str(exc))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(errand)
            while not work.busy:
                await anyio.lowlevel.checkpoint()
            work.stop()
            assert work.busy
            work.give_up()
    assert results == ["the server has gone down before the flow was through"]
    assert not work.busy
