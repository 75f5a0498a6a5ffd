"""The clock of a session that somebody listens to: its stream warns of the end and says when it has come."""

from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import Final

import msgspec

from holdfast.core.manager import Manager
from holdfast.core.session import Session
from holdfast.errors import SessionConflict, SessionNotFound, StoreUnavailable
from holdfast.mcp import session_events, sse
from holdfast.mcp.kinds import SESSION

LONGEST_S: Final = 60.0  # between two looks at a session


class Watch:
    """Watches one session for one of its streams.

    Args:
        stream: The node of the stream's connection.
        warnings: Seconds before its end at which the session is warned.
        keep_alive: Seconds after which the stream shows that it is alive.
    """

    def __init__(
        self, manager: Manager, session: Session, stream: Session, *, warnings: Sequence[float], keep_alive: float
    ) -> None:
        self._manager, self._session, self._stream = manager, session, stream
        self._warnings, self._keep_alive = warnings, keep_alive
        self._warned: set[tuple[float, float]] = set()
        self._look_at = 0.0

    async def look(self) -> bytes | None:
        """Record that stream and session are used (E7); return what the stream is to say: a warning, else a comment.

        None: the stream has no place any more, since its use could not be recorded for so long.

        Raises:
            SessionNotFound: The session has ended, or its end has come.
        """
        with suppress(StoreUnavailable):
            try:
                await self._manager.get(self._stream.ref, touch=True)
            except SessionNotFound:
                await self._look()
                return None
            if self._manager.clock() >= self._look_at or self._left() <= 0.0:
                await self._look()
                return await self._warning() or sse.KEEP_ALIVE
        return sse.KEEP_ALIVE

    def pause(self) -> float:
        """Return for how many seconds there is nothing to look at."""
        return min(self._left(), self._keep_alive, (self._session.record.idle or inf) / 4)

    def _left(self) -> float:
        """Return in how many seconds the clock alone gives the session something to tell."""
        record, now = self._session.record, self._manager.clock()
        end = session_events.end_of(record)
        thresholds = [threshold for threshold in self._warnings if (threshold, end) not in self._warned]
        if session_events.crossed(record, thresholds, now):
            return 0.0
        return session_events.quiet_for(record, thresholds, now)

    async def _look(self) -> None:
        """Read the session anew, and record that it is used.

        An open stream keeps the session from ending by idleness. It does not extend a sliding session: a request does,
        so that a client that only listens is warned, and asked to show that somebody is there.
        """
        session = self._session
        sliding = session.record.sliding is not None
        fresh = await self._manager.get(session.ref, touch=not sliding)
        session.record, session.content = fresh.record, fresh.content
        self._look_at = self._manager.clock() + min((fresh.record.idle or inf) / 8, LONGEST_S)
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

    async def _warning(self) -> bytes:
        """Return the warning that is due; nothing if another stream, or an earlier one, had it."""
        session, now = self._session, self._manager.clock()
        end = session_events.end_of(session.record)
        due = [(one, end) for one in session_events.crossed(session.record, self._warnings, now)]
        fresh = [one for one in due if one not in self._warned]
        self._warned.update(fresh)
        names = [f"mcp.warned.{session.key.hex()}.{threshold:g}.{end:.3f}" for threshold, end in fresh]
        counters = self._manager.store.counters
        first = [await counters.once(name, now=now, ttl=max(end - now, 0.0) + self._keep_alive) for name in names]
        return session_events.warning(session, end - now) if any(first) else b""
