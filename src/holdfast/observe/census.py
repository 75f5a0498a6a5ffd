"""How many sessions of each kind there are, over all workers: a counter for each kind, never a count at each opening.

A session counts from its opening until its row is gone, also while it is being closed. What a worker that was killed
had not written yet makes the counter wrong, so now and then one worker counts the rows, slowly and in the background:
when it starts, as the successor of one that was killed does, and every ten minutes. While sessions come and go, a
count is only as exact as what comes and goes meanwhile, and the counter is corrected no further than that.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import anyio

from holdfast.core.events import Event, Fact
from holdfast.core.ports import Store, each
from holdfast.observe.ledger import Ledger

ACTIVE: Final = "observe.active."  # followed by the kind
CHANGES: Final = "observe.changes"
COUNTED: Final = "observe.counted"
COUNT_EVERY_S: Final = 600.0
COUNT_AT_START_S: Final = 10.0  # several workers that start together count once
REST: Final = 9  # a page is followed by a pause so many times as long as it took
SETTLE_S: Final = 3.0  # in which what workers had gathered before the count's end has been written


class Census:
    """The counters of one process, and what it knows of their values."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._changed: dict[str, tuple[int, int]] = {}  # by kind: how many more there are, and how many changes
        self.now: Counter[str] = Counter()  # how many there are, as far as this process knows
        self.most: Counter[str] = Counter()  # and have been since `most` was cleared

    def emit(self, event: Event) -> None:
        """Count the session in or out."""
        if event.fact is Fact.OPENED:
            change = 1
        elif event.lived is not None:
            change = -1
        else:
            return
        kind = event.kind
        more, changes = self._changed.get(kind, (0, 0))
        self._changed[kind] = (more + change, changes + 1)
        self.now[kind] = now = self.now[kind] + change
        self.most[kind] = max(self.most[kind], now)

    def settle(self) -> None:
        """Hand what was counted to the ledger."""
        changed, self._changed = self._changed, {}
        for kind, (more, changes) in changed.items():
            self._ledger.add(ACTIVE + kind, more)
            self._ledger.add(CHANGES, changes)

    async def look(self, store: Store, kinds: Iterable[str], now: float) -> None:
        """Learn what the store's counters say; what has not been written yet comes on top."""
        names = {kind: ACTIVE + kind for kind in kinds}
        values = await store.counters.read(list(names.values()), now=now)
        for (kind, name), value in zip(names.items(), values, strict=True):
            self.now[kind] = max(value + self._ledger.pending(name) + self._changed.get(kind, (0, 0))[0], 0)
            self.most[kind] = max(self.most[kind], self.now[kind])

    async def recount(self, store: Store, kinds: Iterable[str], clock: Callable[[], float]) -> None:
        """Count the rows of these kinds, and correct the counters by what cannot have changed meanwhile."""
        names = [CHANGES, *(ACTIVE + kind for kind in kinds)]
        before = await store.counters.read(names, now=clock())
        rows = await _rows(store)
        await anyio.sleep(SETTLE_S)
        after = await store.counters.read(names, now=clock())
        changed = after[0] - before[0]
        for name, value in list(zip(names, after, strict=True))[1:]:
            wrong = correction(value, rows[name.removeprefix(ACTIVE)], changed)
            if wrong:
                await store.counters.add(name, wrong, now=clock())


def correction(counter: int, rows: int, changed: int) -> int:
    """Return what to add to a counter that should be the number of rows, give or take what changed meanwhile."""
    wrong = rows - counter
    if abs(wrong) <= changed:
        return 0
    return wrong - changed if wrong > 0 else wrong + changed


async def _rows(store: Store) -> Counter[str]:
    """Return how many rows of each kind there are, taking a tenth of the time for it."""
    rows: Counter[str] = Counter()
    last_rest = anyio.current_time()
    place = 0
    async for record in each(store.sessions, "all", b""):
        rows[record.kind] += 1
        place += 1
        if place % 200 == 0:
            took = anyio.current_time() - last_rest
            await anyio.sleep(REST * took)
            last_rest = anyio.current_time()
    return rows
