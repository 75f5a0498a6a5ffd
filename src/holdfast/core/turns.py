"""Waiting for one's turn within this process: one at a time, or as many as are allowed, fairly among parties."""

import math
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import anyio

from holdfast.core.fairness import FairQueue
from holdfast.errors import Busy


class Turns:
    """A queue per key; a key nobody uses costs nothing."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, FairQueue[anyio.Event]] = {}

    @asynccontextmanager
    async def take(
        self, key: Hashable, until: float = math.inf, *, party: Hashable = None, most: int = 1
    ) -> AsyncIterator[None]:
        """Keep one of `most` places in the block; wait for it until the event loop's clock shows `until`.

        Those of one party come in their order of asking; parties that wait are served in turn.

        Raises:
            Busy: No place became free in time.
        """
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = FairQueue(most)
        if not queue.enter():
            await self._wait(key, queue, party, until)
        try:
            yield
        finally:
            self._leave(key, queue)

    async def _wait(self, key: Hashable, queue: FairQueue[anyio.Event], party: Hashable, until: float) -> None:
        turn = anyio.Event()
        queue.wait(party, turn)
        try:
            with anyio.move_on_after(until - anyio.current_time()):
                await turn.wait()
        except BaseException:
            if turn.is_set():  # the place came in the moment in which its owner left
                self._leave(key, queue)
            else:
                queue.withdraw(party, turn)
            raise
        if not turn.is_set():
            queue.withdraw(party, turn)
            raise Busy("another request is using this session")

    def _leave(self, key: Hashable, queue: FairQueue[anyio.Event]) -> None:
        following = queue.leave()
        if following is not None:
            following.set()
        elif not queue.inside:
            del self._queues[key]
