"""Rate limits: how many requests a minute a session or a client may send, counted over all workers (E13).

The count is a token bucket at the store (`Counters.take`). A worker takes a sixteenth of a bucket at a time and hands
that out by itself, so that of many requests few cost a trip to the store, and who is over the limit costs none until
the next token is due. What that does to the limit: at any moment it is exceeded by a sixteenth of the burst for each
worker at most, and what a worker has taken but not handed out within a minute is lost to the others. A burst below
32 is counted exactly, with a trip for each request. If workers' clocks differ, so does what they find in a bucket, by
as many seconds' worth of tokens.

While the store is out of reach each worker counts by itself: requests that need no store are served on. So it does when
its clock was set back by more than a minute, until what the store has counted lies in the past again.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import anyio

from holdfast.config import Settings
from holdfast.core.ports import Counters
from holdfast.errors import HoldfastError, StoreUnavailable
from holdfast.stores.bucket import taken

SHARE: Final = 16
LAPSE_S: Final = 60.0
AWAY_S: Final = 5.0  # how long the store is not asked after it was out of reach
SET_BACK_S: Final = (
    60.0  # a wait that is longer than a bucket takes to fill by this is due to a clock that was set back
)
PURSES: Final = 10_000


class RateLimited(HoldfastError):
    """More requests came than are allowed; `retry_after` is in how many seconds the next one will be served."""

    code = "rate_limited"
    status = 429
    default_hint = "Send fewer requests; Retry-After says when the next one will be served."

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _Purse:
    """What this worker has taken of one bucket and not handed out yet."""

    __slots__ = ("barred_cost", "barred_until", "full_at", "lapses_at", "name", "tokens", "turn")

    def __init__(self, name: str) -> None:
        self.name = name
        self.tokens = self.lapses_at = self.barred_until = self.barred_cost = 0.0
        self.full_at = 0.0  # of the bucket that counts while the store is away
        self.turn = anyio.Lock(fast_acquire=True)


class RateLimit:
    """One limit, counted for each key by itself.

    Args:
        counters: Where it is counted.
        name: Tells this limit's counters from others'.
        per_minute: Requests a minute in the long run; 0 for no limit.
        burst: Requests at once after a pause.
    """

    def __init__(
        self, counters: Counters, name: str, *, per_minute: float, burst: float, clock: Callable[[], float]
    ) -> None:
        self._counters, self._name, self._clock = counters, name, clock
        self._rate, self._burst = per_minute / 60.0, max(burst, 1.0)
        self._chunk = max(math.floor(self._burst / SHARE), 1)
        self._purses: OrderedDict[str, _Purse] = OrderedDict()
        self._away_until = 0.0
        self.on = self._rate > 0  # there is a limit at all
        self._longest = self._burst / self._rate + SET_BACK_S if self.on else 0.0

    async def take(self, key: str, cost: float = 1.0) -> None:
        """Count `cost` requests; more than a whole burst count as one.

        Raises:
            RateLimited: There were too many; these were not counted.
        """
        if not self.on:
            return
        now, cost = self._clock(), min(cost, self._burst)
        purse = self._purse(key)
        if _spent(purse, cost, now):
            return
        async with purse.turn:
            if _spent(purse, cost, now):
                return
            barred = purse.barred_until - now if cost >= purse.barred_cost else 0.0
            wait = barred if 0 < barred <= self._longest else await self._refill(purse, cost, now)
        if wait:
            raise RateLimited(f"too many requests of one {self._name}", retry_after=wait)

    def _purse(self, key: str) -> _Purse:
        purse = self._purses.get(key)
        if purse is None:
            digest = hashlib.sha256(key.encode()).hexdigest()[:32]
            purse = self._purses[key] = _Purse(f"rate.{self._name}.{digest}")
            if len(self._purses) > PURSES:
                self._purses.popitem(last=False)
        else:
            self._purses.move_to_end(key)
        return purse

    async def _refill(self, purse: _Purse, cost: float, now: float) -> float:
        """Take tokens for these requests, and some for those to come; return how long to wait if there are too few."""
        scarce = now < purse.barred_until + self._chunk / self._rate
        wanted = cost if scarce else max(cost, float(self._chunk))
        wait = await self._asked(purse, wanted, now)
        if wait and wanted > cost:  # there are not so many: take those there are
            wanted = max(cost, math.floor(wanted - wait * self._rate))
            wait = await self._asked(purse, wanted, now)
        if wait:
            purse.barred_until, purse.barred_cost = now + wait, cost
        else:
            purse.tokens = wanted - cost + (purse.tokens if now < purse.lapses_at else 0.0)
            purse.lapses_at = now + LAPSE_S
        return wait

    async def _asked(self, purse: _Purse, cost: float, now: float) -> float:
        if not now < self._away_until <= now + AWAY_S:
            try:
                wait = await self._counters.take(purse.name, rate=self._rate, burst=self._burst, now=now, cost=cost)
                if wait <= self._longest:
                    return wait
            except StoreUnavailable:
                self._away_until = now + AWAY_S
        if purse.full_at > now + self._longest:
            purse.full_at = now
        wait, purse.full_at = taken(purse.full_at, rate=self._rate, burst=self._burst, now=now, cost=cost)
        return wait


class Rates:
    """The limits of a server: per session and per client, which is the principal, or the address of one unknown.

    What comes with ids that name nothing is counted for each address (R75).
    """

    def __init__(self, counters: Counters, settings: Settings, *, clock: Callable[[], float]) -> None:
        burst = settings.rate_burst
        self.session = RateLimit(
            counters, "session", per_minute=settings.rate_limit_per_session, burst=burst, clock=clock
        )
        self.client = RateLimit(counters, "client", per_minute=settings.rate_limit_per_client, burst=burst, clock=clock)
        self.unknown = RateLimit(
            counters, "address without a session", per_minute=settings.rate_limit_unknown_ids, burst=burst, clock=clock
        )


def _spent(purse: _Purse, cost: float, now: float) -> bool:
    if purse.tokens < cost or now >= purse.lapses_at:
        return False
    purse.tokens -= cost
    return True
