"""The events of streams, kept so that a client whose connection broke gets the rest at any worker.

An event id is the stream's random name and the event's number. Kept below the session's node, events go with it, and
within it they are bounded: by their count, their bytes and their age. They are sealed: an answer may have the id of a
session in it. `replay` reads them.

The stream of an answer begins with an event without data: it gives the client a place to come back to (SEP-1699). It
is dropped half a minute after it was received to its end: a connection may have been lost without a sign.

While the store is out of reach events wait, up to 256 KiB (E26). One whose append was not answered is appended again:
if the store has it twice, both have the same number, and readers pass over the second.
"""

import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final
from weakref import WeakSet, WeakValueDictionary

import anyio
import msgspec
from anyio.abc import TaskGroup

from holdfast.core.manager import Manager
from holdfast.core.model import Ref
from holdfast.core.session import Session
from holdfast.errors import StoreUnavailable
from holdfast.mcp import sse

logger = logging.getLogger(__name__)

RETRY_MS: Final = 1000
WAITING_BYTES: Final = 256 * 1024
LINGER_S: Final = 30.0
MOST_LINGERING: Final = 10_000
MORE: Final = b"m"
LAST: Final = b"l"
BLOCK: Final = b"b"  # what is kept is not data but an event as it is sent, without its id
HEAD_BYTES: Final = 5  # which of these, and the number; 0 is that which the store gives
OWN: Final = "streams"  # the key in a session's content: the names of its own streams, the newest first
OWN_PREFIX: Final = "s"  # of the names of such streams


LetGo = Callable[[], Awaitable[object]]


class Bounds(msgspec.Struct, frozen=True):
    """What is kept of the events of one session: `count` of them, `size` bytes in all, for `age` seconds."""

    count: int = 5000
    size: int = 4 * 1024 * 1024
    age: float = 3600.0

    def due(self, number: int, size: int) -> bool:
        """Say whether to see to the bounds after the event with this number: each 64th, and each that is large."""
        return number % min(64, self.count // 8 + 1) == 0 or size > self.size // 256


class Written(msgspec.Struct, frozen=True, array_like=True):
    """What the first event of an answer's stream says instead of data: who writes it, in answer to which request."""

    worker: str
    request: int | str | None


class Serving:
    """One connection on which this process sends a stream; the later somebody came back for it, the higher its rank."""

    __slots__ = ("__weakref__", "let_go", "outranked", "rank", "rivals")

    def __init__(self, let_go: LetGo, rank: int | None, rivals: "_Rivals") -> None:
        self.let_go, self.rank = let_go, rank  # None: it is being asked for
        self.outranked = 0
        self.rivals = rivals
        rivals.all.add(self)

    def loses_to(self, rank: int) -> bool:
        """Note a connection of another rank, and say whether it takes the place of this one."""
        self.outranked = max(self.outranked, rank)
        return self.rank is not None and self.rank < self.outranked


class _Rivals:
    """The connections on which this process sends one stream: one, but while another takes its place."""

    __slots__ = ("__weakref__", "all")

    def __init__(self) -> None:
        self.all: WeakSet[Serving] = WeakSet()


class EventStore:
    """The kept events of all sessions, and who sends them here."""

    def __init__(self, manager: Manager, bounds: Bounds | None = None) -> None:
        self.manager, self.bounds = manager, bounds or Bounds()
        self._serving: WeakValueDictionary[str, _Rivals] = WeakValueDictionary()  # as long as one of them is there
        self._tasks: TaskGroup | None = None
        self._received: deque[tuple[float, Ref, str]] = deque()
        self._some = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Drop streams some time after they were received, until the block ends."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._forget_received)
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                tasks.cancel_scope.cancel()

    async def add(self, ref: Ref, stream: str, head: bytes, data: bytes, *, own: Sequence[str] = ()) -> int:
        """Keep an event and tell who waits for it; return its number in the store.

        Args:
            own: The session's own streams: whatever the bounds, nobody who has read them to their end is left behind.

        Raises:
            StoreUnavailable: It is not known to be kept.
            SessionEnded: Nobody can come back to this stream any more.
        """
        manager = self.manager
        entry = sealed(manager, ref, stream, head, data)
        number = await manager.store.events.append(ref, stream, entry, now=manager.clock())
        with suppress(StoreUnavailable):  # who reads elsewhere looks again by itself
            await manager.store.channel.publish(topic_of(stream))
        if self.bounds.due(number, len(data)):
            await self.prune(ref, own)
        return number

    async def prune(self, ref: Ref, own: Sequence[str]) -> None:
        """Drop what is too much or too old of a session's events."""
        bounds, manager = self.bounds, self.manager
        with suppress(StoreUnavailable):  # the next one does
            await manager.store.events.prune(
                ref, count=bounds.count, size=bounds.size, before=manager.clock() - bounds.age, spare=own
            )

    async def forget(self, ref: Ref, stream: str) -> None:
        """Drop a stream: nobody comes back for it."""
        with suppress(StoreUnavailable):  # then it goes with the session, or by its bounds
            await self.manager.store.events.trim(ref, stream)

    def forget_later(self, ref: Ref, stream: str) -> None:
        """Drop a stream that seems to have been received, unless the server stops before: then its bounds do."""
        if len(self._received) < MOST_LINGERING:
            self._received.append((anyio.current_time() + LINGER_S, ref, stream))
            self._some.set()

    def served(self, stream: str, let_go: LetGo, *, rank: int | None = 0) -> Serving:
        """Note that this process sends a stream, for as long as what is returned is there.

        `let_go` is called when a connection of a higher rank sends it, here or elsewhere.
        """
        rivals = self._serving.get(stream)
        if rivals is None:
            rivals = self._serving[stream] = _Rivals()
        return Serving(let_go, rank, rivals)

    def streams(self) -> list[str]:
        """Return the names of the streams that this process sends."""
        return list(self._serving)

    def outranked(self, stream: str, rank: int) -> None:
        """Close the connections of a lower rank on which this process sends a stream."""
        rivals = self._serving.get(stream)
        if rivals is None:
            return
        for connection in [*rivals.all]:
            if connection.loses_to(rank):
                rivals.all.discard(connection)
                self._close(connection)

    def _close(self, connection: Serving) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(_closed, connection)

    async def _forget_received(self) -> None:
        while True:
            await self._some.wait()
            self._some = anyio.Event()
            while self._received:
                due, ref, stream = self._received[0]
                await anyio.sleep_until(due)
                self._received.popleft()
                await self.forget(ref, stream)


class Journal:
    """The events of the stream of one answer, as they are written.

    Args:
        worker: The address of this process.
        request: The id of the request that is answered.
    """

    def __init__(
        self,
        store: EventStore,
        session: Session,
        *,
        worker: str = "",
        request: int | str | None = None,
        retry_ms: int = RETRY_MS,
    ) -> None:
        self._store, self._session, self._retry_ms = store, session, retry_ms
        self._written = Written(worker, request)
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
        self.add(msgspec.json.encode(self._written))  # JSON: the id of a request may be an integer of any size

    def add(self, data: bytes, *, last: bool = False) -> None:
        """Let an event wait to be kept. The last one, the result, always may.

        Raises:
            StoreUnavailable: So many wait already that there is no room for it.
        """
        if not last and self._waiting and self._bytes + len(data) > WAITING_BYTES:
            raise StoreUnavailable(f"more than {WAITING_BYTES} bytes of the stream wait for the store")
        self._number += 1
        self._bytes += len(data)
        self._waiting.append((head_of(LAST if last else MORE, self._number), data))

    async def kept(self) -> AsyncIterator[bytes]:
        """Keep what waits, and yield each event as it is sent once it is kept.

        Raises:
            StoreUnavailable: The rest has to wait on.
            SessionEnded: Nobody can come back to this stream any more.
        """
        while self._waiting:
            head, data = self._waiting[0]
            await self._store.add(self._session.ref, self.stream, head, data, own=own_streams(self._session))
            self._waiting.popleft()
            self._bytes -= len(data)
            yield self._shown(head, data)

    def unkept(self) -> bytes:
        """Return what waits as events without ids, and let nothing wait any more."""
        events = b"".join(sse.message(data) for head, data in self._waiting if number_of(head) > 1)
        self._waiting.clear()
        self._bytes = 0
        return events

    def served(self, let_go: LetGo) -> Serving:
        """Note that the answer's connection sends the stream, until somebody comes back for it."""
        return self._store.served(self.stream, let_go)

    async def close(self, *, received: bool) -> None:
        """Leave the stream to who comes back for it; one that was received is dropped after a while."""
        if received:
            self._store.forget_later(self._session.ref, self.stream)
        else:
            await self._store.prune(self._session.ref, own_streams(self._session))

    def _shown(self, head: bytes, data: bytes) -> bytes:
        number = number_of(head)
        id = f"{self.stream}.{number}"  # noqa: A001
        return sse.event(data, id=id) if number > 1 else sse.priming(id, self._retry_ms)


async def _closed(connection: Serving) -> None:
    try:
        await connection.let_go()
    except Exception:
        logger.exception("a connection could not be closed")  # the next one can


def own_streams(session: Session) -> Sequence[str]:
    """Return the names of a session's own streams, the newest first."""
    names: Sequence[str] = session.content.get(OWN, ())
    return names


def head_of(sort: bytes, number: int = 0) -> bytes:
    """Return what stands before an event's sealed data."""
    return sort + number.to_bytes(HEAD_BYTES - 1, "big")


def number_of(head: bytes) -> int:
    """Return the number in an event's head."""
    return int.from_bytes(head[1:], "big")


def topic_of(stream: str) -> str:
    """Return the topic on which new events of a stream are announced."""
    return f"mcp.journal.{stream}"


def sealed(manager: Manager, ref: Ref, stream: str, head: bytes, data: bytes) -> bytes:
    """Return an event as it is kept."""
    return head + manager.keys.seal(data, _place(ref, stream, head))


def opened(manager: Manager, ref: Ref, stream: str, entry: bytes) -> bytes:
    """Return the data of an event as it is kept; raise Unreadable if no key opens it."""
    return manager.keys.open(entry[HEAD_BYTES:], _place(ref, stream, entry[:HEAD_BYTES]))


def _place(ref: Ref, stream: str, head: bytes) -> bytes:
    """Return what an event is sealed for: it opens in its own place only."""
    return ref.key + stream.encode() + head
