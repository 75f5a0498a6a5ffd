"""Delivery of messages within one process: each subscriber has a mailbox that drops the oldest when it is full.

When messages of other processes stop coming in, all mailboxes end: their readers subscribe again, and know that they
may have missed something.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from holdfast.core.model import Message

MAILBOX = 1_000  # messages a subscriber may be behind


class Mailbox:
    """What one subscriber has not read yet; iterating waits for more until it ends."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=MAILBOX)
        self._arrived = anyio.Event()
        self._ended = False

    def put(self, message: Message) -> None:
        """Add a message; the oldest goes if there are too many."""
        if not self._ended:
            self._messages.append(message)
            self._arrived.set()

    def end(self) -> None:
        """Take nothing any more; what is there may be read."""
        self._ended = True
        self._arrived.set()

    def __aiter__(self) -> "Mailbox":
        return self

    async def __anext__(self) -> Message:
        while not self._messages:
            if self._ended:
                raise StopAsyncIteration
            self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._messages.popleft()


class Hub:
    """Who subscribes to what in this process."""

    def __init__(self) -> None:
        self._mailboxes: dict[str, list[Mailbox]] = {}

    def __bool__(self) -> bool:
        """Say whether anybody subscribes to anything."""
        return bool(self._mailboxes)

    def deliver(self, message: Message) -> None:
        """Put a message into the mailboxes of its topic."""
        for mailbox in self._mailboxes.get(message.topic, ()):
            mailbox.put(message)

    def end(self) -> None:
        """End the mailboxes of all who subscribe now: what other processes say does not come in."""
        for mailboxes in self._mailboxes.values():
            for mailbox in mailboxes:
                mailbox.end()

    @contextmanager
    def mailbox(self, topics: tuple[str, ...]) -> Iterator[Mailbox]:
        """Subscribe while the block runs."""
        box = Mailbox()
        for topic in set(topics):
            self._mailboxes.setdefault(topic, []).append(box)
        try:
            yield box
        finally:
            for topic in set(topics):
                self._mailboxes[topic].remove(box)
                if not self._mailboxes[topic]:
                    del self._mailboxes[topic]
