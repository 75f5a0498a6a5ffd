"""What the chaos program and one worker share: a clock's offset, and where the worker has to stop itself.

A small file mapped into both. It is all that a worker knows of the chaos around it.
"""

import mmap
import struct
from pathlib import Path

OFFSET, STEP, FROZEN = 0, 8, 12
SIZE = 16
OPERATIONS = ("update", "unlock", "lock", "keep alive", "close lock", "close logon")


class Control:
    """The shared values of one worker."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(SIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE)

    @property
    def offset(self) -> float:
        """How many seconds the worker's clock is ahead."""
        return float(struct.unpack_from("=d", self._map, OFFSET)[0])

    @offset.setter
    def offset(self, seconds: float) -> None:
        struct.pack_into("=d", self._map, OFFSET, seconds)

    @property
    def step(self) -> int:
        """At which await under a lease the next operation has to stop; 0 for none."""
        return int(struct.unpack_from("=i", self._map, STEP)[0])

    @step.setter
    def step(self, number: int) -> None:
        struct.pack_into("=i", self._map, STEP, number)

    @property
    def frozen(self) -> tuple[str, int] | None:
        """In which operation and at which await the worker has stopped itself, None if it has not."""
        number = struct.unpack_from("=i", self._map, FROZEN)[0]
        return (OPERATIONS[number // 256], number % 256) if number else None

    @frozen.setter
    def frozen(self, where: tuple[str, int] | None) -> None:
        number = OPERATIONS.index(where[0]) * 256 + where[1] if where is not None else 0
        struct.pack_into("=i", self._map, FROZEN, number)
