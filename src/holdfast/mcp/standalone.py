"""The stream of a session that belongs to no request: opened by GET, fed from any worker, one per session.

It is a node below the session, so it is counted without anybody's memory and ends when the session does. The node
names the worker that serves it. If that worker was killed, the next GET finds nobody at home and takes the place.
While the store is out of reach the stream stays open, with comments (E26).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio

from holdfast._asgi import Receive, Send
from holdfast.core.manager import Manager
from holdfast.core.model import Message, Reason
from holdfast.core.session import Session
from holdfast.core.together import listen
from holdfast.errors import LimitReached, SessionError, SessionNotFound, StoreUnavailable
from holdfast.mcp import sse
from holdfast.mcp.inbox import Inbox
from holdfast.mcp.kinds import STREAM
from holdfast.mcp.presence import gone

WORKER: Final = "worker"


class Streams:
    """The session streams that this process serves, and the way to those of other processes."""

    def __init__(self, manager: Manager, inbox: Inbox, *, keep_alive: float) -> None:
        self._manager, self._inbox, self._keep_alive = manager, inbox, keep_alive
        self._open: set[anyio.CancelScope] = set()
        self._closed = False

    async def push(self, session: bytes, data: bytes) -> None:
        """Send a message on the stream of a session, wherever it is served. Without a stream it is lost.

        Raises:
            StoreUnavailable: It was not sent: such messages are not kept anywhere.
        """
        await self._manager.store.channel.publish(_topic(session), data)

    async def is_open(self, session: Session) -> bool:
        """Say whether a session has a stream anywhere."""
        return bool(await self._manager.children(session.ref, STREAM))

    def close_all(self) -> None:
        """End every stream served here, so that its client comes back elsewhere."""
        self._closed = True
        for scope in list(self._open):
            scope.cancel()

    async def serve(self, session: Session, receive: Receive, send: Send) -> None:
        """Serve a session's stream until the client leaves, the session ends or the server stops.

        Raises:
            LimitReached: The session has a stream already.
        """
        begun = anyio.Event()

        async def pump(message: Message) -> None:
            await begun.wait()
            await write(send, sse.message(message.data))

        async with self._place(session) as node, anyio.create_task_group() as tasks:
            await tasks.start(listen, self._manager.store.channel, [_topic(session.key)], pump)
            async with self.stoppable(send):
                await write(send, sse.KEEP_ALIVE)
                begun.set()
                await self._serve(session, node, receive, send)
            tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def stoppable(self, send: Send) -> AsyncIterator[None]:
        """Begin a stream, and end it with the block, when its session ends or when the server stops."""
        scope = anyio.CancelScope()
        self._open.add(scope)
        if self._closed:
            scope.cancel()  # the server was told to stop while this request looked for its session
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*sse.HEADERS]})
            with scope:
                yield
        except SessionError:
            pass  # ended: so does the stream
        finally:
            self._open.discard(scope)
        with anyio.CancelScope(shield=True):
            await write(send, b"", more=False)

    async def _serve(self, session: Session, node: Session, receive: Receive, send: Send) -> None:
        async with self._manager.running(node), anyio.create_task_group() as tasks:
            tasks.start_soon(self._beat, session, send, tasks.cancel_scope)
            await gone(receive)
            tasks.cancel_scope.cancel()

    async def _beat(self, session: Session, send: Send, scope: anyio.CancelScope) -> None:
        """Send comments, and record the session's use: an open stream counts as one (E7)."""
        while True:
            await anyio.sleep(self._keep_alive)
            try:
                with suppress(StoreUnavailable):
                    await self._manager.get(session.ref, touch=True)
            except SessionNotFound:
                scope.cancel()
                return
            await write(send, sse.KEEP_ALIVE)

    @asynccontextmanager
    async def _place(self, session: Session) -> AsyncIterator[Session]:
        """Take the session's one place for a stream."""
        try:
            node = await self._occupy(session)
        except LimitReached:
            if not await self._evict_dead(session):
                raise
            node = await self._occupy(session)
        self._inbox.held.add(node.key)
        try:
            yield node
        finally:
            self._inbox.held.discard(node.key)
            with anyio.CancelScope(shield=True), suppress(StoreUnavailable):  # then it ends by its idle clock
                await self._manager.end(node, Reason.CLIENT)

    async def _occupy(self, session: Session) -> Session:
        return await self._manager.open(
            STREAM, {WORKER: self._inbox.address}, parent=session, owner=session.owner, named=False
        )

    async def _evict_dead(self, session: Session) -> bool:
        """End streams whose worker does not answer; say whether there was one."""
        dead = False
        for node in await self._manager.children(session.ref, STREAM):
            if not await self._inbox.holds(str(node.content.get(WORKER)), node.key):
                dead = await self._manager.end(node, Reason.BACKEND_GONE) or dead
        return dead


async def write(send: Send, data: bytes, *, more: bool = True) -> None:
    """Send a piece of a stream. Nobody may be there any more: servers drop it or raise OSError, both are fine."""
    try:
        await send({"type": "http.response.body", "body": data, "more_body": more})
    except OSError:
        return


def _topic(session: bytes) -> str:
    return f"mcp.stream.{session.hex()}"
