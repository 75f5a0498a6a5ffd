"""When somebody has logged off: no token that was issued before begins anything any more (T11).

A token may outlive the logon it belongs to. What hung below that logon is gone; what the token would begin anew has to
be refused. Kept are instants in the store's counters, by whom the logon was found by, for as long as tokens may live.
"""

from typing import Final

from holdfast.core.manager import Manager

TOKENS_LIVE_S: Final = 43_200.0  # at most
SPAN_S: Final = TOKENS_LIVE_S  # of the time that one counter stands for; the last two are read


class Epochs:
    """Instants of logging off, at every worker."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def note(self, who: str) -> None:
        """Note that somebody has logged off now."""
        now = self._manager.clock()
        name = self._names(who, now)[0]
        await self._manager.store.counters.lift(name, int(now), now=now, ttl=3 * SPAN_S)

    async def last(self, *who: str) -> float:
        """Return when any of these, or everybody, has last logged off (Unix seconds); 0 if that is long ago."""
        now = self._manager.clock()
        names = [name for one in who for name in self._names(one, now)]
        noted = await self._manager.store.counters.read(names, now=now)
        return max([self._manager.era.since, *noted])

    def _names(self, who: str, now: float) -> list[str]:
        span = int(now // SPAN_S)
        return [f"logged off {number} {who}" for number in (span, span - 1)]
