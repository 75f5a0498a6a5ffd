"""Closing as decisions: in which order, when to try again, when to give up (E14-E16). Values in, values out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from holdfast.core.kinds import Kind
from holdfast.core.model import Record, State

FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
BUSY_RETRY_S: Final = 0.5
STRANDED_RETRY_S: Final = 3600.0


def levels(top: Record, tree: Iterable[Record]) -> list[list[Record]]:
    """Return the subtree of `top` by depth, deepest first: what is closed in parallel, one level after the other."""
    children: dict[bytes, list[Record]] = {}
    for record in tree:
        if record.parent is not None:
            children.setdefault(record.parent, []).append(record)
    found = [[top]]
    while below := [child for record in found[-1] for child in children.get(record.key, ())]:
        found.append(below)
    return found[::-1]


def removable(order: Sequence[Record], failed: Iterable[bytes], kinds: Mapping[str, Kind]) -> list[Record]:
    """Return the nodes whose rows may go, leaves first: all but those that failed, and those above one that failed.

    A node of a kind that ends its children outside settles them by its own success.
    """
    stuck = set(failed)
    by_key = {record.key: record for record in order}
    for record in order:  # leaves first, so a failure climbs up
        if record.key not in stuck or record.parent not in by_key:
            continue
        above = by_key[record.parent]
        if not kinds[above.kind].ends_children or above.key in stuck:
            stuck.add(above.key)
    settled = {r.key for r in order if r.key not in stuck and kinds[r.kind].ends_children}
    for record in reversed(order):  # what such a success settles goes with it, whole
        if record.parent in settled:
            settled.add(record.key)
    return [record for record in order if record.key not in stuck or record.key in settled]


def certainly_gone(kind: Kind, ended_at: float, now: float) -> bool:
    """Say whether the outside has forgotten by itself by now, so that nothing is left to close."""
    return kind.gone_after is not None and now >= ended_at + kind.gone_after


def after_failure(record: Record, now: float, patience: float) -> Record:
    """Return the marked node with its next try: 1, 2, 4 … 60 s apart, and stranded once patience has run out."""
    ended_at = now if record.ended_at is None else record.ended_at
    delay = min(FIRST_RETRY_S * 2.0**record.attempts, LONGEST_RETRY_S)
    stranded = record.state is State.STRANDED or now - ended_at >= patience
    return msgspec.structs.replace(
        record,
        state=State.STRANDED if stranded else record.state,
        ended_at=ended_at,
        attempts=min(record.attempts + 1, 32),
        due_at=now + (STRANDED_RETRY_S if stranded else delay),
    )


def after_busy(record: Record, now: float) -> Record:
    """Return the marked node with its next try soon: somebody's request is still on its way below it."""
    return msgspec.structs.replace(record, due_at=now + BUSY_RETRY_S)
