"""What an issuer publishes, such as its keys, kept here: asked for anew when it is old, or something new turns up.

At most one request for it is under way, and none too soon after the last. While the issuer does not answer, what is
known goes on for a while.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

from holdfast.identity.facts import IssuerUnavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Source(Generic[T]):
    """Keeps one thing of an issuer's.

    Args:
        load: Asks for it; raises IssuerUnavailable if it cannot be had.
        name: What it is and whose, for the log.
        clock: Seconds, monotonic.
        lifetime: Seconds after which it is asked for anew.
        pause: Seconds between two requests at least.
        stale: Seconds for which it goes on while the issuer does not answer.
        timeout: Seconds in which the issuer has to.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[T]],
        name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        lifetime: float,
        pause: float,
        stale: float,
        timeout: float,
    ) -> None:
        self._ask, self._name, self._clock = load, name, clock
        self._lifetime, self._pause, self._stale, self._timeout = lifetime, pause, stale, timeout
        self._known: T | None = None
        self._fetched_at = self._asked_at = float("-inf")
        self._failed = False
        self._flight = anyio.Lock()

    async def current(self) -> T:
        """Return what is known.

        Of the requests that find it old one asks anew; the others go on with the old.

        Raises:
            IssuerUnavailable: Nothing is, or it is too old.
        """
        known, age = self._known, self._clock() - self._fetched_at
        if known is not None and age < self._lifetime:
            return known
        if known is None or age >= self._stale or not self._flight.locked():
            await self._renew(known)
        if self._known is None or self._clock() - self._fetched_at >= self._stale:
            raise self._unavailable()
        return self._known

    async def after(self, seen: T) -> T:
        """Return what is newer than what was `seen`, if it is not too soon to ask.

        Raises:
            IssuerUnavailable: It was asked for in vain.
        """
        await self._renew(seen)
        if self._known is None or (self._known is seen and self._failed):
            raise self._unavailable()
        return self._known

    async def _renew(self, seen: T | None) -> None:
        """Ask anew, unless somebody has meanwhile, or too short a time ago."""
        async with self._flight:
            if self._known is not seen or self._clock() - self._asked_at < self._pause:
                return
            self._asked_at, self._failed = self._clock(), True
            try:
                with anyio.fail_after(self._timeout):
                    self._known = await self._ask()
            except TimeoutError:
                logger.warning("the %s: no answer within %g s", self._name, self._timeout)
            except IssuerUnavailable as exc:
                logger.warning("the %s: %s", self._name, exc)
            else:
                self._fetched_at, self._failed = self._clock(), False

    def _unavailable(self) -> IssuerUnavailable:
        return IssuerUnavailable(f"the {self._name} cannot be read")
