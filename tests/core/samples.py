"""Records and kinds that the tests of the core share."""

from typing import Any

from holdfast.core.kinds import Clocks, Kind
from holdfast.core.model import Record


def record(
    key: int = 1, *, parent: int | None = None, tree: int | None = None, kind: str = "http", **more: Any
) -> Record:
    """A live record with small readable keys, made at 0 and ending at 1000 unless `more` says otherwise."""
    values: dict[str, Any] = {"created_at": 0.0, "used_at": 0.0, "ends_at": 1000.0} | more
    own = key.to_bytes(16, "big")
    above = parent.to_bytes(16, "big") if parent is not None else None
    root = (tree if tree is not None else parent if parent is not None else key).to_bytes(16, "big")
    return Record(key=own, tree=root, parent=above, kind=kind, **values)


PLAIN = Kind(name="http", clocks=Clocks(idle=100.0, absolute=1000.0, touch_interval=10.0))
