"""Channels: everyone who listens hears what is said from then on, and a slow listener harms nobody."""

# ruff: noqa: S101 - a test asserts

from collections.abc import AsyncIterator

import anyio

from holdfast.core.model import Message
from holdfast.testing.contract.base import PATIENCE_S, Contract


class ChannelContract(Contract):
    """`Channel`."""

    async def test_everyone_who_subscribes_gets_a_message(self) -> None:  # E21
        async with (
            self.open() as store,
            store.channel.subscribe("t") as one,
            store.channel.subscribe("t", "u") as two,
        ):
            await store.channel.publish("t", b"hello")
            assert await _next(one) == await _next(two) == Message("t", b"hello")

    async def test_messages_come_in_order_and_once(self) -> None:  # E21
        async with self.open() as store, store.channel.subscribe("t", "t") as messages:
            for number in range(20):
                await store.channel.publish("t", b"%d" % number)
            assert [int((await _next(messages)).data) for _ in range(20)] == list(range(20))
            await store.channel.publish("t", b"last")
            assert (await _next(messages)).data == b"last"

    async def test_other_topics_are_not_heard(self) -> None:  # E21
        async with self.open() as store, store.channel.subscribe("t", "u") as messages:
            await store.channel.publish("v", b"1")
            await store.channel.publish("u")
            assert await _next(messages) == Message("u", b"")

    async def test_what_was_said_before_is_not_heard(self) -> None:  # E21
        async with self.open() as store:
            await store.channel.publish("t", b"early")
            async with store.channel.subscribe("t") as messages:
                await store.channel.publish("t", b"late")
                assert (await _next(messages)).data == b"late"

    async def test_publishing_to_nobody_does_no_harm(self) -> None:  # E21
        async with self.open() as store:
            async with store.channel.subscribe("t"):
                pass
            await store.channel.publish("t", b"nobody")

    async def test_a_waiting_subscriber_is_woken(self) -> None:  # E10
        async with self.open() as store, store.channel.subscribe("t") as messages:
            heard: list[Message] = []

            async def listen() -> None:
                heard.append(await _next(messages))

            async with anyio.create_task_group() as group:
                group.start_soon(listen)
                await anyio.lowlevel.checkpoint()
                await store.channel.publish("t", b"wake up")
            assert heard == [Message("t", b"wake up")]

    async def test_a_subscriber_a_thousand_behind_loses_the_oldest(self) -> None:  # E21
        async with self.open() as store, store.channel.subscribe("t") as messages:
            for number in range(1_010):
                await store.channel.publish("t", b"%d" % number)
            heard = [int((await _next(messages)).data) for _ in range(1_000)]
            assert heard == list(range(10, 1_010))

    async def test_a_message_is_any_bytes_of_any_length(self) -> None:  # E21
        async with self.open() as store, store.channel.subscribe("t: \u00e4/'\"") as messages:
            for data in (bytes(range(256)), b"\xff\x00" * 50_000, b"short"):
                await store.channel.publish("t: \u00e4/'\"", data)
                assert await _next(messages) == Message("t: \u00e4/'\"", data)


async def _next(messages: AsyncIterator[Message]) -> Message:
    with anyio.fail_after(PATIENCE_S):
        return await anext(messages)
