"""Uses of sessions that could not be recorded because the store was out of reach: written once it is back (E26).

The rule: nobody is logged out for an outage. A request that names a session is a use of it even if it had to be
refused for want of the store, and so is every moment a call runs. Such uses are kept here with their instant, and
written as of that instant, before the session's idle clock is asked about again. A session that nobody used during
the outage ends when its idle clock says so, as it would have without one.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from holdfast.core.model import Ref
from holdfast.core.ports import SessionStore
from holdfast.errors import StoreUnavailable

MOST: Final = 100_000  # uses; further ones are not kept


class Use(NamedTuple):
    """Who used which session: its place or its alias, and the owner the look-up was for."""

    at: Ref | bytes
    owner: str | None


class Missed:
    """The uses that are still to be written."""

    def __init__(self, most: int = MOST) -> None:
        self._instants: dict[Use, list[tuple[float, float]]] = {}
        self._most, self._kept = most, 0

    def __len__(self) -> int:
        return len(self._instants)

    def add(self, use: Use, *, now: float, touch_after: float) -> None:
        """Keep a use, unless one was kept so shortly before that the store would not have recorded it either (E8)."""
        instants = self._instants.get(use, [])
        if self._kept < self._most and not (instants and now - instants[-1][0] < touch_after):
            self._instants[use] = [*instants, (now, touch_after)]
            self._kept += 1

    def uses(self, at: Ref | bytes | None = None) -> Iterable[Use]:
        """Return what is kept: everything, or that of one session."""
        return [use for use in self._instants if at is None or use.at == at]

    async def write(self, use: Use, sessions: SessionStore) -> None:
        """Record a session's uses, oldest first; raise StoreUnavailable if the store is not back yet."""
        instants = self._instants.pop(use, [])
        while instants:
            now, touch_after = instants[0]
            try:
                await sessions.load(use.at, now=now, touch_after=touch_after, owner=use.owner)
            except StoreUnavailable:
                self._instants[use] = instants + self._instants.get(use, [])
                raise
            del instants[0]
            self._kept -= 1
