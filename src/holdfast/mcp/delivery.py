"""The way to a session's own streams from any worker: one of them takes a message, or all hear a fact of the session.

Letters travel sealed, since they may hold the id of a session (E4). A letter for one stream of several is taken when
its worker has written it and said so; while one has not, for it may be dead, the next newer stream gets its chance.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import msgspec

from holdfast.core.manager import Manager
from holdfast.core.model import Message, Ref
from holdfast.core.sealing import Unreadable
from holdfast.core.session import Session
from holdfast.core.together import listen
from holdfast.mcp.inbox import Inbox
from holdfast.mcp.kinds import STREAM

EVERYBODY: Final = b""

Take = Callable[[bytes, str], Awaitable[None]]


class _Letter(msgspec.Struct, frozen=True, array_like=True):
    """Events to write; `to` is the key of the stream that is to take them, `number` is how to say that it did.

    `session_id` is the fresh id of a session that has got one, for the streams that name it.
    """

    events: bytes
    to: bytes = EVERYBODY
    number: str = ""
    session_id: str = ""


class Delivery:
    """Sends letters to the streams of sessions, and receives those for streams served here."""

    def __init__(self, manager: Manager, inbox: Inbox, *, single: bool) -> None:
        self._manager, self._inbox, self._single = manager, inbox, single

    async def push(self, session: Ref, events: bytes) -> None:
        """Send events to one stream of a session. Without a stream they are lost.

        Raises:
            StoreUnavailable: They were not sent: such messages are not kept anywhere.
        """
        if self._single:
            await self._post(session.key, _Letter(events))
        else:
            await self.send(session, events)

    async def send(self, session: Ref, events: bytes) -> bool:
        """Send events to the newest stream of a session that is there; say whether one took them."""
        streams = await self._manager.children(session, STREAM)
        for node in sorted(streams, key=lambda node: node.record.created_at, reverse=True):
            if await self._handed(session.key, node.key, events):
                return True
        return False

    async def tell_all(self, session: bytes, events: bytes, *, session_id: str = "") -> None:
        """Send a fact of a session to all its streams."""
        await self._post(session, _Letter(events, session_id=session_id))

    @asynccontextmanager
    async def received(self, session: Session, node: Session, take: Take) -> AsyncIterator[None]:
        """Hand what is sent to a stream to `take(events, session_id)` until the block ends."""

        async def open_letter(message: Message) -> None:
            try:
                plain = self._manager.keys.open(message.data, _bound_to(session.key))
            except Unreadable:
                return
            letter = msgspec.msgpack.decode(plain, type=_Letter)
            if letter.to in (EVERYBODY, node.key):
                await take(letter.events, letter.session_id)
                if letter.number:
                    await self._inbox.confirm(node.key, letter.number)

        async with anyio.create_task_group() as tasks:
            await tasks.start(listen, self._manager.store.channel, [_topic(session.key)], open_letter)
            yield
            tasks.cancel_scope.cancel()

    async def _handed(self, session: bytes, stream: bytes, events: bytes) -> bool:
        return await self._inbox.confirmed(stream, lambda number: self._post(session, _Letter(events, stream, number)))

    async def _post(self, session: bytes, letter: _Letter) -> None:
        sealed = self._manager.keys.seal(msgspec.msgpack.encode(letter), _bound_to(session))
        await self._manager.store.channel.publish(_topic(session), sealed)


def _topic(session: bytes) -> str:
    return f"mcp.stream.{session.hex()}"


def _bound_to(session: bytes) -> bytes:
    return b"mcp.stream" + session
