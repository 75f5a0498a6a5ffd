"""Delivery of messages within one process: each subscriber has a mailbox that drops the oldest when it is full."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from holdfast.core.model import Message

MAILBOX = 1_000  # messages a subscriber may be behind


class Mailbox:
    """What one subscriber has not read yet; iterating waits for more, without end."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=MAILBOX)
        self._arrived = anyio.Event()

    def put(self, message: Message) -> None:
        """Add a message; the oldest goes if there are too many."""
        self._messages.append(message)
        self._arrived.set()

    def __aiter__(self) -> "Mailbox":
        return self

    async def __anext__(self) -> Message:
        while not self._messages:
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
