"""The clocks and limits of a node: when it ends, when a use is written, who makes room. Values in, values out."""

from collections.abc import Iterable

import msgspec

from holdfast.core.model import Limit, Policy, Record


def expires_at(record: Record) -> float:
    """Return the instant from which the node is absent (E7). A held node below suspends idleness, not the end."""
    end = record.ends_at
    if record.held:
        return end
    if record.sliding is not None:
        end = min(end, record.slid_at + record.sliding)
    if record.idle is not None:
        end = min(end, record.used_at + record.idle)
    return end


def lived(record: Record, now: float) -> float:
    """Return the seconds from a node's opening to its end, which is when a clock ran out, whenever that was noticed."""
    ended_at = now if record.ended_at is None else record.ended_at
    return max(min(ended_at, expires_at(record)) - record.created_at, 0.0)


def touched(record: Record, now: float, after: float, busy_until: float = 0.0) -> Record | None:
    """Return the record with its use at `now` recorded, or None if a recent record of use will do (E8)."""
    busy = busy_until > record.busy_until
    if now - record.used_at < after and not busy:
        return None
    slides = record.sliding is not None and now - record.slid_at >= record.slides_after
    return msgspec.structs.replace(
        record,
        used_at=max(now, record.used_at),
        slid_at=now if slides else record.slid_at,
        busy_until=max(busy_until, record.busy_until),
    )


def may_be_replaced(record: Record, limit: Limit, now: float) -> bool:
    """Say whether a limit may end this session: none that holds a lock or runs a call (E12)."""
    return not record.held and record.busy_until <= now and record.key not in limit.spare


def victims(limit: Limit, siblings: Iterable[Record], now: float) -> list[Record] | None:
    """Return which of the live `siblings` must go so that one more fits, or None if they may not.

    An empty list means that there is room.
    """
    living = list(siblings)
    excess = len(living) + 1 - limit.most
    if excess <= 0:
        return []
    if limit.policy is Policy.REJECT:
        return None
    candidates = [record for record in living if may_be_replaced(record, limit, now)]
    if limit.policy is Policy.OLDEST:
        candidates.sort(key=lambda record: (record.created_at, record.key))
    else:
        candidates.sort(key=lambda record: (record.used_at, record.key))
    return candidates[:excess] if len(candidates) >= excess else None
