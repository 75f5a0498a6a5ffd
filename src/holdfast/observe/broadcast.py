"""Facts of all workers, live, for whoever follows them: `holdfast sessions tail`.

Nothing is published while nobody follows. A follower asks, again and again while it is there, and every worker that
hears it publishes its facts for a while, a few times a second. Facts are sent as sinks get them: ids cut, no secret.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import anyio
import msgspec

from holdfast.core.events import Event
from holdfast.core.model import Message
from holdfast.core.ports import Channel
from holdfast.core.together import listen
from holdfast.errors import StoreUnavailable

ASKED_TOPIC: Final = "observe.follow"
FACTS_TOPIC: Final = "observe.facts"
FOLLOWED_S: Final = 15.0  # from when a follower has last asked
ASK_EVERY_S: Final = 5.0
PUBLISH_EVERY_S: Final = 0.2
MOST: Final = 1_000  # facts that wait to be published; the oldest go


class Batch(msgspec.Struct, frozen=True):
    """What one worker has to tell, and how many facts it had to leave out."""

    events: list[Event]
    left_out: int = 0


class Broadcast:
    """Publishes this worker's facts while somebody follows."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=MOST)
        self._left_out = 0
        self._until = float("-inf")
        self._asked = anyio.Event()

    def emit(self, event: Event) -> None:
        """Keep a fact that somebody wants to see."""
        if self._asked.is_set():
            self._left_out += len(self._events) == MOST
            self._events.append(event)

    async def run(self, channel: Channel) -> None:
        """Publish, while somebody follows, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, channel, [ASKED_TOPIC], self._ask)
            while True:
                await self._asked.wait()
                while anyio.current_time() < self._until:
                    await anyio.sleep(PUBLISH_EVERY_S)
                    await self._publish(channel)
                self._asked = anyio.Event()

    async def _ask(self, _: Message) -> None:
        self._until = anyio.current_time() + FOLLOWED_S
        self._asked.set()

    async def _publish(self, channel: Channel) -> None:
        if not self._events:
            return
        batch = Batch(list(self._events), self._left_out)
        self._events.clear()
        self._left_out = 0
        try:
            await channel.publish(FACTS_TOPIC, msgspec.msgpack.encode(batch))
        except StoreUnavailable:
            self._left_out += len(batch.events) + batch.left_out


async def follow(channel: Channel, take: Callable[[Batch], Awaitable[None]]) -> None:
    """Hand over what the workers of a store tell, until cancelled; after an outage of the store it goes on."""

    async def read(message: Message) -> None:
        try:
            batch = msgspec.msgpack.decode(message.data, type=Batch)
        except (msgspec.DecodeError, UnicodeDecodeError):  # a worker of another release
            batch = Batch([], 1)
        await take(batch)

    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda task_status: listen(channel, [FACTS_TOPIC], read, task_status=task_status))
        while True:
            with suppress(StoreUnavailable):  # asked again
                await channel.publish(ASKED_TOPIC)
            await anyio.sleep(ASK_EVERY_S)
