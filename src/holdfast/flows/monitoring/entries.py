"""What the log of messages says of one: how often it was processed, what was done, why it failed. Plain values.

A message has one run, and one more each time it is sent again. A run that has not ended belongs to a worker.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from holdfast.errors import BadInput, HoldfastError
from holdfast.flows.failures import CallRefused, StepFailed
from holdfast.flows.message import Message
from holdfast.flows.sessions.trace import Shown

Outcome = Literal["running", "done", "filtered", "failed"]
OUTCOMES: Final = ("running", "done", "filtered", "failed")
DEBUG: Final = "debug"
INFO: Final = "info"
LINES: Final = {INFO: 200, DEBUG: 1000}  # of a run; the first half and the last are kept
DONE_LINES: Final = {INFO: 20, DEBUG: 1000}  # of a run that went well
RUNS: Final = 10  # of a message; the first and the last are kept
TEXT_CHARS: Final = 2000
DIED: Final = "worker_died"
STOPPED: Final = "interrupted"


class Line(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One thing that was done, `at` so many seconds after the run began.

    Of a step: its place, kind, outcome, how long it took, and why it failed. Of a request (kind `request`, at DEBUG):
    the channel, the status, method and URL, and the cookies that were sent and set, by name and hash (F10).
    """

    at: float
    place: str
    kind: str
    outcome: str
    seconds: float = 0.0
    text: str = ""
    sent: tuple[Shown, ...] = ()
    set: tuple[Shown, ...] = ()


class Lines:
    """The lines of a run: of many the first and the last."""

    def __init__(self, most: int) -> None:
        self._first: list[Line] = []
        self._last: deque[Line] = deque(maxlen=most // 2)
        self._room, self.count = most - most // 2, 0

    @classmethod
    def of(cls, run: "Run") -> "Lines":
        """Return the lines that a run has, for more to come."""
        lines = cls(LINES[run.level])
        for line in run.lines:
            lines.add(line)
        lines.count = run.count
        return lines

    def add(self, line: Line) -> None:
        """Add a line; one in the middle gives way."""
        self.count += 1
        (self._first if self.count <= self._room else self._last).append(line)

    def kept(self) -> tuple[Line, ...]:
        """Return the lines that are kept, in order."""
        return (*self._first, *self._last)


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a run failed; `answer` is what the receiver said, if it refused."""

    code: str
    text: str
    place: str = ""
    step: str = ""
    answer: str = ""


class Count(NamedTuple):
    """How far a loop, split or multicast is; of a loop nobody knows the `total` (F18)."""

    done: int
    total: int | None

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"{self.done} rounds" if self.total is None else f"{self.done} of {self.total}"


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One processing of a message. Instants are Unix seconds; `count` are all lines, of which not all may be kept.

    `counts` are those of loops, splits and multicasts that go on, or have failed, by their places.
    """

    worker: str
    began_at: float
    level: str = INFO
    outcome: Outcome = "running"
    ended_at: float | None = None
    lines: tuple[Line, ...] = ()
    count: int = 0
    counts: dict[str, Count] = {}
    error: Failure | None = None

    @property
    def id(self) -> tuple[str, float]:
        """What no other run of the message has."""
        return self.worker, self.began_at


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message in the log.

    Args:
        file: Where the flow was read from, by whoever processed the message.
        kept: The message as it came in, encoded; None if it is not kept, and `not_kept` says why.
    """

    id: str
    flow: str
    file: str = ""
    kept: bytes | None = None
    not_kept: str = ""
    runs: tuple[Run, ...]

    @property
    def last(self) -> Run:
        """The run that counts: one that goes on, else the latest."""
        if len(self.runs) == 1:
            return self.runs[0]
        return next((run for run in self.runs if run.outcome == "running"), self.runs[-1])

    @property
    def outcome(self) -> Outcome:
        """How the message stands."""
        return self.last.outcome

    @property
    def error(self) -> Failure | None:
        """Why it failed."""
        return self.last.error

    def lean(self) -> "Entry":
        """Return the entry without the message, unless that may have to be sent again."""
        if self.kept is None or self.outcome in ("failed", "running"):
            return self
        return msgspec.structs.replace(self, kept=None, not_kept="")

    def message(self) -> Message:
        """Return the message as it came in. Raises BadInput if it is not kept."""
        if self.kept is None:
            why = self.not_kept or f"it is {self.outcome}, and no more kept"
            raise BadInput(f"message {self.id} cannot be sent again: {why}", hint="Let its sender send it again.")
        body, headers, properties = msgspec.msgpack.decode(self.kept)
        return Message(id=self.id, body=body, headers=headers, properties=properties)


def kept(message: Message, most: int) -> tuple[bytes | None, str]:
    """Return a message encoded, or why it is not kept: over `most` bytes, or made of what has no form in a store."""
    try:
        encoded = msgspec.msgpack.encode((message.body, message.headers, message.properties))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None, f"its body, of type {type(message.body).__name__}, or a header cannot be stored"
    if len(encoded) > most:
        return None, f"it has {len(encoded):,} bytes, and no more than {most:,} are kept"
    return encoded, ""


def failure_of(error: BaseException) -> Failure:
    """Return what the log says of an error. What was not expected is told by its type alone."""
    if isinstance(error, StepFailed):
        cause = error.cause
        answer = str(cause.answer or "")[:TEXT_CHARS] if isinstance(cause, CallRefused) else ""
        return Failure(cause.code, str(cause)[:TEXT_CHARS], error.place, error.kind, answer)
    if isinstance(error, HoldfastError):
        return Failure(error.code, str(error)[:TEXT_CHARS])
    if isinstance(error, Exception):
        return Failure("internal", f"the flow failed with {type(error).__name__}")
    return Failure(STOPPED, "the processing was stopped before its end")


def merged(old: Entry, new: Entry) -> Entry:
    """Return what is known of a message after more has come to be known of some of its runs.

    A run is replaced by a later word about itself; only that its worker has died is no word against one that has ended.
    """
    runs = {run.id: run for run in old.runs}
    for run in new.runs:
        before = runs.get(run.id)
        if before is None or before.outcome == "running" or (run.error is None or run.error.code != DIED):
            runs[run.id] = run
    known = old if old.kept is not None else new
    return msgspec.structs.replace(
        old,
        file=new.file or old.file,
        kept=known.kept,
        not_kept=known.not_kept,
        runs=bounded(sorted(runs.values(), key=lambda run: run.began_at)),
    ).lean()


def bounded(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Return no more runs than are kept."""
    first, *others = runs
    return (first, *others[-RUNS + 1 :])


def died(entry: Entry, now: float) -> Entry:
    """Return a message whose worker has died: what it had done is known, as far as it was written."""
    text = "the worker that processed it has died; what it has done shows below, but for the last instants"
    run = msgspec.structs.replace(entry.last, outcome="failed", ended_at=now, error=Failure(DIED, text))
    return msgspec.structs.replace(entry, runs=(run,))


def fitting(entry: Entry) -> Iterator[Entry]:
    """Yield the entry, and then with ever less of it, for a store that does not take more."""
    yield entry
    *before, last = entry.runs
    entry = msgspec.structs.replace(entry, runs=(*(msgspec.structs.replace(run, lines=()) for run in before), last))
    yield entry
    short = msgspec.structs.replace(last, lines=(*last.lines[:10], *last.lines[-10:])) if len(last.lines) > 20 else last
    entry = msgspec.structs.replace(entry, runs=(*entry.runs[:-1], short))
    yield entry
    yield msgspec.structs.replace(entry, kept=None, not_kept="it is larger than what a store takes")
