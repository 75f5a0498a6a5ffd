"""Ordered collections for the memory store: a sorted set, an index of keys by value, and a timeline of keys.

All three keep 8 to 60 bytes per member and never hold garbage: what is removed is gone at once.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item", int, bytes)

CHUNK = 1_024  # a chunk longer than this is split in two
WIDTH_S = 4  # how coarse a timeline is: at most this many seconds of members are looked at in vain
FAR = 2.0**52  # this and every later instant, infinity included, are in one bucket
LAST = int(FAR) // WIDTH_S


class Shelf(Generic[Item]):
    """A set that is always sorted: chunks of sorted lists, so adding one among a million moves a few hundred."""

    __slots__ = ("_chunks", "_firsts", "_size")

    def __init__(self) -> None:
        self._chunks: list[list[Item]] = []
        self._firsts: list[Item] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, item: Item) -> None:
        """Add an item that is not there yet."""
        self._size += 1
        if not self._chunks:
            self._chunks.append([item])
            self._firsts.append(item)
            return
        place = max(bisect_right(self._firsts, item) - 1, 0)
        chunk = self._chunks[place]
        insort(chunk, item)
        self._firsts[place] = chunk[0]
        if len(chunk) > CHUNK:
            half = chunk[CHUNK // 2 :]
            del chunk[CHUNK // 2 :]
            self._chunks.insert(place + 1, half)
            self._firsts.insert(place + 1, half[0])

    def remove(self, item: Item) -> None:
        """Remove an item that is there."""
        place = bisect_right(self._firsts, item) - 1
        chunk = self._chunks[place]
        del chunk[bisect_left(chunk, item)]
        self._size -= 1
        if chunk:
            self._firsts[place] = chunk[0]
        else:
            del self._chunks[place], self._firsts[place]

    def after(self, item: Item) -> Iterator[Item]:
        """Yield what is greater than the item, in order."""
        place = max(bisect_right(self._firsts, item) - 1, 0)
        for number in range(place, len(self._chunks)):
            chunk = self._chunks[number]
            yield from chunk[bisect_right(chunk, item) :] if number == place else chunk

    def __iter__(self) -> Iterator[Item]:
        for chunk in self._chunks:
            yield from chunk


class Index:
    """Which keys have a value. A value that one key has costs no container."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: dict[Hashable, bytes | Shelf[bytes]] = {}

    def add(self, value: Hashable, key: bytes) -> None:
        """Note that the key has the value."""
        found = self._keys.setdefault(value, key)
        if found is key:
            return
        if isinstance(found, bytes):
            shelf: Shelf[bytes] = Shelf()
            shelf.add(found)
            self._keys[value] = found = shelf
        found.add(key)

    def discard(self, value: Hashable, key: bytes) -> None:
        """Forget that the key has the value."""
        found = self._keys[value]
        if isinstance(found, Shelf):
            found.remove(key)
            if len(found):
                return
        del self._keys[value]

    def count(self, value: Hashable) -> int:
        """Return how many keys have the value."""
        found = self._keys.get(value)
        return 0 if found is None else 1 if isinstance(found, bytes) else len(found)

    def keys(self, value: Hashable, after: bytes = b"") -> Iterator[bytes]:
        """Yield the keys that have the value and are greater than `after`, in order."""
        found = self._keys.get(value)
        if isinstance(found, Shelf):
            yield from found.after(after)
        elif found is not None and found > after:
            yield found


class Timeline:
    """Which keys an instant belongs to, in buckets of a few seconds.

    Moving a key within its bucket costs nothing, and reading up to an instant costs what lies before it, however many
    keys lie behind.
    """

    __slots__ = ("_buckets", "_order")

    def __init__(self) -> None:
        self._buckets: dict[int, set[bytes]] = {}
        self._order: Shelf[int] = Shelf()

    def move(self, key: bytes, old: float | None, new: float | None) -> None:
        """Move the key from one instant to another; None is off the timeline."""
        source = None if old is None else _bucket(old)
        target = None if new is None else _bucket(new)
        if source == target:
            return
        if source is not None:
            self._discard(source, key)
        if target is not None:
            self._add(target, key)

    def until(self, instant: float) -> Iterator[list[bytes]]:
        """Yield the buckets that hold everything at or before the instant, earliest first; the last may hold more."""
        last = _bucket(instant)
        for number in self._order:
            if number > last:
                return
            yield list(self._buckets[number])

    def _add(self, number: int, key: bytes) -> None:
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = bucket = set()
            self._order.add(number)
        bucket.add(key)

    def _discard(self, number: int, key: bytes) -> None:
        bucket = self._buckets[number]
        bucket.remove(key)
        if not bucket:
            del self._buckets[number]
            self._order.remove(number)


def _bucket(instant: float) -> int:
    return int(instant) // WIDTH_S if instant < FAR else LAST
