"""One at a time logs on at a receiver: among the calls of this worker and, where they share a store, of all workers.

A turn of workers is a name in the store that one of them can take, and that goes after a while if its taker dies. The
name holds the number of turns that are over, so whoever ends one lets the next one begin.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import anyio

from holdfast.core.manager import Manager
from holdfast.errors import StoreUnavailable

TURN_S: Final = 15.0  # how long a logon may keep others waiting, here or at a worker that was killed
DAY_S: Final = 86_400.0
FIRST_PAUSE_S: Final = 0.01
LONGEST_PAUSE_S: Final = 0.1


class Turns:
    """The turns of a flow's receivers: logons at different ones do not wait for each other."""

    def __init__(self, manager: Manager, name: str) -> None:
        self._manager, self._name = manager, name
        self._here: dict[str, anyio.Lock] = {}

    @asynccontextmanager
    async def take(self, receiver: str) -> AsyncIterator[None]:
        """Wait behind calls of this worker, then behind other workers; who has waited too long goes on without.

        Raises StoreUnavailable at the beginning of the block only.
        """
        async with self._here.setdefault(receiver, anyio.Lock()), AsyncExitStack() as stack:
            if self._manager.store.shared:
                await stack.enter_async_context(self._among_workers(f"turns:{self._name}:{receiver}"))
            yield

    @asynccontextmanager
    async def _among_workers(self, over: str) -> AsyncIterator[None]:
        mine = await self._waited(over)
        try:
            yield
        finally:
            if mine:
                with anyio.CancelScope(shield=True), suppress(StoreUnavailable):  # bounded by the store's own time-out
                    await self._manager.store.counters.add(over, now=self._manager.clock(), ttl=DAY_S)

    async def _waited(self, over: str) -> bool:
        """Return True as soon as it is this worker's turn, False if that takes too long."""
        counters, clock, pause = self._manager.store.counters, self._manager.clock, FIRST_PAUSE_S
        with anyio.move_on_after(TURN_S):
            while True:
                [number] = await counters.read([over], now=clock())
                with anyio.CancelScope(shield=True):  # who is cancelled has taken it all the same, and gives it back
                    if await counters.once(f"{over}:{number}", now=clock(), ttl=TURN_S):
                        return True
                await anyio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
        return False
