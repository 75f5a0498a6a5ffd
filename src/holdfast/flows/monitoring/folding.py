"""What a journal says: batches of what has happened, and what follows from them. Pure.

A `fresh` batch says all that there is to say, and stands for all that came before it.
"""

from collections.abc import Iterable

import msgspec

from holdfast.flows.monitoring.entries import Count, Entry, Line, Lines


class Batch(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Runs by their numbers: those that have begun, as they stood then; more lines and the counts of some; those that
    have ended.
    """

    fresh: bool = False
    begun: list[tuple[int, Entry]] = []
    lines: list[tuple[int, list[Line]]] = []
    ended: list[int] = []
    counts: list[tuple[int, dict[str, Count]]] = []

    def __bool__(self) -> bool:
        return bool(self.fresh or self.begun or self.lines or self.ended)


def folded(batches: Iterable[Batch]) -> list[Entry]:
    """Return the messages whose run has begun and has not ended, with what it has done."""
    going: dict[int, tuple[Entry, Lines]] = {}
    counted: dict[int, dict[str, Count]] = {}
    for batch in batches:
        if batch.fresh:
            going.clear()
        going.update({number: (entry, Lines.of(entry.last)) for number, entry in batch.begun})
        counted.update({number: entry.last.counts for number, entry in batch.begun})
        counted.update(batch.counts)
        for number, lines in batch.lines:
            for line in lines if number in going else ():
                going[number][1].add(line)
        for number in batch.ended:
            going.pop(number, None)
    return [_with(entry, lines, counted[number]) for number, (entry, lines) in going.items()]


def _with(entry: Entry, lines: Lines, counts: dict[str, Count]) -> Entry:
    run = msgspec.structs.replace(entry.last, lines=lines.kept(), count=lines.count, counts=counts)
    return msgspec.structs.replace(entry, runs=(run,))
