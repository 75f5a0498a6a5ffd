"""Work that takes time, off the event loop and never too much of it at once: a storm of messages is told to come again.

A signature takes about a millisecond of a processor. So many messages are checked at a time, so many more wait, and
what comes beyond that is refused before it is looked at (T29).
"""

from collections.abc import Callable
from functools import partial
from typing import Final, ParamSpec, TypeVar

import anyio
import anyio.to_thread

from holdfast.identity.saml.refusals import SamlUnavailable

THREADS: Final = 2
MOST_WAITING: Final = 100
P = ParamSpec("P")
T = TypeVar("T")


class Gate:
    """Lets a few through at a time.

    Args:
        threads: How many work at once.
        waiting: How many more may wait.
    """

    def __init__(self, threads: int = THREADS, waiting: int = MOST_WAITING) -> None:
        self._threads, self._most = threads, threads + waiting
        self._limiter: anyio.CapacityLimiter | None = None
        self.inside = 0

    async def run(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Return what `work` returns, called in a thread.

        Raises:
            SamlUnavailable: Too many wait already.
        """
        if self.inside >= self._most:
            raise SamlUnavailable("more messages come in than can be checked")
        self._limiter = self._limiter or anyio.CapacityLimiter(self._threads)
        self.inside += 1
        try:
            return await anyio.to_thread.run_sync(partial(work, *args, **named), limiter=self._limiter)
        finally:
            self.inside -= 1
