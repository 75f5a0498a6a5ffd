"""The events of a stream, kept so that a client whose connection broke gets the rest at any worker.

An event id is the stream's random name and the event's number. The stream's first event has no data: it gives the
client a place to come back to (SEP-1699). Kept below the session's node, events go with it; a stream that was
received to its end is dropped at once.
"""

import re
import secrets
from collections.abc import AsyncIterator
from typing import Final

import anyio
import msgspec

from holdfast.core.manager import Manager
from holdfast.core.model import Ref
from holdfast.mcp import sse

RETRY_MS: Final = 1000
MORE: Final = b"m"
LAST: Final = b"l"
_CURSOR: Final = re.compile(r"([0-9a-f]{16})\.([0-9]{1,12})")


class Journal:
    """One stream's events, as they are written."""

    def __init__(self, manager: Manager, ref: Ref, *, retry_ms: int = RETRY_MS) -> None:
        self._manager, self._ref, self._retry_ms = manager, ref, retry_ms
        self.stream = ""  # named when it begins, which most answers never do

    async def open(self) -> bytes:
        """Begin the stream, and return the event with which it does."""
        self.stream = secrets.token_hex(8)
        return sse.priming(await self.note(b""), self._retry_ms)

    async def note(self, data: bytes, *, last: bool = False) -> str:
        """Keep an event and return its id."""
        number = await self._manager.store.events.append(
            self._ref, self.stream, (LAST if last else MORE) + data, now=self._manager.clock()
        )
        await self._manager.store.channel.publish(topic_of(self.stream))
        return f"{self.stream}.{number}"

    async def forget(self) -> None:
        """Drop all events: nobody comes back for them."""
        await self._manager.store.events.trim(self._ref, self.stream)


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


async def rest(manager: Manager, ref: Ref, cursor: Cursor, *, keep_alive: float) -> AsyncIterator[bytes]:
    """Yield what comes after the cursor as events, up to the last; a comment whenever nothing has come for a while."""
    async with manager.store.channel.subscribe(topic_of(cursor.stream)) as news:
        while True:
            entries = await manager.store.events.read(ref, cursor.stream, after=cursor.number - 1)
            if not entries:
                return  # forgotten: the client has received it to its end on another connection
            for entry in entries:
                if entry.seq > cursor.number:
                    yield sse.event(entry.data[1:], id=f"{cursor.stream}.{entry.seq}")
                if entry.data[:1] == LAST:
                    return
            if entries[-1].seq > cursor.number:
                cursor = Cursor(cursor.stream, entries[-1].seq)
                continue
            with anyio.move_on_after(keep_alive) as waiting:
                await anext(aiter(news))
            if waiting.cancelled_caught:
                yield sse.KEEP_ALIVE
