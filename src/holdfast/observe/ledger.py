"""Counters of the store that all workers add to: gathered in the process, written together once a second.

However many sessions open and end in that second, each counter is written once. A worker that is killed takes what it
had gathered with it, a second's worth.
"""

from holdfast.core.ports import Counters


class Ledger:
    """What this process has yet to add to the store's counters."""

    def __init__(self) -> None:
        self._pending: dict[str, tuple[int, float | None]] = {}

    def add(self, name: str, amount: int, *, ttl: float | None = None) -> None:
        """Add to a counter soon; with `ttl` it starts anew that long after its first addition."""
        before, _ = self._pending.get(name, (0, ttl))
        self._pending[name] = (before + amount, ttl)

    def pending(self, name: str) -> int:
        """Return what is not yet written of a counter."""
        return self._pending.get(name, (0, None))[0]

    async def write(self, counters: Counters, now: float) -> int:
        """Write what has been gathered and return to how many counters; what the store does not take stays."""
        written = 0
        for name in list(self._pending):
            amount, ttl = self._pending.pop(name)
            try:
                if amount:
                    await counters.add(name, amount, now=now, ttl=ttl)
                    written += 1
            except BaseException:
                self.add(name, amount, ttl=ttl)
                raise
        return written
