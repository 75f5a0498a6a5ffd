"""The events of a stream, kept so that a client whose connection broke gets the rest at any worker.

An event id is the stream's random name and the event's number. The stream's first event has no data: it gives the
client a place to come back to (SEP-1699). Kept below the session's node, events go with it; a stream that was
received to its end is dropped at once. Events are sealed: an answer may have the id of a session in it.

While the store is out of reach events wait, up to 256 KiB (E26). One whose append was not answered is appended again:
if the store has it twice, both have the same number, and readers pass over the second.
"""

import re
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio
import msgspec

from holdfast.core.manager import Manager
from holdfast.core.model import Message, Ref
from holdfast.core.sealing import Unreadable
from holdfast.core.together import STORE_DOWN_S, listen
from holdfast.errors import StoreUnavailable
from holdfast.mcp import sse

RETRY_MS: Final = 1000
WAITING_BYTES: Final = 256 * 1024
MORE: Final = b"m"
LAST: Final = b"l"
HEAD_BYTES: Final = 5  # whether more follows, and the number
_CURSOR: Final = re.compile(r"([0-9a-f]{16})\.([0-9]{1,9})")


class Journal:
    """One stream's events, as they are written."""

    def __init__(self, manager: Manager, ref: Ref, *, retry_ms: int = RETRY_MS) -> None:
        self._manager, self._ref, self._retry_ms = manager, ref, retry_ms
        self.stream = ""  # named when it begins, which most answers never do
        self._number = 0
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._bytes = 0

    @property
    def behind(self) -> bool:
        """Whether events wait to be kept."""
        return bool(self._waiting)

    def begin(self) -> None:
        """Begin the stream with the event that gives the client a place to come back to."""
        self.stream = secrets.token_hex(8)
        self.add(b"")

    def add(self, data: bytes, *, last: bool = False) -> None:
        """Let an event wait to be kept. The last one, the result, always may.

        Raises:
            StoreUnavailable: So many wait already that there is no room for it.
        """
        if not last and self._waiting and self._bytes + len(data) > WAITING_BYTES:
            raise StoreUnavailable(f"more than {WAITING_BYTES} bytes of the stream wait for the store")
        self._number += 1
        self._bytes += len(data)
        self._waiting.append(((LAST if last else MORE) + self._number.to_bytes(HEAD_BYTES - 1, "big"), data))

    async def kept(self) -> AsyncIterator[bytes]:
        """Keep what waits, and yield each event as it is sent once it is kept.

        Raises:
            StoreUnavailable: The rest has to wait on.
            SessionEnded: Nobody can come back to this stream any more.
        """
        manager = self._manager
        while self._waiting:
            head, data = self._waiting[0]
            entry = sealed(manager, self._ref, self.stream, head, data)
            await manager.store.events.append(self._ref, self.stream, entry, now=manager.clock())
            self._waiting.popleft()
            self._bytes -= len(data)
            with suppress(StoreUnavailable):  # who reads elsewhere looks again by itself
                await manager.store.channel.publish(topic_of(self.stream))
            yield self._shown(head, data)

    def unkept(self) -> bytes:
        """Return what waits as events without ids, and let nothing wait any more."""
        events = b"".join(sse.message(data) for _, data in self._waiting if data)
        self._waiting.clear()
        self._bytes = 0
        return events

    async def forget(self) -> None:
        """Drop all events: nobody comes back for them."""
        with suppress(StoreUnavailable):  # then they go with the session
            await self._manager.store.events.trim(self._ref, self.stream)

    def _shown(self, head: bytes, data: bytes) -> bytes:
        number = int.from_bytes(head[1:], "big")
        id = f"{self.stream}.{number}"  # noqa: A001
        return sse.event(data, id=id) if number > 1 else sse.priming(id, self._retry_ms)


class Cursor(msgspec.Struct, frozen=True):
    """How far a client has read a stream."""

    stream: str
    number: int


def cursor_of(last_event_id: str) -> Cursor | None:
    """Return the place a `Last-Event-ID` names; None if it is no id of ours."""
    form = _CURSOR.fullmatch(last_event_id)
    return Cursor(form[1], int(form[2])) if form else None


def topic_of(stream: str) -> str:
    """Return the topic on which new events of a stream are announced."""
    return f"mcp.journal.{stream}"


async def exists(manager: Manager, ref: Ref, cursor: Cursor) -> bool:
    """Say whether a session has such a stream. Streams of other sessions do not exist for it."""
    return bool(await manager.store.events.read(ref, cursor.stream, after=cursor.number - 1, count=1))


class Bell:
    """Rings when there may be news."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Let who waits go on; if nobody does, the next who wants to need not."""
        self._rung.set()

    async def wait(self, timeout: float) -> bool:
        """Wait for the next ring; False if there was none within `timeout` seconds."""
        with anyio.move_on_after(timeout):
            await self._rung.wait()
        rung, self._rung = self._rung.is_set(), anyio.Event()
        return rung


@asynccontextmanager
async def news_of(manager: Manager, stream: str) -> AsyncIterator[Bell]:
    """Ring when an event of a stream is announced, and after an outage in which one may have been."""
    bell = Bell()

    async def take(message: Message) -> None:
        bell.ring()

    async with anyio.create_task_group() as tasks:

        async def hear(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            await listen(manager.store.channel, [topic_of(stream)], take, back=bell.ring, task_status=task_status)

        await tasks.start(hear)
        yield bell
        tasks.cancel_scope.cancel()


async def rest(manager: Manager, ref: Ref, cursor: Cursor, *, bell: Bell, keep_alive: float) -> AsyncIterator[bytes]:
    """Yield what comes after the cursor as events, up to the last; a comment whenever nothing has come for a while.

    While the store is out of reach, comments come once a second. What no key opens any more is as if forgotten.
    """
    place, shown = cursor.number, cursor.number  # how far it was read; the number of the last event that was yielded
    while True:
        try:
            entries = await manager.store.events.read(ref, cursor.stream, after=place - 1)
        except StoreUnavailable:
            yield sse.KEEP_ALIVE
            await anyio.sleep(STORE_DOWN_S)
            continue
        if not entries:
            return  # forgotten: the client has received it to its end on another connection
        for entry in entries:
            head = entry.data[:HEAD_BYTES]
            number = int.from_bytes(head[1:], "big")
            if number > shown:
                try:
                    data = manager.keys.open(entry.data[HEAD_BYTES:], _place(ref, cursor.stream, head))
                except Unreadable:
                    return
                yield sse.event(data, id=f"{cursor.stream}.{number}")
                shown = number
            if head[:1] == LAST:
                return
        if entries[-1].seq > place:
            place = entries[-1].seq
        elif not await bell.wait(keep_alive):
            yield sse.KEEP_ALIVE


def sealed(manager: Manager, ref: Ref, stream: str, head: bytes, data: bytes) -> bytes:
    """Return an event as it is kept."""
    return head + manager.keys.seal(data, _place(ref, stream, head))


def _place(ref: Ref, stream: str, head: bytes) -> bytes:
    """Return what an event is sealed for: it opens in its own place only."""
    return ref.key + stream.encode() + head
