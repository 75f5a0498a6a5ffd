"""When something is due: every so often, or by a cron expression in a time zone. Pure."""

import math
import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from holdfast.flows.parts import Part

EVERY: Final = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Timing(Part, frozen=True, kw_only=True):
    """When a sender is due: `every` or `cron`, or ValueError.

    Args:
        every: Such as `30s`, `5m`, `1h`, `1d`: counted from 1970, so that all workers mean the same instants.
        cron: Minute, hour, day of month, month, day of week; with a field more in front, the second. At the change of
            the clocks as with Debian's cron.
        zone: Time zone of `cron`, such as `Europe/Berlin`.
        overlap: A time that is due while the last one is still being dealt with is not left out.
    """

    every: str = ""
    cron: str = ""
    zone: str = "UTC"
    overlap: bool = False

    def __post_init__(self) -> None:
        if bool(self.every) == bool(self.cron):
            raise ValueError("It takes either every or cron")
        self.due_after(0.0)

    def due_after(self, now: float) -> float:
        """Return the first due instant after `now`; both are Unix seconds."""
        if self.every:
            span = seconds_in(self.every)
            return (math.floor(now / span) + 1) * float(span)
        try:
            zone = UTC if self.zone == "UTC" else ZoneInfo(self.zone)  # the first needs no data base of zones
        except (KeyError, OSError, ValueError) as exc:
            raise ValueError(f"{self.zone!r} is no time zone") from exc
        try:
            return next(CronSim(self.cron, datetime.fromtimestamp(now, zone))).timestamp()
        except (CronSimError, StopIteration) as exc:
            raise ValueError(f"{self.cron!r} is no cron expression that is ever due: {exc}".rstrip(": ")) from exc


def seconds_in(text: str) -> int:
    """Return the seconds of a span such as `30s`, `5m`, `1h` or `1d`, or raise ValueError."""
    found = EVERY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time such as 30s, 5m, 1h or 1d")
    return int(found[1]) * SECONDS[found[2]]
