"""A token bucket as one number: the instant at which it is full again (the generic cell rate algorithm)."""

import math

from holdfast.errors import BadInput

GRAIN_S = 1e-6  # a float of Unix seconds is no finer: a wait shorter than this is none


def taken(full_at: float, *, rate: float, burst: float, now: float, cost: float) -> tuple[float, float]:
    """Take `cost` from a bucket that is full at `full_at`, filled with `rate` per second up to `burst`.

    Returns:
        The seconds to wait, 0.0 if it was granted, and when the bucket is full now. What costs more than `burst`
        would wait for ever: infinity.
    Raises:
        BadInput: The rate is not above zero.
    """
    if rate <= 0:
        raise BadInput("the rate of a token bucket is above zero")
    if cost > burst:
        return math.inf, full_at
    then = max(full_at, now) + cost / rate
    wait = then - burst / rate - now
    return (0.0, then) if wait <= GRAIN_S else (wait, full_at)
