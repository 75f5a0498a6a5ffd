"""The simulator's own time: a base clock plus an offset that the admin API moves forward."""

import time
from collections.abc import Callable


class SimulatedClock:
    """Unix seconds of the simulated system. Calling it gives the time, `advance` moves it on."""

    def __init__(self, base: Callable[[], float] = time.time) -> None:
        self._base = base
        self.offset_s = 0.0

    def __call__(self) -> float:
        """Return the simulated instant in Unix seconds."""
        return self._base() + self.offset_s

    def advance(self, seconds: float) -> None:
        """Move the clock forward. Raises ValueError for a negative step: time does not run back."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self.offset_s += seconds


def timestamp(instant: float) -> str:
    """Return the instant as the 14 digits ABAP writes: year to second, UTC."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(instant))


def iso(instant: float) -> str:
    """Return the instant as ADT documents carry it, for example `2026-11-21T05:55:59Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(instant))
