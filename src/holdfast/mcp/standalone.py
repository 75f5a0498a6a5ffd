"""The stream of a session that belongs to no request: opened by GET, fed from any worker.

It is a node below the session, so it is counted without anybody's memory and ends when the session does. A session
has one, in the source's dialect up to three. The node names the worker that serves it. If that worker was killed, the
next GET finds nobody at home and takes the place. While the store is out of reach the stream stays open, with
comments (E26).

Whoever serves a stream watches the session's clock: it warns, and says that the session has expired, without a request.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import Final

import anyio
import msgspec

from holdfast._asgi import Receive, Send
from holdfast.core.kinds import Limits
from holdfast.core.manager import Manager
from holdfast.core.model import Policy, Reason, Ref, State
from holdfast.core.session import Session
from holdfast.errors import LimitReached, SessionConflict, SessionError, StoreUnavailable
from holdfast.mcp import session_events, sse
from holdfast.mcp.delivery import Delivery
from holdfast.mcp.inbox import Inbox
from holdfast.mcp.kinds import SESSION, STREAM
from holdfast.mcp.presence import gone
from holdfast.mcp.rules import SessionRules

WORKER: Final = "worker"


class Streams:
    """The session streams that this process serves, and the way to those of other processes."""

    def __init__(self, manager: Manager, inbox: Inbox, *, keep_alive: float, rules: SessionRules) -> None:
        self._manager, self._inbox, self._keep_alive, self._rules = manager, inbox, keep_alive, rules
        most = rules.most_streams or manager.rules(STREAM)[1].per_parent
        self._limits = Limits(per_parent=most, policy=Policy.REJECT)
        self.delivery = Delivery(manager, inbox, single=most == 1)
        self._open: set[anyio.CancelScope] = set()
        self._closed = False

    async def push(self, session: Ref, data: bytes) -> None:
        """Send a message on one stream of a session, wherever it is served. Without a stream it is lost.

        Raises:
            StoreUnavailable: It was not sent: such messages are not kept anywhere.
        """
        await self.delivery.push(session, sse.message(data))

    async def is_open(self, session: Session) -> bool:
        """Say whether a session has a stream anywhere."""
        return bool(await self._manager.children(session.ref, STREAM))

    def close_all(self) -> None:
        """End every stream served here, so that its client comes back elsewhere."""
        self._closed = True
        for scope in list(self._open):
            scope.cancel()

    async def serve(self, session: Session, receive: Receive, send: Send, *, greeting: bytes = b"") -> None:
        """Serve a stream of a session until the client leaves, the session ends or the server stops.

        Raises:
            LimitReached: The session has as many streams as it may; those that it has were told.
        """
        begun = anyio.Event()

        async def take(events: bytes, session_id: str) -> None:
            session.id = session_id or session.id
            await begun.wait()
            await write(send, events)

        async with self._place(session) as node, self.delivery.received(session, node, take), self.stoppable(send):
            await write(send, sse.KEEP_ALIVE + greeting)
            begun.set()
            if await self._ended_first(session, node, receive, send):
                await write(send, session_events.expired(session, await self._why(session)))

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

    async def _ended_first(self, session: Session, node: Session, receive: Receive, send: Send) -> bool:
        """Serve until the session ends or the client leaves; say whether it was the session."""
        ended = False

        async def watch() -> None:
            nonlocal ended
            with suppress(SessionError):
                await self._watch(session, send)
            ended = True
            tasks.cancel_scope.cancel()

        try:
            async with self._manager.running(node), anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                await gone(receive)
                tasks.cancel_scope.cancel()
        except SessionError:
            return True
        return ended

    async def _watch(self, session: Session, send: Send) -> None:
        """Show that the stream is alive, record the session's use (E7), and warn of its end; raise when it has come."""
        warned: set[tuple[float, float]] = set()
        while True:
            await anyio.sleep(self._pause(session, warned))
            news = b""
            with suppress(StoreUnavailable):
                await self._look(session)
                news = await self._warning(session, warned)
            await write(send, news or sse.KEEP_ALIVE)

    def _pause(self, session: Session, warned: set[tuple[float, float]]) -> float:
        record, now = session.record, self._manager.clock()
        end = session_events.end_of(record)
        thresholds = [threshold for threshold in self._rules.warnings if (threshold, end) not in warned]
        if session_events.crossed(record, thresholds, now):
            return 0.0
        return min(session_events.quiet_for(record, thresholds, now), self._keep_alive, (record.idle or inf) / 4)

    async def _look(self, session: Session) -> None:
        """Read the session anew, and record that it is used.

        An open stream keeps the session from ending by idleness. It does not extend a sliding session: a request does,
        so that a client that only listens is warned, and asked to show that somebody is there.
        """
        sliding = session.record.sliding is not None
        fresh = await self._manager.get(session.ref, touch=not sliding)
        session.record, session.content = fresh.record, fresh.content
        if sliding:
            await self._keep_from_idling(fresh)

    async def _keep_from_idling(self, session: Session) -> None:
        """Record a use that lies so far back that the next request's is recorded as well, and extends the session."""
        record, now, after = session.record, self._manager.clock(), self._manager.rules(SESSION)[0].touch_after
        if record.idle is None or after is None or now - record.used_at < 2 * after:
            return
        session.record = msgspec.structs.replace(record, used_at=now - after)
        with suppress(SessionConflict):  # somebody else has just written it
            await self._manager.save(session)

    async def _warning(self, session: Session, warned: set[tuple[float, float]]) -> bytes:
        """Return the warning that is due; nothing if another stream, or an earlier one, had it."""
        now, end = self._manager.clock(), session_events.end_of(session.record)
        due = [(one, end) for one in session_events.crossed(session.record, self._rules.warnings, now)]
        fresh = [one for one in due if one not in warned]
        warned.update(fresh)
        names = [f"mcp.warned.{session.key.hex()}.{threshold:g}.{end:.3f}" for threshold, end in fresh]
        counters = self._manager.store.counters
        first = [await counters.once(name, now=now, ttl=max(end - now, 0.0) + self._keep_alive) for name in names]
        return session_events.warning(session, end - now) if any(first) else b""

    async def _why(self, session: Session) -> str:
        """Return why a session is no more, in the words of the tree."""
        with suppress(StoreUnavailable):
            stored = await self._manager.current(session.ref)
            if stored is not None and stored.state is not State.LIVE and stored.reason is not None:
                return stored.reason.value
        return Reason.EXPIRED.value

    @asynccontextmanager
    async def _place(self, session: Session) -> AsyncIterator[Session]:
        """Take one of the session's places for a stream."""
        try:
            node = await self._occupy(session)
        except LimitReached:
            if not await self._evict_dead(session):
                limit = session_events.told(session, session_events.LIMIT, session_events.limit_data(session.id))
                if limit:
                    await self.delivery.tell_all(session.key, limit)
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
            STREAM,
            {WORKER: self._inbox.address},
            parent=session,
            owner=session.owner,
            named=False,
            limits=self._limits,
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
