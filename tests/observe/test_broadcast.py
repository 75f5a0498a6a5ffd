"""Facts of all workers, live: nothing is published while nobody follows."""

import anyio
import msgspec
import pytest

from core.outage import switched
from holdfast.core.events import Fact
from holdfast.observe.broadcast import FACTS_TOPIC, FOLLOWED_S, MOST, Batch, Broadcast, follow
from holdfast.stores.memory import memory_store
from observe.meters import gone, opened
from observe.workers import VIRTUAL, workers


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL


class Follower:
    """Somebody who follows, and what they have seen."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.left_out = 0

    async def take(self, batch: Batch) -> None:
        self.seen += [(event.fact.value, event.kind) for event in batch.events]
        self.left_out += batch.left_out


async def test_who_follows_sees_the_facts_of_every_worker_and_what_was_before_not() -> None:
    # M26
    async with workers(2) as made:
        first, second = made.all
        await first.open()
        follower = Follower()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow, made.store.channel, follower.take)
            await anyio.sleep(1)
            [session] = await first.open()
            await second.connect(session)
            await second.end(session)
            await anyio.sleep(FOLLOWED_S * 2)  # asked again and again
            await first.open()
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
    assert sorted(follower.seen) == [
        ("closed", "mcp"), ("closed", "stream"), ("ended", "mcp"), ("opened", "mcp"), ("opened", "mcp"),
        ("opened", "stream"),
    ]  # fmt: skip
    assert follower.left_out == 0


async def test_nothing_is_published_or_kept_once_nobody_follows() -> None:
    # M26
    store, broadcast, published = memory_store(), Broadcast(), 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(broadcast.run, store.channel)
        follower = Follower()
        with anyio.move_on_after(1):
            await follow(store.channel, follower.take)
        await anyio.sleep(FOLLOWED_S + 1)
        async with store.channel.subscribe(FACTS_TOPIC) as messages:
            for _ in range(10):
                broadcast.emit(opened())
            with anyio.move_on_after(5):
                async for _ in messages:
                    published += 1
        tasks.cancel_scope.cancel()
    assert published == 0
    assert not broadcast._events


async def test_a_flood_is_cut_and_the_follower_is_told_how_much() -> None:
    # M26
    store, broadcast, follower = memory_store(), Broadcast(), Follower()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(broadcast.run, store.channel)
        await anyio.sleep(0.1)
        tasks.start_soon(follow, store.channel, follower.take)
        await anyio.sleep(0.1)
        for _ in range(MOST + 7):
            broadcast.emit(opened())
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()
    assert (len(follower.seen), follower.left_out) == (MOST, 7)


async def test_following_goes_on_after_an_outage_and_says_what_was_missed() -> None:
    # M26, E26
    store, switch = switched(memory_store())
    broadcast, follower = Broadcast(), Follower()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(broadcast.run, store.channel)
        await anyio.sleep(0.1)
        tasks.start_soon(follow, store.channel, follower.take)
        await anyio.sleep(0.1)
        switch.set("down")
        broadcast.emit(opened())
        await anyio.sleep(3)
        switch.set("up")
        await anyio.sleep(7)
        broadcast.emit(gone())
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()
    assert follower.seen == [("closed", "mcp")]
    assert follower.left_out == 1


async def test_what_a_worker_of_another_release_says_is_counted_as_not_understood() -> None:
    store, follower = memory_store(), Follower()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow, store.channel, follower.take)
        await anyio.sleep(0.1)
        await store.channel.publish(FACTS_TOPIC, msgspec.msgpack.encode({"events": [{"fact": "teleported", "at": 1}]}))
        await store.channel.publish(FACTS_TOPIC, b"\xc1")
        await anyio.sleep(0.1)
        tasks.cancel_scope.cancel()
    assert (follower.seen, follower.left_out) == ([], 2)


def test_a_fact_is_read_back_as_it_was_sent() -> None:
    batch = Batch([gone(), opened()])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(batch), type=Batch) == batch
    assert batch.events[0].fact is Fact.CLOSED
