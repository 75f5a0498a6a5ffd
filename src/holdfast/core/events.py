"""What the engine tells the outside: facts for metrics, audit and logs. They leave through a `Sink` only."""

import enum
import json
import logging
from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import Final, Protocol, runtime_checkable

import msgspec

from holdfast.core.model import Reason, Record
from holdfast.core.policy import lived
from holdfast.core.ports import Store

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
SHOWN: Final = 256  # characters of a text in a log line


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact. `mark` is an id cut to 8 characters, or a key's first 8 digits; no field holds a secret.

    `client` is what limits count by: the principal, else the address. `address` is where the request came from that
    caused the fact; empty for what a keeper does. `lived` is set with the fact that a node has gone, which each node
    that has been told of as opened comes to once: the seconds from its opening to its end.
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
    lived: float | None = None


def event_about(
    record: Record, fact: Fact, at: float, *, detail: str = "", reason: Reason | None = None, gone: bool = False
) -> Event:
    """Return what is told about a node; `gone` says that its row is no more."""
    return Event(
        fact=fact,
        at=at,
        kind=record.kind,
        mark=record.mark or record.hex,
        owner=record.owner,
        client=record.client,
        address=ADDRESS.get(),
        reason=reason or record.reason,
        detail=detail,
        lived=lived(record, at) if gone else None,
    )


class Sink(Protocol):
    """Takes facts. It must return at once and raise nothing."""

    def emit(self, event: Event) -> None:
        """Take one fact."""
        ...


@runtime_checkable
class Attended(Protocol):
    """A sink with work of its own, such as keeping counts in the store. An engine does it beside its own work."""

    async def attend(self, store: Store, kinds: Collection[str], clock: Callable[[], float]) -> None:
        """Work until cancelled; `kinds` are those of the engine. What it raises is logged, and it is called again."""
        ...


class Silence:
    """A sink that forgets."""

    def emit(self, event: Event) -> None:
        """Forget the fact."""


class Sinks:
    """Hands every fact to several sinks."""

    def __init__(self, *sinks: Sink) -> None:
        self.sinks = sinks

    def emit(self, event: Event) -> None:
        """Hand the fact on."""
        for sink in self.sinks:
            sink.emit(event)


class LogLines:
    """One structured line per fact: what needs a look at WARNING, everything else at DEBUG."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._log = logger or logging.getLogger(FACTS_LOG)

    def emit(self, event: Event) -> None:
        """Log the fact."""
        level = logging.WARNING if event.fact in LOUD else logging.DEBUG
        if self._log.isEnabledFor(level):
            self._log.log(level, "%s", as_line(event))


def attended(sink: Sink) -> list[Attended]:
    """Return those that have work of their own, of a sink and the sinks in it."""
    inside = [found for part in sink.sinks for found in attended(part)] if isinstance(sink, Sinks) else []
    return [*inside, *([sink] if isinstance(sink, Attended) else [])]


def as_line(event: Event) -> str:
    """Return a fact as one line of JSON, without its empty fields; texts are cut, so a client cannot fill the log."""
    values = {name: value for name, value in msgspec.to_builtins(event).items() if value not in ("", None)}
    cut = {name: value[:SHOWN] if isinstance(value, str) else value for name, value in values.items()}
    return visible(msgspec.json.encode(cut).decode())


def visible(text: str) -> str:
    """Return text in which nothing ends a line, moves a cursor or turns the order of reading round (ASVS 16.4.1).

    They become `\\n`, `\\u009b` and so on, as JSON writes them; JSON itself escapes fewer than terminals obey.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
