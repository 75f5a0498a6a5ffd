"""The seam below `Forest`: the rows of one namespace, as they are seen and changed within one atomic step."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from holdfast.core.model import Limit, Record


class Rows(Protocol):
    """What a store has to offer so that `Forest` can give its operations their meaning.

    A *bare* record may come without its payload. Nobody else changes anything between two calls of one step.
    """

    def whole(self, key: bytes) -> Record | None:
        """Return the row with this key."""
        ...

    def bare(self, key: bytes) -> Record | None:
        """Return the row with this key, bare."""
        ...

    def named(self, alias: bytes) -> Record | None:
        """Return the row with this alias."""
        ...

    def insert(self, record: Record) -> None:
        """Add a row whose key and alias are free."""
        ...

    def update(self, old: Record, new: Record) -> None:
        """Write what differs; `old` is as stored, and both are bare or neither is."""
        ...

    def touch(self, old: Record, new: Record) -> None:
        """Write the use of a LIVE row: only `used_at`, `slid_at` and `busy_until` differ."""
        ...

    def remove(self, record: Record) -> None:
        """Remove a row with its lease and its event logs."""
        ...

    def children(self, key: bytes) -> Sequence[Record]:
        """Return the rows directly below, bare."""
        ...

    def has_children(self, key: bytes) -> bool:
        """Say whether anything is directly below."""
        ...

    def rivals(self, record: Record, limit: Limit) -> list[Record]:
        """Return the LIVE rows of the record's kind in the scope; an empty list if they are fewer than `most`."""
        ...

    def living(self, kind: str, now: float) -> int:
        """Return how many rows of a kind live by their own clocks, without reading those that do."""
        ...

    def due(self, now: float) -> Iterator[Record]:
        """Yield the rows with `due_at <= now` whose lease has run out, earliest first."""
        ...

    def kinds_below(self, key: bytes) -> set[str]:
        """Return the kinds of everything below."""
        ...

    def lease(self, key: bytes) -> tuple[int, float]:
        """Return the fence and the end of a node's last lease; 0 and 0.0 if it never had one."""
        ...

    def set_lease(self, key: bytes, fence: int, until: float) -> None:
        """Write fence and end of a node's lease."""
        ...
