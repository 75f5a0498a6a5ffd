"""Mailboxes: what waits is delivered in order, and an end comes after it."""

import anyio

from holdfast.core.model import Message
from holdfast.stores.hub import MAILBOX, Hub


async def test_a_mailbox_that_ends_delivers_what_has_come_first() -> None:  # E26
    hub = Hub()
    with hub.mailbox(("t",)) as box:
        hub.deliver(Message("t", b"1"))
        hub.deliver(Message("t", b"2"))
        hub.end()
        hub.deliver(Message("t", b"too late"))
        with anyio.fail_after(5):
            assert [message.data async for message in box] == [b"1", b"2"]
            assert [message async for message in box] == []


async def test_who_waits_learns_of_the_end_and_who_comes_later_hears() -> None:  # E26
    hub = Hub()
    ended = anyio.Event()

    async def wait() -> None:
        with hub.mailbox(("t", "u")) as box:
            assert [message async for message in box] == []
            ended.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            hub.end()
            with hub.mailbox(("u",)) as box:
                hub.deliver(Message("u"))
                assert await anext(box) == Message("u")
            await ended.wait()
    assert not hub


async def test_a_subscriber_too_far_behind_loses_the_oldest() -> None:  # E26
    hub = Hub()
    with hub.mailbox(("t",)) as box:
        for number in range(MAILBOX + 1):
            hub.deliver(Message("t", b"%d" % number))
        assert (await anext(box)).data == b"1"
