"""What the engine tells the outside: facts for metrics, audit and logs. They leave through a `Sink` only."""

import enum
import logging
from contextvars import ContextVar
from typing import Final, Protocol

import msgspec

from holdfast.core.model import Reason

ADDRESS: Final[ContextVar[str]] = ContextVar("address", default="")
"""The network address the current request comes from, if one is served; faces set it, facts carry it."""


class Fact(enum.StrEnum):
    """What happened. The second group are the security events of E34."""

    OPENED = "opened"
    ENDED = "ended"
    CLOSED = "closed"
    CLOSING_FAILED = "closing_failed"
    STRANDED = "stranded"
    REPLACED = "replaced"
    UNCLAIMED = "unclaimed"

    UNKNOWN_ID = "unknown_id"
    FOREIGN_ID = "foreign_id"
    TWO_IDS = "two_ids"
    FINGERPRINT = "fingerprint_mismatch"
    LOGON_FAILED = "logon_failed"
    ROTATED = "rotated"
    RATE_LIMITED = "rate_limited"
    LIMIT_REACHED = "limit_reached"
    UNREADABLE = "unreadable_payload"
    FORCED_END = "forced_end"


SECURITY: Final = frozenset(
    {
        Fact.UNKNOWN_ID,
        Fact.FOREIGN_ID,
        Fact.TWO_IDS,
        Fact.FINGERPRINT,
        Fact.LOGON_FAILED,
        Fact.ROTATED,
        Fact.RATE_LIMITED,
        Fact.LIMIT_REACHED,
        Fact.UNREADABLE,
        Fact.FORCED_END,
    }
)
LOUD: Final = SECURITY | {Fact.CLOSING_FAILED, Fact.STRANDED, Fact.UNCLAIMED}
FACTS_LOG: Final = "holdfast.events"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact. `mark` is an id cut to 8 characters, or a key's first 8 digits; no field holds a secret.

    `client` is what limits count by: the principal, else the address. `address` is where the request came from that
    caused the fact; empty for what a keeper does.
    """

    fact: Fact
    at: float
    kind: str = ""
    mark: str = ""
    owner: str = ""
    client: str = ""
    address: str = ""
    reason: Reason | None = None
    detail: str = ""


class Sink(Protocol):
    """Takes facts. It must return at once and raise nothing."""

    def emit(self, event: Event) -> None:
        """Take one fact."""
        ...


class Silence:
    """A sink that forgets."""

    def emit(self, event: Event) -> None:
        """Forget the fact."""


class Sinks:
    """Hands every fact to several sinks."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def emit(self, event: Event) -> None:
        """Hand the fact on."""
        for sink in self._sinks:
            sink.emit(event)


class LogLines:
    """One structured line per fact: what needs a look at WARNING, everything else at DEBUG."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._log = logger or logging.getLogger(FACTS_LOG)

    def emit(self, event: Event) -> None:
        """Log the fact."""
        self._log.log(logging.WARNING if event.fact in LOUD else logging.DEBUG, "%s", as_line(event))


def as_line(event: Event) -> str:
    """Return a fact as one line of JSON, without its empty fields."""
    values = msgspec.to_builtins(event)
    return msgspec.json.encode({name: value for name, value in values.items() if value not in ("", None)}).decode()
