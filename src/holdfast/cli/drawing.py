"""The tree of sessions as a picture of text, and its nodes as rows."""

from collections.abc import Iterable, Sequence
from typing import Any

from holdfast.core.events import visible
from holdfast.core.model import Record, State
from holdfast.core.policy import expires_at
from holdfast.web.administration.tree import shortened


def as_row(record: Record, now: float, connections: int = 0) -> dict[str, Any]:
    """Return what is shown of a node: never its payload. Ages and ends are in whole seconds.

    `used` is how long ago a use was recorded, `connections` how many streams it has.
    """
    return {
        "key": record.hex,
        "id": record.mark,
        "kind": record.kind,
        "state": record.state.value,
        "owner": record.owner,
        "label": record.label,
        "age": round(now - record.created_at),
        "used": round(now - record.used_at),
        "ends_in": round(expires_at(record) - now),
        "connections": connections,
        "locks": record.held,
    }


def draw(records: Iterable[Record], now: float) -> list[str]:
    """Return one line per node, roots first, children below their parent."""
    listed = sorted(records, key=lambda record: (record.created_at, record.key))
    known = {record.key for record in listed}
    lines: list[str] = []
    for root in (record for record in listed if record.parent not in known):
        lines.append(_caption(root, now))
        lines += _below(root, listed, now, "")
    return lines


def _below(above: Record, listed: Sequence[Record], now: float, indent: str) -> list[str]:
    children = [record for record in listed if record.parent == above.key]
    lines: list[str] = []
    for child in children:
        last = child is children[-1]
        lines.append(f"{indent}{'└─ ' if last else '├─ '}{_caption(child, now)}")
        lines += _below(child, listed, now, indent + ("   " if last else "│  "))
    return lines


def _caption(record: Record, now: float) -> str:
    name = f"{record.kind} {record.mark or record.hex}"
    facts = [
        shortened(record.label),
        record.owner and f"of {record.owner}",
        f"{max(0, round(now - record.created_at))} s old",
    ]
    if record.state is not State.LIVE:
        facts.insert(0, record.state.value.upper())
    return visible(f"{name}  {', '.join(fact for fact in facts if fact)}")
