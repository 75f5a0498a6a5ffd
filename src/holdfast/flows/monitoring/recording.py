"""One run of a message being written down: its lines as they come, its end, and that it began, before it does anything.

A recording without a journal keeps its lines to itself until it fails.
"""

import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from holdfast.flows.monitoring.entries import (
    DEBUG,
    DONE_LINES,
    LINES,
    Count,
    Entry,
    Line,
    Lines,
    Outcome,
    Run,
    failure_of,
)
from holdfast.flows.sessions.trace import Traced

if TYPE_CHECKING:
    from holdfast.flows.monitoring.journal import Journal


class Recording:
    """A run that goes on.

    Args:
        begun: The message and its run, as they stand when it begins.
        number: What no other run has in its journal.
        known: The log may have this message already, by this id.
    """

    def __init__(self, begun: Entry, number: int, journal: "Journal | None" = None, *, known: bool = False) -> None:
        self.begun, self.number, self.known = begun, number, known
        self.written = self.logged = False  # the journal has that it began, the log has its end
        self.unwritten = deque[Line](maxlen=LINES[begun.last.level])
        self._journal = journal
        self._run = begun.last
        self._lines = Lines(LINES[self._run.level])
        self._counts: dict[str, Count] = {}
        self._since = time.monotonic()

    @property
    def debug(self) -> bool:
        """Whether cookies are shown, by name and hash (F10)."""
        return self._run.level == DEBUG

    def step(self, place: str, kind: str, outcome: str, seconds: float, error: str = "") -> None:
        """Note a step that has ended."""
        if outcome != "failed":
            self._counts.pop(place, None)
        self._add(Line(self._at(), place, kind, outcome, round(seconds, 6), error))

    def counted(self, place: str, done: int, total: int | None) -> None:
        """Note how far a loop, split or multicast is."""
        self._counts[place] = Count(done, total)
        if self._journal is not None:
            self._journal.touched(self)

    def traced(self, traced: Traced) -> None:
        """Note a request and its cookies."""
        text = f"{traced.method} {traced.url}"
        self._add(Line(self._at(), traced.channel, "request", str(traced.status), 0.0, text, traced.sent, traced.set))

    async def secure(self) -> None:
        """Return when it is stored that the run has begun, for somebody to find if this worker is killed.

        Raises StoreUnavailable.
        """
        if not self.written and self._journal is not None:
            await self._journal.secure(self)

    def ended(self, outcome: Outcome, now: float, error: BaseException | None = None) -> Entry:
        """Return the message with the run, which has ended."""
        lines, level = self._lines.kept(), self._run.level
        if outcome != "failed" and len(lines) > DONE_LINES[level]:
            half = DONE_LINES[level] // 2
            lines = (*lines[:half], *lines[-half:])
        run = msgspec.structs.replace(
            self._run,
            outcome=outcome,
            ended_at=now,
            lines=lines,
            count=self._lines.count,
            counts=self._counts,
            error=failure_of(error) if error is not None else None,
        )
        return msgspec.structs.replace(self.begun, runs=(run,)).lean()

    @property
    def counts(self) -> dict[str, Count]:
        """How far it is."""
        return dict(self._counts)

    def taken(self) -> list[Line]:
        """Return the lines that were not written yet, to write them."""
        lines = list(self.unwritten)
        self.unwritten.clear()
        return lines

    def so_far(self) -> Entry:
        """Return the message with what its run has done until now, to write it."""
        self.unwritten.clear()
        lines = self._lines
        run: Run = msgspec.structs.replace(self._run, lines=lines.kept(), count=lines.count, counts=self.counts)
        return msgspec.structs.replace(self.begun, runs=(run,))

    def _at(self) -> float:
        return round(time.monotonic() - self._since, 6)

    def _add(self, line: Line) -> None:
        self._lines.add(line)
        if self._journal is not None:
            self.unwritten.append(line)
            self._journal.touched(self)
