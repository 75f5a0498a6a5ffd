"""What has changed, told to whoever listens at any worker: lists, resources, tasks.

A change is a hint without content: who hears it looks again. So it does not matter that the store's channel keeps
nothing. What could not be published while the store was out of reach is published after it, and who has listened
through an outage is told that it may have missed something (E26).
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Literal

import anyio
import msgspec

from holdfast.core.model import Message
from holdfast.core.ports import Channel
from holdfast.core.together import STORE_DOWN_S, listen
from holdfast.errors import StoreUnavailable

TOPIC: Final = "mcp.changes"
MOST_WAITING: Final = 1000  # during an outage; then everybody looks again anyway


class Change(msgspec.Struct, frozen=True, array_like=True):
    """One change. `about` is the URI of a resource, or the key of a task in hexadecimal digits.

    `orphan` means a task that waits for a worker to take it up.
    """

    what: Literal["tools", "prompts", "resources", "resource", "task", "orphan"]
    about: str = ""


Listener = Callable[[Change | None], object]  # None: something may have been missed


class Changes:
    """This worker's ear and mouth for changes."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._listeners: dict[object, Listener] = {}
        self._waiting: dict[Change, None] = {}
        self._some = anyio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Hear and tell until the block ends."""
        async with anyio.create_task_group() as tasks:

            async def hear(*, task_status: anyio.abc.TaskStatus[None]) -> None:
                await listen(self._channel, [TOPIC], self._take, back=self._missed, task_status=task_status)

            await tasks.start(hear)
            tasks.start_soon(self._publish)
            yield
            tasks.cancel_scope.cancel()

    def announce(self, change: Change) -> None:
        """Tell every worker, this one included. Returns at once; a change that waits already is told once."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting[change] = None
        self._some.set()

    @contextmanager
    def heard_by(self, listener: Listener) -> Iterator[None]:
        """Call a listener with every change until the block ends. It must return at once and raise nothing."""
        token = object()
        self._listeners[token] = listener
        try:
            yield
        finally:
            del self._listeners[token]

    async def _publish(self) -> None:
        while True:
            await self._some.wait()
            self._some = anyio.Event()
            while self._waiting:
                change = next(iter(self._waiting))
                del self._waiting[change]
                try:
                    await publish(self._channel, change)
                except StoreUnavailable:
                    self._waiting.setdefault(change)
                    await anyio.sleep(STORE_DOWN_S)

    async def _take(self, message: Message) -> None:
        self.tell_here(msgspec.msgpack.decode(message.data, type=Change))

    def _missed(self) -> None:
        self.tell_here(None)

    def tell_here(self, change: Change | None) -> None:
        """Tell those who listen at this worker only."""
        for listener in list(self._listeners.values()):
            listener(change)


async def publish(channel: Channel, change: Change) -> None:
    """Tell every worker now; raise StoreUnavailable if that cannot be."""
    await channel.publish(TOPIC, msgspec.msgpack.encode(change))


class Ear:
    """Collects the changes that somebody waits for. One that comes again before it was taken is taken once."""

    def __init__(self, wanted: frozenset[Change]) -> None:
        self._wanted = wanted
        self._news: dict[Change, None] = {}
        self._rung = anyio.Event()
        self._closed = False

    def hear(self, change: Change | None) -> None:
        """Take a change if it is wanted; None stands for all that are."""
        if change is None:
            self._news.update(dict.fromkeys(sorted(self._wanted, key=lambda one: (one.what, one.about))))
        elif change in self._wanted:
            self._news[change] = None
        if self._news:
            self._rung.set()

    def close(self) -> None:
        """Let whoever takes changes come to the end of them."""
        self._closed = True
        self._rung.set()

    async def changes(self) -> AsyncIterator[Change]:
        """Yield what was heard, until closed."""
        while True:
            await self._rung.wait()
            self._rung = anyio.Event()
            while self._news:
                change = next(iter(self._news))
                del self._news[change]
                yield change
            if self._closed:
                return
