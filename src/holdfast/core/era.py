"""From when on trees count: one mark in the store ends all that began before, however many they are (R35, T11).

A tree's key says when the tree began, so whoever names a node has said whether it is over, and no row has to be looked
at or written. The mark is kept in the store and copied here; it is looked for every second, and as soon as somebody
tells of a new one. A setting stands for a mark that no backup takes back: of the two the later counts. Machines whose
clocks differ disagree about what began within that difference.
"""

from collections.abc import Callable
from typing import Final

from holdfast.core.ids import begun_ms
from holdfast.core.ports import Store

MARK: Final = "sessions count from"  # milliseconds, in the store's counters
CLEARED: Final = "sessions cleared to"
CLEARING_S: Final = 120.0  # for which a worker that clears is left alone; one that died has a successor then


class Era:
    """When the present one began, and whether what began before was cleared away."""

    __slots__ = ("_cleared", "_clock", "_floor", "_since", "_store")

    def __init__(self, store: Store, clock: Callable[[], float], not_before: float) -> None:
        self._store, self._clock = store, clock
        self._floor = self._since = int(not_before * 1000)
        self._cleared = 0

    @property
    def since(self) -> float:
        """The instant from which trees count, as far as is known here (Unix seconds); 0 if all do."""
        return self._since / 1000

    def is_over(self, tree: bytes) -> bool:
        """Say whether a tree began before."""
        return self._since > 0 and begun_ms(tree) < self._since

    async def begin(self, *, leave: bool = False) -> None:
        """Let nothing count that has begun until now, at any worker.

        With `leave`, what is over is left for two minutes before it is cleared away.
        """
        now = self._clock()
        mark = int(now * 1000) + 1
        if leave:
            await self._store.counters.once(_clearing(mark), now=now, ttl=CLEARING_S)
        await self._store.counters.lift(MARK, mark, now=now)

    async def look(self) -> bool:
        """Read the marks; say whether more is over than was known here."""
        before = self._since
        since, self._cleared = await self._store.counters.read([MARK, CLEARED], now=self._clock())
        self._since = max(self._floor, since)
        return self._since > before

    @property
    def litters(self) -> bool:
        """Whether rows may be left of what is over."""
        return self._since > self._cleared

    async def to_clear(self) -> int:
        """Return up to when this worker is to clear away what is over; 0 if nothing is, or another is at it."""
        if not self.litters:
            return 0
        first = await self._store.counters.once(_clearing(self._since), now=self._clock(), ttl=CLEARING_S)
        return self._since if first else 0

    async def cleared(self, since: int) -> None:
        """Note that nothing is left that began before."""
        self._cleared = await self._store.counters.lift(CLEARED, since, now=self._clock())


def _clearing(since: int) -> str:
    return f"sessions clearing to {since}"
