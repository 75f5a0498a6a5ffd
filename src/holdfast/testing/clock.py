"""A clock that stands still until it is told to move."""

START = 1_800_000_000.0


class Clock:
    """Call it for the time in Unix seconds; pass it wherever a `clock` is asked for."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> float:
        """Move on and return the new time. A clock does not go back: ValueError."""
        if seconds < 0:
            raise ValueError("a clock does not go back")
        self.now += seconds
        return self.now
