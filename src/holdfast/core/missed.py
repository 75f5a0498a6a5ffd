"""Uses of sessions that could not be recorded because the store was out of reach: written once it is back (E26).

The rule: nobody is logged out for an outage. A request that names a session is a use of it even if it had to be
refused for want of the store, and so is every moment a call runs. Such uses are kept here with their instant, and
written as of that instant, before the session's idle clock is asked about again. A session that nobody used during
the outage ends when its idle clock says so, as it would have without one.
"""

from typing import Final, NamedTuple, TypeAlias

from holdfast.core.model import Ref
from holdfast.core.ports import SessionStore

Instant: TypeAlias = tuple[float, float]  # when a session was used, and `touch_after` of its look-up

MOST: Final = 100_000  # uses; further ones are not kept


class Use(NamedTuple):
    """Who used which session: its place or its alias, and the owner the look-up was for."""

    at: Ref | bytes
    owner: str | None


class Missed:
    """The uses that are still to be written. A use is forgotten once it is recorded, whoever does that."""

    def __init__(self, most: int = MOST) -> None:
        self._kept: dict[Ref | bytes, dict[Use, list[Instant]]] = {}
        self._most, self._count = most, 0

    def __len__(self) -> int:
        return self._count

    def add(self, use: Use, *, now: float, touch_after: float) -> None:
        """Keep a use, unless one was kept so shortly before that the store would not have recorded it either (E8)."""
        kept = self.instants(use)
        if self._count < self._most and not (kept and now - kept[-1][0] < touch_after):
            self._kept.setdefault(use.at, {}).setdefault(use, []).append((now, touch_after))
            self._count += 1

    def uses(self, at: Ref | bytes | None = None) -> list[Use]:
        """Return whose uses are kept: everybody's, or those of one session."""
        if at is not None:
            return list(self._kept.get(at, ()))
        return [use for uses in self._kept.values() for use in uses]

    def instants(self, use: Use) -> list[Instant]:
        """Return when a session was used, oldest first, and after how many seconds each use would be recorded."""
        return self._kept.get(use.at, {}).get(use, [])

    async def write(self, use: Use, sessions: SessionStore) -> None:
        """Record a session's uses, oldest first; raise StoreUnavailable if the store is not back yet."""
        while instants := self.instants(use):
            oldest = now, touch_after = instants[0]
            await sessions.load(use.at, now=now, touch_after=touch_after, owner=use.owner)
            self._forget(use, oldest)

    def _forget(self, use: Use, oldest: Instant) -> None:
        instants = self.instants(use)
        if instants[:1] != [oldest]:
            return  # another has written it at the same time
        del instants[0]
        self._count -= 1
        if not instants:
            uses = self._kept[use.at]
            del uses[use]
            if not uses:
                del self._kept[use.at]
