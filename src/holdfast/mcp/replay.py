"""What comes after a place in a stream, read from the store: first what was missed, then what is added.

What is read is what a connection takes, a page at a time: with what the server buffers that is less than 256 KiB, which
is all that a slow reader costs, unless a single event is larger.
Where events are missing because they are kept no longer, the stream ends: its client comes back, and is told.
"""

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Final

import anyio
import msgspec

from holdfast.core.model import LogEntry, Ref
from holdfast.core.sealing import Unreadable
from holdfast.core.together import STORE_DOWN_S
from holdfast.errors import StoreUnavailable
from holdfast.mcp import sse
from holdfast.mcp.journal import BLOCK, HEAD_BYTES, LAST, OWN_PREFIX, EventStore, Written, number_of, opened

PAGE_BYTES: Final = 128 * 1024
PAGE: Final = 100  # events
FIRST_PAGE: Final = 8  # events: how large they are is not known yet
_CURSOR: Final = re.compile(rf"({OWN_PREFIX}?[0-9a-f]{{16}})\.([0-9]{{1,9}})")


class Cursor(msgspec.Struct, frozen=True):
    """How far a client has read a stream."""

    stream: str
    number: int

    @property
    def own(self) -> bool:
        """Whether the stream belongs to a session, and not to an answer."""
        return self.stream.startswith(OWN_PREFIX)

    @property
    def id(self) -> str:
        """The event id that names this place."""
        return f"{self.stream}.{self.number}"


def cursor_of(last_event_id: str) -> Cursor | None:
    """Return the place a `Last-Event-ID` names; None if it is no id of ours."""
    form = _CURSOR.fullmatch(last_event_id)
    return Cursor(form[1], int(form[2])) if form else None


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


class Replay:
    """Reads one stream of a session from a place on; its events have their ids if they are `named`.

    `over` says that nothing more will come, `lost` that something has come that is kept no longer.
    """

    def __init__(self, store: EventStore, ref: Ref, cursor: Cursor, *, named: bool = True) -> None:
        self._manager, self._ref, self.cursor, self._named = store.manager, ref, cursor, named
        self._place = self._shown = cursor.number  # how far it was read; the number of the last event returned
        self._count = FIRST_PAGE
        self._ahead: bytes | None = None
        self.over = self.lost = False

    async def begin(self, *, known: bool = False) -> bool:
        """Read the first page, and say whether the stream is there with all that came after the place.

        Args:
            known: It is there, though perhaps without an event yet.
        """
        self._ahead = await self.page()
        return not self.lost and (known or bool(self._ahead) or self._place > 0)

    async def page(self) -> bytes:
        """Return what comes next, as it is sent; empty if nothing has come yet, or nothing more will."""
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            return ahead
        if self.over:
            return b""
        while True:
            asked = self._count + 1
            entries = await self._read(max(self._place - 1, 0), asked)
            if entries:
                self._count = min(PAGE, max(PAGE_BYTES // max(len(entry.data) for entry in entries), 1))
            elif self._place > 0:  # the event at the place itself has gone
                self.over = self.lost = True
            events = b"".join(self._events(entries))
            if events or self.over or len(entries) < asked:
                return events

    @property
    def next(self) -> int:
        """The number of the event that comes next."""
        return self._shown + 1

    async def written(self) -> Written | None:
        """Return who writes this answer's stream; None if that is kept no longer."""
        for entry in await self._read(0, 1):
            with suppress(Unreadable, msgspec.DecodeError):
                return msgspec.json.decode(self._data(entry), type=Written)
        return None

    async def _read(self, after: int, count: int) -> list[LogEntry]:
        return await self._manager.store.events.read(self._ref, self.cursor.stream, after=after, count=count)

    def _events(self, entries: Sequence[LogEntry]) -> Iterator[bytes]:
        for entry in entries:
            number = number_of(entry.data[:HEAD_BYTES]) or entry.seq
            if number > self._shown + 1:
                self.over = self.lost = True
                return
            if number > self._shown:
                try:
                    yield self._event(entry, number)
                except Unreadable:  # as if it were kept no longer
                    self.over = self.lost = True
                    return
                self._shown = number
            self._place = entry.seq
            if entry.data[:1] == LAST:
                self.over = True
                return

    def _event(self, entry: LogEntry, number: int) -> bytes:
        data, id = self._data(entry), Cursor(self.cursor.stream, number).id  # noqa: A001
        if entry.data[:1] == BLOCK:
            return b"id: %b\n%b" % (id.encode(), data) if self._named else data
        return sse.event(data, id=id) if number > 1 else b""  # the first of an answer has been sent when it began

    def _data(self, entry: LogEntry) -> bytes:
        return opened(self._manager, self._ref, self.cursor.stream, entry.data)


async def rest(replay: Replay, bell: Bell, quiet: float) -> AsyncIterator[bytes]:
    """Yield what comes next, up to the end; a comment whenever nothing has come for `quiet` seconds.

    While the store is out of reach, comments come once a second (E26).
    """
    while True:
        try:
            events = await replay.page()
        except StoreUnavailable:
            yield sse.KEEP_ALIVE
            await anyio.sleep(STORE_DOWN_S)
            continue
        if events:
            yield events
        if replay.over:
            return
        if not events and not await bell.wait(quiet):
            yield sse.KEEP_ALIVE
