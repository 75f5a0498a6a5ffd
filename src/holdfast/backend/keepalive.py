"""When a context that holds a lock is touched, and when the lock's time is up (A3). Values in, values out."""

from typing import Final

LONGEST_INTERVAL_S: Final = 120.0
SHORTEST_INTERVAL_S: Final = 5.0


def touch_interval(idle_limit: float | None, halvings: int = 0) -> float:
    """Return how many seconds may pass between two uses of a context.

    Args:
        idle_limit: The back end's own idle time-out in seconds, None if it is not known.
        halvings: How often a context of this system was lost before its announced limit.
    """
    interval = LONGEST_INTERVAL_S if idle_limit is None else min(idle_limit / 3, LONGEST_INTERVAL_S)
    return max(interval / 2.0**halvings, SHORTEST_INTERVAL_S)


def lost_early(used_at: float, idle_limit: float | None, now: float) -> bool:
    """Say whether a context that is gone at `now` was let go before its announced limit had passed."""
    return idle_limit is not None and now - used_at < idle_limit


def next_look(*, touched_at: float, interval: float, used_at: float, hold_limit: float) -> float:
    """Return when the keeper has to look at a held lock again: for the next touch or for its end, what is earlier."""
    return min(touched_at + interval, used_at + hold_limit)
