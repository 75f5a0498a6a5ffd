"""When a session that nobody uses is kept alive, and when it is given up (O17). Values in, values out."""

import enum
from typing import Final

import msgspec

from holdfast.odata.client.standing import Standing

MARGIN_S: Final = 5.0
SHORT_S: Final = 60.0
CAP_S: Final = 30 * 60.0
RETRY_S: Final = 2.0
UNKNOWN_TIMEOUT_S: Final = 60.0  # kept to if the server has said none
LONGEST_TIMEOUT_S: Final = 86_400.0


class Duty(enum.Enum):
    """What is to be done for a session that nobody uses."""

    TOUCH = "touch"
    GIVE_UP = "give up"


class Due(msgspec.Struct, frozen=True):
    """What is to be done next, and when (Unix seconds)."""

    duty: Duty
    at: float


def touch_interval(timeout: float | None) -> float:
    """Return how many seconds may pass between two requests of a session.

    Args:
        timeout: The `SAP-Http-Session-Timeout` in seconds, None if there was none that makes sense.
    Source:
        SAPUI5, OData V4 `_Requestor`: a HEAD request every limit - 5 s, none for limits under 60 s. Those are touched
        here after a third of their time (O17).
    """
    limit = timeout or UNKNOWN_TIMEOUT_S
    return limit / 3 if limit < SHORT_S else limit - MARGIN_S


def next_due(standing: Standing, *, used_at: float, tried_at: float, cap: float | None) -> Due:
    """Return what is to be done next for an open session.

    Args:
        standing: Where the client stands: inside.
        used_at: When the program used the session last.
        tried_at: When it was touched last, whether or not an answer came.
        cap: After how many seconds without use it is given up; None for never.
    """
    touch = standing.answered_at + touch_interval(standing.timeout)
    if tried_at > standing.answered_at:  # without success: soon again, there is little time left
        touch = max(touch, tried_at + RETRY_S)
    if cap is not None and used_at + cap <= touch:
        return Due(Duty.GIVE_UP, used_at + cap)
    return Due(Duty.TOUCH, touch)


def readable_timeout(text: str) -> float | None:
    """Return the seconds of a `SAP-Http-Session-Timeout` header, None for what is no number of seconds above 0."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return None
    return min(float(text), LONGEST_TIMEOUT_S) or None
