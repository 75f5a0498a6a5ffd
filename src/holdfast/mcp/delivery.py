"""The way to a session's own streams from any worker: a message goes to one of them, a fact of the session to all.

A message is kept as an event of its stream, and whoever serves that stream reads it there: it is sent once, and again
only to who comes back for it. It is for the newest stream; of several, for the newest whose worker is there. Without a
connection it is for the stream that was opened last: its client may come back. Facts of the session are letters to who
serves it now; they travel sealed, since they may hold the session's id (E4).
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
from holdfast.errors import SessionNotFound
from holdfast.mcp.inbox import Inbox
from holdfast.mcp.journal import BLOCK, EventStore, head_of, own_streams, topic_of
from holdfast.mcp.kinds import STREAM
from holdfast.mcp.replay import Bell

WORKER: Final = "worker"
NAME: Final = "stream"

Take = Callable[[bytes, str], Awaitable[None]]


class _Letter(msgspec.Struct, frozen=True, array_like=True):
    """Events to send, and the fresh id of a session that has got one, for the streams that name it."""

    events: bytes
    session_id: str = ""


class Delivery:
    """Sends to the streams of sessions, and receives for those served here."""

    def __init__(self, manager: Manager, inbox: Inbox, events: EventStore, *, single: bool) -> None:
        self._manager, self._inbox, self._events, self._single = manager, inbox, events, single

    async def push(self, session: Ref, event: bytes) -> None:
        """Send an event on one stream of a session; one that has never had a stream does not get it.

        Raises:
            StoreUnavailable: It is not known to be sent.
        """
        connections = await self._connections(session)
        names = [str(connection.content[NAME]) for connection in connections]
        if self._single and names:
            await self._add(session, names[0], event, names)
        elif not await self._sent(session, connections, event):
            try:
                names = [*own_streams(await self._manager.get(session))]
            except SessionNotFound:
                return
            if names:
                await self._add(session, names[0], event, names)

    async def send(self, session: Ref, event: bytes) -> bool:
        """Send an event on the newest stream of a session that somebody serves; say whether there is one."""
        return await self._sent(session, await self._connections(session), event)

    async def tell_all(self, session: bytes, events: bytes, *, session_id: str = "") -> None:
        """Send a fact of a session to all its streams."""
        letter = self._manager.keys.seal(msgspec.msgpack.encode(_Letter(events, session_id)), _bound_to(session))
        await self._manager.store.channel.publish(_topic(session), letter)

    @asynccontextmanager
    async def heard(self, session: Session, stream: str, take: Take) -> AsyncIterator[Bell]:
        """Ring when a stream may have got events; hand facts of its session to `take(events, session_id)`."""
        bell, facts = Bell(), _topic(session.key)

        async def open_letter(message: Message) -> None:
            if message.topic != facts:
                bell.ring()
                return
            try:
                plain = self._manager.keys.open(message.data, _bound_to(session.key))
            except Unreadable:
                return
            letter = msgspec.msgpack.decode(plain, type=_Letter)
            await take(letter.events, letter.session_id)

        async def hear(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            topics, channel = [topic_of(stream), facts], self._manager.store.channel
            await listen(channel, topics, open_letter, back=bell.ring, task_status=task_status)

        async with anyio.create_task_group() as tasks:
            await tasks.start(hear)
            yield bell
            tasks.cancel_scope.cancel()

    async def _sent(self, session: Ref, connections: list[Session], event: bytes) -> bool:
        names = [str(connection.content[NAME]) for connection in connections]
        for connection, name in zip(connections, names, strict=True):
            if await self._inbox.holds(str(connection.content[WORKER]), connection.key):
                await self._add(session, name, event, names)
                return True
        return False

    async def _connections(self, session: Ref) -> list[Session]:
        """Return the connections on which a session's streams are served, the newest first."""
        nodes = [node for node in await self._manager.children(session, STREAM) if NAME in node.content]
        return sorted(nodes, key=lambda node: node.record.created_at, reverse=True)

    async def _add(self, session: Ref, stream: str, event: bytes, own: list[str]) -> None:
        await self._events.add(session, stream, head_of(BLOCK), event, own=own)


def _topic(session: bytes) -> str:
    return f"mcp.stream.{session.hex()}"


def _bound_to(session: bytes) -> bytes:
    return b"mcp.stream" + session
