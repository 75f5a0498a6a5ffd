"""The sinks: every fact is a log line and a count, every security event an audit entry as well (E34)."""

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.events import Event, Fact, Sink

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
log = logging.getLogger("holdfast.events")


def as_line(event: Event) -> str:
    """Return a fact as one line of JSON, without its empty fields."""
    values = msgspec.to_builtins(event)
    return msgspec.json.encode({name: value for name, value in values.items() if value not in ("", None)}).decode()


class LogLines:
    """One structured line per fact: what needs a look at WARNING, everything else at DEBUG."""

    def emit(self, event: Event) -> None:
        """Log the fact."""
        log.log(logging.WARNING if event.fact in LOUD else logging.DEBUG, "%s", as_line(event))


class AuditTrail:
    """One line per security event, appended to a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def emit(self, event: Event) -> None:
        """Append the fact if it is a security event; one write, so that processes can share the file."""
        if event.fact not in SECURITY:
            return
        try:
            os.write(self._file, as_line(event).encode() + b"\n")
        except OSError as exc:  # a full disk must not keep a session from being ended
            log.error("the audit trail cannot be written: %s", exc.strerror)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class Counts:
    """How often each fact occurred in this process."""

    def __init__(self) -> None:
        self.of: Counter[Fact] = Counter()

    def emit(self, event: Event) -> None:
        """Count the fact."""
        self.of[event.fact] += 1


class Sinks:
    """Hands every fact to several sinks."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def emit(self, event: Event) -> None:
        """Hand the fact on."""
        for sink in self._sinks:
            sink.emit(event)
