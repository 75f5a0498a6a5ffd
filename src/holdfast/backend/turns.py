"""Turns within this process: one at a time for each key, in the order of asking."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Turns:
    """A queue per key; a key nobody waits for takes no room."""

    def __init__(self) -> None:
        self._queues: dict[bytes, tuple[anyio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, key: bytes) -> AsyncIterator[None]:
        """Wait for the turn of this key and keep it until the block ends."""
        lock, users = self._queues.get(key) or (anyio.Lock(), 0)
        self._queues[key] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._queues.pop(key)
            if users > 1:
                self._queues[key] = lock, users - 1
