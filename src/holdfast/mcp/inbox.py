"""What workers tell each other: answers of clients, withdrawn requests, who sends a stream.

The answer to a question may be posted to any worker. The question's id names the worker that asked, so whoever gets
the answer knows where to send it; that worker checks that it came from the session that was asked.
"""

import itertools
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import msgspec
from anyio.abc import TaskStatus

from holdfast.core.manager import Manager
from holdfast.core.model import Message
from holdfast.core.together import listen
from holdfast.errors import StoreUnavailable
from holdfast.mcp import jsonrpc
from holdfast.mcp.dispatch import NoWayBack
from holdfast.mcp.journal import EventStore, Serving
from holdfast.mcp.jsonrpc import Incoming, RequestId, RpcError
from holdfast.mcp.protocol import INTERNAL_ERROR

logger = logging.getLogger(__name__)

WITHDRAWN_TOPIC: Final = "mcp.withdrawn"
TAKEN_TOPIC: Final = "mcp.taken"
ANSWER_S: Final = 300.0  # how long a client may take to answer if the asker does not say
PROBE_S: Final = 1.0
ANYBODY: Final = b""  # the question is whether the worker is there at all
RANKS_S: Final = 86_400.0  # longer than any session
RANKS_AT_ONCE: Final = 500
ADDRESS_DIGITS: Final = 16


class _Note(msgspec.Struct, frozen=True, array_like=True):
    """What one worker sends another. `about` is the key of a session or a stream, `id` a question's, or a rank."""

    about: bytes
    id: RequestId = ""
    result: bytes | None = None
    error: bytes | None = None
    reply_to: str = ""  # the note is a question: is this stream held by you?


class _Error(msgspec.Struct, frozen=True):
    code: int
    message: str = ""
    data: Any = None


class _Waiting:
    __slots__ = ("about", "arrived", "note")

    def __init__(self, about: bytes) -> None:
        self.about, self.arrived = about, anyio.Event()
        self.note: _Note | None = None


class Inbox:
    """This worker's letter box.

    Args:
        withdraw: Called with a session's key and a request's id when a client withdraws a request.
        events: Knows which streams are sent here.
    """

    def __init__(self, manager: Manager, withdraw: Callable[[bytes, RequestId], object], events: EventStore) -> None:
        self._manager, self._withdraw, self._events = manager, withdraw, events
        self.address = secrets.token_hex(ADDRESS_DIGITS // 2)
        self.held: set[bytes] = set()  # keys of the stream nodes that this worker serves
        self._numbers = itertools.count(1)
        self._waiting: dict[str, _Waiting] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Take letters until the block ends."""
        topics = (_topic(self.address), WITHDRAWN_TOPIC, TAKEN_TOPIC)
        async with anyio.create_task_group() as tasks:

            async def hear(*, task_status: TaskStatus[None]) -> None:
                def back() -> None:
                    tasks.start_soon(self._look_for_takers)

                await listen(self._manager.store.channel, topics, self._read, back=back, task_status=task_status)

            await tasks.start(hear)
            yield
            tasks.cancel_scope.cancel()

    async def ask(
        self,
        session: bytes,
        deliver: Callable[[bytes], Awaitable[bool]],
        method: str,
        params: object,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Ask a client, and return its result.

        Args:
            session: The key of the session that may answer.
            deliver: Sends the question; False if there is no way.

        Raises:
            NoWayBack: It could not be sent.
            RpcError: The client answered with an error, or not within `timeout` seconds.
        """
        with self._expecting(session) as (number, waiting):
            if not await deliver(jsonrpc.request(number, method, params)):
                raise NoWayBack(method)
            limit = ANSWER_S if timeout is None else timeout
            with anyio.move_on_after(limit):
                await waiting.arrived.wait()
        if waiting.note is None:
            raise RpcError(INTERNAL_ERROR, f"the client has not answered {method} within {limit:g} s")
        return _result(waiting.note)

    async def post(self, session: bytes, message: Incoming) -> None:
        """Pass a client's answer on to the worker that asked. One that nobody waits for is dropped."""
        number = message.id
        if not isinstance(number, str):
            return
        result, error = (None if part is msgspec.UNSET else bytes(part) for part in (message.result, message.error))
        note = _Note(session, number, result, error)
        address = number.partition(".")[0]
        if address == self.address:
            self._take(note)
        elif len(address) == ADDRESS_DIGITS and address.isalnum():
            await self._send(address, note)

    async def withdraw(self, session: bytes, request_id: RequestId) -> None:
        """Tell every worker that a client has withdrawn a request."""
        if not self._withdraw(session, request_id):
            await self._manager.store.channel.publish(
                WITHDRAWN_TOPIC, msgspec.msgpack.encode(_Note(session, request_id))
            )

    async def holds(self, address: str, stream: bytes) -> bool:
        """Ask a worker whether it serves a session's stream; silence for a second means that it does not."""
        return stream in self.held if address == self.address else await self._asked(address, stream)

    async def is_there(self, address: str) -> bool:
        """Ask a worker whether it is alive; silence for a second means that it is not."""
        return address == self.address or await self._asked(address, ANYBODY)

    async def take_over(self, stream: str, connection: Serving) -> None:
        """Let a connection alone send a stream: all others, at whichever worker, are closed."""
        manager = self._manager
        rank = await manager.store.counters.add(f"mcp.rank.{stream}", now=manager.clock(), ttl=RANKS_S)
        connection.rank = rank
        self._events.outranked(stream, max(rank, connection.outranked))
        note = _Note(stream.encode(), rank)
        await manager.store.channel.publish(TAKEN_TOPIC, msgspec.msgpack.encode(note))

    async def outranked(self, stream: str, connection: Serving) -> bool:
        """Say whether a later connection has taken over a stream."""
        [rank] = await self._ranks([stream])
        return rank > (connection.rank or 0)

    async def _look_for_takers(self) -> None:
        """Close what was taken over during an outage, when no letter came that would have said so."""
        streams = self._events.streams()
        with suppress(StoreUnavailable):  # then it is looked again after that outage
            for begin in range(0, len(streams), RANKS_AT_ONCE):
                part = streams[begin : begin + RANKS_AT_ONCE]
                for stream, rank in zip(part, await self._ranks(part), strict=True):
                    self._events.outranked(stream, rank)

    async def _ranks(self, streams: Sequence[str]) -> list[int]:
        names = [f"mcp.rank.{stream}" for stream in streams]
        return await self._manager.store.counters.read(names, now=self._manager.clock())

    async def _asked(self, address: str, about: bytes) -> bool:
        with self._expecting(about) as (number, waiting):
            await self._send(address, _Note(about, number, reply_to=self.address))
            with anyio.move_on_after(PROBE_S):
                await waiting.arrived.wait()
        return waiting.note is not None

    def _expecting(self, about: bytes) -> "_Expectation":
        return _Expectation(self._waiting, f"{self.address}.{next(self._numbers)}", _Waiting(about))

    async def _send(self, address: str, note: _Note) -> None:
        await self._manager.store.channel.publish(_topic(address), msgspec.msgpack.encode(note))

    async def _read(self, letter: Message) -> None:
        try:
            await self._open_letter(letter)
        except Exception:
            logger.exception("a letter of another worker could not be taken")  # the next ones can

    async def _open_letter(self, letter: Message) -> None:
        note = msgspec.msgpack.decode(letter.data, type=_Note)
        if letter.topic == WITHDRAWN_TOPIC:
            self._withdraw(note.about, note.id)
        elif letter.topic == TAKEN_TOPIC:
            self._events.outranked(note.about.decode(), int(note.id))
        elif not note.reply_to:
            self._take(note)
        elif note.about in self.held or note.about == ANYBODY:
            await self._send(note.reply_to, _Note(note.about, note.id))

    def _take(self, note: _Note) -> None:
        waiting = self._waiting.get(str(note.id))
        if waiting is not None and waiting.about == note.about:
            waiting.note = note
            waiting.arrived.set()


class _Expectation:
    """A question that is out, for as long as its block runs."""

    def __init__(self, register: dict[str, _Waiting], number: str, waiting: _Waiting) -> None:
        self._register, self._number, self._waiting = register, number, waiting

    def __enter__(self) -> tuple[str, _Waiting]:
        self._register[self._number] = self._waiting
        return self._number, self._waiting

    def __exit__(self, *_: object) -> None:
        del self._register[self._number]


def _topic(address: str) -> str:
    return f"mcp.inbox.{address}"


def _result(note: _Note) -> dict[str, Any]:
    try:
        if note.error is not None:
            error = msgspec.json.decode(note.error, type=_Error)
            raise RpcError(error.code, error.message, error.data)
        return msgspec.json.decode(note.result or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RpcError(INTERNAL_ERROR, f"the client's answer cannot be read: {exc}") from None
