"""How far the loops, splits and multicasts of flows are (F18): bars on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from holdfast.flows.runtime import Counted, StepEnded

LINE_EVERY_S: Final = 5.0
COUNTED_KINDS: Final = ("loop", "split", "multicast")
Event = Counted | StepEnded


class Count(msgspec.Struct):
    """How far all messages together are at one place; nobody knows the `total` of a loop."""

    done: int = 0
    total: int | None = 0


class Counts:
    """Adds up what messages do at each place of a flow."""

    def __init__(self) -> None:
        self.places: dict[str, Count] = {}
        self._at: dict[tuple[str, str], int] = {}  # of messages that are at it

    def take(self, event: Event) -> Count | None:
        """Take an event; return the count that it changed."""
        key = event.message, event.place
        if isinstance(event, StepEnded):
            if event.kind in COUNTED_KINDS:  # not of a step that stands in it, in the same line
                self._at.pop(key, None)
            return None
        count = self.places.setdefault(event.place, Count())
        before = self._at.get(key, 0)
        if before == 0 or event.done <= before:  # it has come here, or once more
            before = 0
            count.total = None if event.total is None or count.total is None else count.total + event.total
        count.done += event.done - before
        self._at[key] = event.done
        return count


@contextmanager
def shown_progress(
    *, quiet: bool = False, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Event], None]]:
    """Show on stderr what the function that is yielded is told, until the block ends; `quiet` shows nothing."""
    stream = stream or sys.stderr
    counts = Counts()
    if quiet:
        yield lambda event: None
    elif stream.isatty():
        with _bars(stream) as progress:
            yield _Bars(progress, counts).take
    else:
        yield _Lines(stream, counts, clock).take


def _bars(stream: TextIO) -> Progress:
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(file=stream)
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)


class _Bars:
    def __init__(self, progress: Progress, counts: Counts) -> None:
        self._progress, self._counts = progress, counts
        self._tasks: dict[str, TaskID] = {}

    def take(self, event: Event) -> None:
        if (count := self._counts.take(event)) is not None:
            task = self._tasks.get(event.place)
            if task is None:
                task = self._tasks[event.place] = self._progress.add_task(event.place, total=None)
            self._progress.update(task, completed=count.done, total=count.total)


class _Lines:
    def __init__(self, stream: TextIO, counts: Counts, clock: Callable[[], float]) -> None:
        self._stream, self._counts, self._clock = stream, counts, clock
        self._told: dict[str, float] = {}

    def take(self, event: Event) -> None:
        count, now = self._counts.take(event), self._clock()
        if count is not None and now - self._told.setdefault(event.place, now) >= LINE_EVERY_S:
            self._told[event.place] = now
            of = "" if count.total is None else f" of {count.total:,}"
            print(f"{event.place}: {count.done:,}{of}", file=self._stream, flush=True)
