"""The streams of a session that belong to no request: opened by GET, fed from any worker, resumed at any.

A connection is a node below the session, so it is counted without anybody's memory and ends when the session does. A
session has one, in the source's dialect up to three. The node names the worker that serves it. If that worker was
killed, the next GET finds nobody at home and takes the place. Who comes back for a stream takes it over: of several
connections that ask for one stream the newest has it, and the others are closed.

The stream itself is what is kept of it (`journal`), and outlives its connections until another one is opened. While the
store is out of reach a connection stays open, with comments (E26).
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio

from holdfast.core.holding import Running
from holdfast.core.kinds import Limits
from holdfast.core.manager import Manager
from holdfast.core.model import Policy, Reason, Ref, State
from holdfast.core.session import Session
from holdfast.errors import LimitReached, ServerStopping, SessionError, StoreUnavailable
from holdfast.mcp import jsonrpc, session_events, sse
from holdfast.mcp.delivery import NAME, WORKER, Delivery
from holdfast.mcp.exchange import Exchange
from holdfast.mcp.inbox import Inbox
from holdfast.mcp.journal import LAST, OWN, OWN_PREFIX, RETRY_MS, EventStore, Serving, head_of, own_streams
from holdfast.mcp.kinds import STREAM
from holdfast.mcp.outlet import Outlet
from holdfast.mcp.presence import gone
from holdfast.mcp.replay import Bell, Cursor, Replay, cursor_of, rest
from holdfast.mcp.rules import SessionRules
from holdfast.mcp.watch import Watch

Part = Callable[[], Awaitable[None]]

RANK: Final = "rank"
SILENCES: Final = 3  # after which a worker that writes a stream is taken for dead
RIVALS: Final = 16  # that come back for a stream at once, of which each may be faster than the latest
MOST_REMEMBERED: Final = 16  # streams that a client may come back for, where there is no limit to their number


class Streams:
    """The session streams that this process serves, and the way to those of other processes."""

    def __init__(
        self, manager: Manager, inbox: Inbox, events: EventStore, *, keep_alive: float, rules: SessionRules
    ) -> None:
        self._manager, self._inbox, self._events, self._keep_alive = manager, inbox, events, keep_alive
        self._rules = rules
        self._most = rules.most_streams or manager.rules(STREAM)[1].per_parent
        self._limits = Limits(per_parent=self._most, policy=Policy.REJECT)
        self.delivery = Delivery(manager, inbox, events, single=self._most == 1)
        self._open: set[anyio.CancelScope] = set()
        self._closed = False

    async def push(self, session: Ref, data: bytes) -> None:
        """Send a message on one stream of a session, wherever it is served; see `Delivery.push`.

        Raises:
            StoreUnavailable: It is not known to be sent.
        """
        await self.delivery.push(session, sse.message(data))

    async def replay(self, session: Session, last_event_id: str) -> Replay | None:
        """Return what came after an event on its stream; None unless all of it is kept."""
        cursor = cursor_of(last_event_id)
        if cursor is None:
            return None
        replay = Replay(self._events, session.ref, cursor)
        known = cursor.number == 0 and cursor.stream in own_streams(session)
        return replay if await replay.begin(known=known) else None

    async def is_open(self, session: Session) -> bool:
        """Say whether a session has a stream anywhere."""
        return bool(await self._manager.children(session.ref, STREAM))

    def close_all(self) -> None:
        """End every stream served here, so that its client comes back elsewhere."""
        self._closed = True
        for scope in list(self._open):
            scope.cancel()

    async def serve(
        self,
        session: Session,
        exchange: Exchange,
        *,
        greeting: bytes = b"",
        primed: bool = False,
        resumable: bool = True,
        replay: Replay | None = None,
    ) -> None:
        """Serve a stream of a session until the client leaves, the session ends or the server stops.

        Args:
            greeting: What a new connection is told first.
            primed: A new stream begins with an event without data, for a place to come back to.
            resumable: There are places to come back to at all.
            replay: What is left of the stream that the client has come back for; without it a new one begins.

        Raises:
            LimitReached: The session has as many streams as it may; those that it has were told.
        """
        begun, outlet = anyio.Event(), exchange.outlet()
        if replay is None:
            begins = Cursor(OWN_PREFIX + secrets.token_hex(8), 0)
            replay = Replay(self._events, session.ref, begins, named=resumable)
            greeting = _beginning(begins, greeting, primed=primed) if resumable else greeting

        async def take(events: bytes, session_id: str) -> None:
            session.id = session_id or session.id
            await begun.wait()
            await outlet.write(events)

        async with (
            self._place(session, replay.cursor, outlet) as (node, connection),
            self.delivery.heard(session, replay.cursor.stream, take) as bell,
            self.stoppable(outlet),
        ):
            await outlet.write(sse.KEEP_ALIVE + greeting)
            begun.set()
            warnings, keep_alive = self._rules.warnings, self._keep_alive
            watch = Watch(self._manager, session, node, warnings=warnings, keep_alive=keep_alive)
            running = self._manager.running(node, watched=True)
            if await self._ended(running, exchange, [lambda: self._send(replay, bell, outlet, watch)]):
                await outlet.write(await self._farewell(session, replay.cursor, connection))

    async def resume(self, session: Session, exchange: Exchange, replay: Replay) -> None:
        """Send the rest of an answer's stream to a client that has come back for it."""
        outlet = exchange.outlet()
        connection = self._events.served(replay.cursor.stream, outlet.leave, rank=None)
        await self._inbox.take_over(replay.cursor.stream, connection)
        async with self.delivery.heard(session, replay.cursor.stream, _nothing) as bell, self.stoppable(outlet):
            parts = [lambda: self._send_rest(replay, bell, outlet), lambda: self._mind(session, replay)]
            await self._ended(self._manager.running(session), exchange, parts)

    @asynccontextmanager
    async def stoppable(self, outlet: Outlet) -> AsyncIterator[None]:
        """Begin a stream, and end it with the block, when its session ends, the server stops or nobody takes it."""
        scope = anyio.CancelScope()
        self._open.add(scope)
        if self._closed or outlet.closed:
            scope.cancel()  # the server was told to stop, or the client came back once more, while this was prepared
        outlet.closed, outlet.when_closed = False, scope.cancel
        try:
            await outlet.start(sse.HEADERS)
            with scope:
                yield
        except SessionError:
            pass  # ended: so does the stream
        finally:
            self._open.discard(scope)
        with anyio.CancelScope(shield=True):
            await outlet.end()

    async def _ended(self, running: Running, exchange: Exchange, parts: Sequence[Part]) -> bool:
        """Serve until a part is done, a session ends or the client leaves; say whether it was a session."""
        ended = False

        async def run(part: Part) -> None:
            nonlocal ended
            try:
                await part()
            except SessionError:
                ended = True
            tasks.cancel_scope.cancel()

        try:
            async with running, anyio.create_task_group() as tasks:
                for part in parts:
                    tasks.start_soon(run, part)
                await gone(exchange.receive)
                tasks.cancel_scope.cancel()
        except SessionError:
            return True
        return ended

    async def _send(self, replay: Replay, bell: Bell, outlet: Outlet, watch: Watch) -> None:
        """Send a session's stream, for as long as it has a place."""
        due = anyio.current_time() + watch.pause()
        while not replay.over:
            events = b""
            with suppress(StoreUnavailable):
                events = await replay.page()
            if events:
                await outlet.write(events)
            left = due - anyio.current_time()
            if left <= 0 or not (events or await bell.wait(left)):
                said = await watch.look()
                if said is None:
                    return
                await outlet.write(said)
                due = anyio.current_time() + watch.pause()
        await watch.look()  # perhaps nothing is kept any more because the session is not

    async def _send_rest(self, replay: Replay, bell: Bell, outlet: Outlet) -> None:
        """Send the rest of an answer's stream."""
        async for events in rest(replay, bell, self._keep_alive):
            await outlet.write(events)

    async def _mind(self, session: Session, replay: Replay) -> None:
        """Write the last event of an answer's stream if its worker has died: an error."""
        with suppress(StoreUnavailable):
            written = await replay.written()
            if written is not None and written.request is not None and await self._died(written.worker):
                lost = ServerStopping("the worker that ran the call has died; whether it was carried out is not known")
                error = jsonrpc.error(written.request, lost.status, str(lost), {"code": lost.code, "hint": lost.hint})
                await self._events.add(session.ref, replay.cursor.stream, head_of(LAST, replay.next), error)
        await anyio.sleep_forever()  # until the rest was sent

    async def _died(self, worker: str) -> bool:
        """Wait for a worker to die, and return True."""
        silences = 0
        while silences < SILENCES:
            await anyio.sleep(self._keep_alive)
            with suppress(StoreUnavailable):
                silences = 0 if await self._inbox.is_there(worker) else silences + 1
        return True

    async def _farewell(self, session: Session, cursor: Cursor, connection: Serving) -> bytes:
        """Return the last event of a stream: none if its client has come back, else why the session is no more."""
        reason = Reason.EXPIRED
        with suppress(StoreUnavailable):
            if await self._inbox.outranked(cursor.stream, connection):
                return b""
            stored = await self._manager.current(session.ref)
            if stored is not None and stored.state is not State.LIVE and stored.reason is not None:
                reason = stored.reason
        return session_events.expired(session, reason.value)

    @asynccontextmanager
    async def _place(self, session: Session, cursor: Cursor, outlet: Outlet) -> AsyncIterator[tuple[Session, Serving]]:
        """Take one of the session's places for a connection; who comes back for a stream takes it from who had it."""
        resumed = cursor.number > 0 or cursor.stream in own_streams(session)
        connection = self._events.served(cursor.stream, outlet.leave, rank=None if resumed else 0)
        if resumed:
            await self._inbox.take_over(cursor.stream, connection)
            node = await self._retaken(session, cursor.stream, connection.rank or 0)
        else:
            node = await self._occupied(session, cursor.stream)
        self._inbox.held.add(node.key)
        try:
            if not resumed:
                await self._remember(session, cursor.stream)
            yield node, connection
        finally:
            self._inbox.held.discard(node.key)
            with anyio.CancelScope(shield=True), suppress(StoreUnavailable):  # then it ends by its idle clock
                await self._manager.end(node, Reason.CLIENT)

    async def _retaken(self, session: Session, stream: str, rank: int) -> Session:
        """Take the place of those who have the stream; only who came back later keeps it."""
        for _ in range(RIVALS):
            nodes = await self._manager.children(session.ref, STREAM)
            mine = [node for node in nodes if node.content.get(NAME) == stream]
            outranked = [node for node in mine if node.content.get(RANK, 0) < rank]
            for node in outranked:
                await self._manager.end(node, Reason.REPLACED)
            if self._most and len(nodes) - len(outranked) >= self._most:
                break
            with suppress(LimitReached):  # one that came back earlier was faster now, and has to go as well
                return await self._occupy(session, stream, rank)
        return await self._occupied(session, stream, rank)

    async def _occupied(self, session: Session, stream: str, rank: int = 0) -> Session:
        try:
            return await self._occupy(session, stream, rank)
        except LimitReached:
            if not await self._evict_dead(session):
                limit = session_events.told(session, session_events.LIMIT, session_events.limit_data(session.id))
                if limit:
                    await self.delivery.tell_all(session.key, limit)
                raise
            return await self._occupy(session, stream, rank)

    async def _occupy(self, session: Session, stream: str, rank: int) -> Session:
        return await self._manager.open(
            STREAM,
            {WORKER: self._inbox.address, NAME: stream, RANK: rank},
            parent=session,
            owner=session.owner,
            named=False,
            limits=self._limits,
        )

    async def _evict_dead(self, session: Session) -> bool:
        """End connections whose worker does not answer; say whether there was one."""
        dead = False
        for node in await self._manager.children(session.ref, STREAM):
            if not await self._inbox.holds(str(node.content.get(WORKER)), node.key):
                dead = await self._manager.end(node, Reason.BACKEND_GONE) or dead
        return dead

    async def _remember(self, session: Session, stream: str) -> None:
        """Note a new stream in the session; what is kept of one that nobody may come back for any more is dropped."""

        def added(key: str, theirs: Any, ours: Any) -> Any:
            return [stream, *(theirs or ())][: self._most or MOST_REMEMBERED]

        before = own_streams(session)
        names = added(OWN, before, None)
        await self._manager.merge(session, {OWN: names}, on_conflict=added)
        for name in set(before) - set(names):
            await self._events.forget(session.ref, name)


def _beginning(begins: Cursor, greeting: bytes, *, primed: bool) -> bytes:
    """Return how a new stream begins: with the first place to come back to, in the way its client takes that."""
    if primed:
        return sse.priming(begins.id, RETRY_MS) + greeting
    return b"id: %b\n%b" % (begins.id.encode(), greeting) if greeting else b""


async def _nothing(events: bytes, session_id: str) -> None:
    """Facts of a session are told on its own streams only."""
