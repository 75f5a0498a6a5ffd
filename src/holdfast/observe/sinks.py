"""The sinks: every fact is a log line and a count, every security event an audit entry as well (E34)."""

import logging
import os
from collections import Counter
from pathlib import Path

from holdfast.core.events import FACTS_LOG, SECURITY, Event, Fact, as_line

log = logging.getLogger(FACTS_LOG)


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
