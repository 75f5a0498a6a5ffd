"""One at a time, in order of asking, within this process: what comes before a lease is asked for at the store."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from holdfast.errors import Busy


class Turns:
    """A queue per key; a key nobody waits for costs nothing."""

    def __init__(self) -> None:
        self._queues: dict[bytes, tuple[anyio.Lock, int]] = {}

    @asynccontextmanager
    async def take(self, key: bytes, until: float = math.inf) -> AsyncIterator[None]:
        """Keep the turn in the block; wait for it until the event loop's clock shows `until`, then raise Busy."""
        queue, waiting = self._queues.get(key) or (anyio.Lock(fast_acquire=True), 0)
        self._queues[key] = queue, waiting + 1
        try:
            with anyio.move_on_after(until - anyio.current_time()) as scope:
                await queue.acquire()
            if scope.cancelled_caught:
                raise Busy("another request is using this session")
            try:
                yield
            finally:
                queue.release()
        finally:
            self._leave(key)

    def _leave(self, key: bytes) -> None:
        queue, waiting = self._queues.pop(key)
        if waiting > 1:
            self._queues[key] = queue, waiting - 1
