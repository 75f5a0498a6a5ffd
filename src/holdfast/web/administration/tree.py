"""What hangs below a logon, as an administrator sees it: sessions of whatever kind, known here or not.

Labels and marks are what logs show as well. No content is opened for it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from holdfast.core.model import Record, State
from holdfast.core.policy import expires_at

SINCE: Final = re.compile(r" \d{9,}$")  # the instant at the end of a label; its age is shown beside it
OVER: Final = "over"  # its time has come, and nobody has cleared it away yet


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One session, and what hangs below it, the oldest first.

    Args:
        mark: How logs name it.
        state: `live`, `ending`, `stranded`, or `over`.
    """

    mark: str
    kind: str
    label: str
    state: str
    created_at: float
    used_at: float
    below: tuple["Node", ...] = ()


class Tree(msgspec.Struct, frozen=True):
    """A page of what hangs below a logon, and where the next one begins; empty at the end.

    What hangs below something that is on another page stands at the top.
    """

    nodes: tuple[Node, ...] = ()
    after: str = ""


def arranged(root: bytes, records: Iterable[Record], now: float) -> tuple[Node, ...]:
    """Return the nodes below a root, each below its parent."""
    listed = sorted(records, key=lambda record: (record.created_at, record.key))
    known = {record.key for record in listed}
    children: dict[bytes, list[Record]] = {}
    for record in listed:
        parent = record.parent if record.parent in known and record.parent is not None else root
        if record.key != root:
            children.setdefault(parent, []).append(record)
    return _below(root, children, now)


def counted(nodes: Iterable[Node]) -> Mapping[str, int]:
    """Return how many there are of each kind, those that have ended already left out."""
    counts: Counter[str] = Counter()
    for node in nodes:
        counts[node.kind] += node.state == State.LIVE
        counts.update(counted(node.below))
    return {kind: count for kind, count in sorted(counts.items()) if count}


def shortened(label: str) -> str:
    """Return a label as it is shown, without the instant that some end with."""
    return SINCE.sub("", label)


def _below(key: bytes, children: Mapping[bytes, Sequence[Record]], now: float) -> tuple[Node, ...]:
    return tuple(
        Node(
            mark=record.mark or record.hex,
            kind=record.kind,
            label=shortened(record.label),
            state=OVER if record.state is State.LIVE and expires_at(record) <= now else record.state.value,
            created_at=record.created_at,
            used_at=record.used_at,
            below=_below(record.key, children, now),
        )
        for record in children.get(key, ())
    )
