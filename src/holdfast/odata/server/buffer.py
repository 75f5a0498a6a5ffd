"""What a sticky session holds: its new and edited entities, each with what was changed and not saved yet (O10).

An entity is named by its address, such as `Orders('1')`. A new one keeps the name under which it came into the
session, also when its key is filled in; it is found by either. All of it is plain values, as the store keeps them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

SERVICE: Final = "service"  # in the content of a node: which service its entities are of
TAKEN: Final = "taken"


class Taken(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entity in a session.

    Args:
        set: The name of its entity set.
        row: The entity, as plain values.
        etag: Of what is stored of it; what its client knows it by.
        new: It is stored nowhere else.
    """

    set: str
    row: dict[str, Any]
    etag: str
    new: bool = False


class Buffer:
    """The entities of one session by name, in the order in which they came."""

    def __init__(self, taken: Mapping[str, Taken] | None = None) -> None:
        self._taken = dict(taken or {})
        self.state = 0  # another number whenever something else is in it

    @classmethod
    def load(cls, content: Mapping[str, Any]) -> "Buffer":
        """Return the buffer in the content of a node."""
        return cls(msgspec.convert(content.get(TAKEN, {}), dict[str, Taken]))

    def dump(self) -> dict[str, Any]:
        """Return what `load` reads."""
        return {TAKEN: msgspec.to_builtins(self._taken)}

    def __contains__(self, name: str) -> bool:
        return name in self._taken

    def __getitem__(self, name: str) -> Taken:
        return self._taken[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._taken)

    def __len__(self) -> int:
        return len(self._taken)

    def put(self, name: str, taken: Taken) -> None:
        """Add an entity, or what it is now."""
        self._taken[name] = taken
        self.state += 1

    def drop(self, name: str) -> Taken | None:
        """Forget an entity: it is saved, or nobody wants it any more."""
        self.state += 1
        return self._taken.pop(name, None)

    def of(self, set_name: str) -> dict[str, Taken]:
        """Return the entities of a set by name."""
        return {name: taken for name, taken in self._taken.items() if taken.set == set_name}

    def snapshot(self) -> dict[str, Taken]:
        """Return what it holds now, for `restore`."""
        return dict(self._taken)

    def restore(self, snapshot: Mapping[str, Taken]) -> None:
        """Hold again what it held then."""
        self._taken = dict(snapshot)
        self.state += 1
