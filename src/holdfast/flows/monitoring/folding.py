"""What a journal says: batches of what has happened, and what follows from them. Pure.

A `fresh` batch says all that there is to say, and stands for all that came before it.
"""

from collections.abc import Iterable

import msgspec

from holdfast.flows.monitoring.entries import Entry, Line, Lines


class Batch(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Runs by their numbers: those that have begun, as they stood then; more lines of some; those that have ended."""

    fresh: bool = False
    begun: list[tuple[int, Entry]] = []
    lines: list[tuple[int, list[Line]]] = []
    ended: list[int] = []

    def __bool__(self) -> bool:
        return bool(self.fresh or self.begun or self.lines or self.ended)


def folded(batches: Iterable[Batch]) -> list[Entry]:
    """Return the messages whose run has begun and has not ended, with what it has done."""
    going: dict[int, tuple[Entry, Lines]] = {}
    for batch in batches:
        if batch.fresh:
            going.clear()
        going.update({number: (entry, Lines.of(entry.last)) for number, entry in batch.begun})
        for number, lines in batch.lines:
            for line in lines if number in going else ():
                going[number][1].add(line)
        for number in batch.ended:
            going.pop(number, None)
    return [_with(entry, lines) for entry, lines in going.values()]


def _with(entry: Entry, lines: Lines) -> Entry:
    run = msgspec.structs.replace(entry.last, lines=lines.kept(), count=lines.count)
    return msgspec.structs.replace(entry, runs=(run,))
