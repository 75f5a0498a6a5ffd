"""What is measured: every name, with its labels and what it means, and who takes measurements.

The names of MCP sessions and their connections are those of the source (M24); other kinds of session have the label
`kind`. Every label has few values, which this package chooses: no id, address or principal is ever one (R72).
"""

import enum
from contextlib import AbstractContextManager
from typing import Final, Protocol

import msgspec

from holdfast.mcp.kinds import SESSION, STREAM


class Sort(enum.Enum):
    """How a measurement adds up."""

    COUNT = "count"
    GAUGE = "gauge"
    TIME = "time"


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is measured. `buckets` are the upper bounds of a time's histogram, in seconds."""

    name: str
    sort: Sort
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Meter(Protocol):
    """Takes measurements. `labels` are the values of the measure's labels, in their order.

    It returns at once and raises nothing: who is measured neither waits nor fails.
    """

    def add(self, measure: Measure, amount: int, labels: tuple[str, ...] = ()) -> None:
        """Count so many more."""
        ...

    def set(self, measure: Measure, value: float, labels: tuple[str, ...] = ()) -> None:
        """Take what there is now."""
        ...

    def time(self, measure: Measure, seconds: float, labels: tuple[str, ...] = ()) -> None:
        """Take how long something took."""
        ...

    def running(self) -> AbstractContextManager[object]:
        """Pass measurements on until the block ends, those that wait included."""
        ...


LIVES: Final = (1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14_400.0, 43_200.0, 86_400.0)
ANSWERS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
TRIPS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0)


class Family(msgspec.Struct, frozen=True):
    """What is measured of the sessions of a kind; `labels` come before those of the end."""

    created: Measure
    active: Measure
    ended: Measure
    duration: Measure
    expired: Measure | None = None
    labels: tuple[str, ...] = ()


def _family(prefix: str, what: str, *, created: str, ended: str, expires: bool, labels: tuple[str, ...]) -> Family:
    def made(name: str, sort: Sort, text: str, *more: str, buckets: tuple[float, ...] = ()) -> Measure:
        return Measure(name=f"{prefix}.{name}", sort=sort, text=text, labels=(*labels, *more), buckets=buckets)

    return Family(
        made(created, Sort.COUNT, f"{what} that were opened"),
        made("active_count", Sort.GAUGE, f"{what} there are, over all workers"),
        made(ended, Sort.COUNT, f"{what} that have ended, and why", "reason"),
        made("duration", Sort.TIME, f"how long {what} lived, really", "reason", buckets=LIVES),
        made("expired", Sort.COUNT, f"{what} whose time ran out: `idle` or `expired`", "reason") if expires else None,
    )


_MCP: Final = _family("mcp.session", "MCP sessions", created="created", ended="ended", expires=True, labels=())
_CONNECTION: Final = _family(
    "mcp.session.connection",
    "streams of MCP sessions",
    created="established",
    ended="closed",
    expires=False,
    labels=(),
)
_OTHER: Final = _family(
    "holdfast.session",
    "sessions of other kinds",
    created="created",
    ended="ended",
    expires=False,
    labels=("kind",),
)
FACTS: Final = Measure(
    name="holdfast.facts",
    sort=Sort.COUNT,
    text="what needs a look: security events, ends that failed, what is stranded",
    labels=("fact",),
)
REQUESTS: Final = Measure(
    name="holdfast.requests",
    sort=Sort.COUNT,
    text="HTTP requests that were answered",
    labels=("method", "era", "status"),
)
REQUEST_TIME: Final = Measure(
    name="holdfast.request.duration",
    sort=Sort.TIME,
    text="how long a POST took, from its head to the end of its answer",
    labels=("era",),
    buckets=ANSWERS,
)
STORE_TIME: Final = Measure(
    name="holdfast.store.latency", sort=Sort.TIME, text="how long the store took for one read", buckets=TRIPS
)
STORE_AWAY: Final = Measure(
    name="holdfast.store.unavailable", sort=Sort.COUNT, text="turns in which the store was out of reach"
)

ALL: Final = (
    *(
        measure
        for family in (_MCP, _CONNECTION, _OTHER)
        for measure in (family.created, family.active, family.ended, family.duration, family.expired)
        if measure is not None
    ),
    FACTS,
    REQUESTS,
    REQUEST_TIME,
    STORE_TIME,
    STORE_AWAY,
)


def family_of(kind: str) -> Family:
    """Return what is measured of a kind, with its label if it needs one."""
    named = {SESSION: _MCP, STREAM: _CONNECTION}.get(kind)
    return named or msgspec.structs.replace(_OTHER, labels=(kind,))
