"""Waiting for one's turn within this process: one at a time, or as many as are allowed, fairly among parties."""

import math
from collections.abc import Hashable

import anyio

from holdfast.core.fairness import FairQueue
from holdfast.errors import Busy


class Turns:
    """A queue per key; a key nobody uses costs nothing."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, FairQueue[anyio.Event]] = {}

    def take(self, key: Hashable, until: float = math.inf, *, party: Hashable = None, most: int = 1) -> "Turn":
        """Keep one of `most` places in the block; wait for it until the event loop's clock shows `until`.

        Those of one party come in their order of asking; parties that wait are served in turn.

        Raises:
            Busy: No place became free in time.
        """
        return Turn(self, key, until, party, most)

    async def enter(self, key: Hashable, until: float, party: Hashable, most: int) -> FairQueue[anyio.Event]:
        """Take a place and return its queue, for `leave`."""
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = FairQueue(most)
        if not queue.enter():
            await self._wait(key, queue, party, until)
        return queue

    async def _wait(self, key: Hashable, queue: FairQueue[anyio.Event], party: Hashable, until: float) -> None:
        turn = anyio.Event()
        queue.wait(party, turn)
        try:
            with anyio.move_on_after(until - anyio.current_time()):
                await turn.wait()
        except BaseException:
            if turn.is_set():  # the place came in the moment in which its owner left
                self.leave(key, queue)
            else:
                queue.withdraw(party, turn)
            raise
        if not turn.is_set():
            queue.withdraw(party, turn)
            raise Busy("another request is using this session")

    def leave(self, key: Hashable, queue: FairQueue[anyio.Event]) -> None:
        """Give a place back: to who waits for it, if anybody does."""
        following = queue.leave()
        if following is not None:
            following.set()
        elif not queue.inside:
            del self._queues[key]


class Turn:
    """A place in a queue for as long as a block runs. Not a generator's: those take longer than all the rest of it."""

    __slots__ = ("_asked", "_key", "_queue", "_turns")

    def __init__(self, turns: Turns, key: Hashable, until: float, party: Hashable, most: int) -> None:
        self._turns, self._key, self._asked = turns, key, (until, party, most)

    async def __aenter__(self) -> None:
        self._queue = await self._turns.enter(self._key, *self._asked)

    async def __aexit__(self, *error: object) -> None:
        self._turns.leave(self._key, self._queue)
