"""The log level of a flow while it runs: `debug` until an instant, at every worker, then `info` again (F20).

The instant is a number that all workers share; each looks at it once a second while messages come.
"""

import time
from contextlib import suppress
from typing import Final

from holdfast.core.manager import Manager
from holdfast.errors import BadInput, StoreUnavailable
from holdfast.flows.monitoring.entries import DEBUG, INFO

LOOK_S: Final = 1.0
LONGEST_S: Final = 7 * 86_400.0


class Levels:
    """Reads and sets log levels."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._known: dict[str, tuple[float, int]] = {}  # when it was looked up, until when it is `debug`

    async def of(self, flow: str) -> str:
        """Return the level for messages that start now; while the store is away, the last that was known."""
        looked_at, until = self._known.get(flow, (float("-inf"), 0))
        if time.monotonic() - looked_at >= LOOK_S:
            with suppress(StoreUnavailable):
                until = await self.until(flow)
            self._known[flow] = time.monotonic(), until
        return DEBUG if self._manager.clock() < until else INFO

    async def until(self, flow: str) -> int:
        """Return until when the level is `debug` (Unix seconds); an instant in the past: it is `info`."""
        [until] = await self._manager.store.counters.read([_name(flow)], now=self._manager.clock())
        return until

    async def set(self, flow: str, level: str, seconds: float = 3600.0) -> int:
        """Set the level for messages that start within a second from now on; `debug` falls back after so many seconds.

        Returns until when it is `debug`. Raises BadInput: there are `debug` and `info`; a week is the longest.
        """
        if level not in (DEBUG, INFO):
            raise BadInput(f"{level!r} is no log level; there are {DEBUG} and {INFO}")
        if not 0 < seconds <= LONGEST_S:
            raise BadInput("a level is set for more than no time, and for a week at most")
        now = self._manager.clock()
        until = int(now + seconds) if level == DEBUG else int(now)
        return await self._manager.store.counters.add(_name(flow), until - await self.until(flow), now=now)


def _name(flow: str) -> str:
    return f"flow-debug-until:{flow}"
