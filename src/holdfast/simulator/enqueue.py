"""The enqueue table: who holds which object (ADT §6, §7).

One entry per object. An entry belongs to one context and goes with it; with a release delay it stays visible, and
in the way, for that long after its owner ended.
"""

import base64
import secrets
from collections.abc import Iterator
from typing import Literal

ObjectKey = tuple[str, str]
"""Type such as `CLAS/OC`, name in upper case."""


class LockEntry:
    """One row of SM12. `owner` is a context id; `since` and `gone_at` are Unix seconds."""

    def __init__(self, key: ObjectKey, handle: str, user: str, owner: str, since: float) -> None:
        self.id = secrets.token_hex(8)
        self.key = key
        self.handle = handle
        self.user = user
        self.owner = owner
        self.since = since
        self.gone_at: float | None = None

    @property
    def releasing(self) -> bool:
        """True once the owner has ended and only the delayed release is outstanding."""
        return self.gone_at is not None


class EnqueueTable:
    """All lock entries of the system. `alphabet` chooses the shape of handles (ADT §7.1)."""

    def __init__(self, alphabet: Literal["hex", "base64"]) -> None:
        self._alphabet = alphabet
        self._entries: dict[ObjectKey, LockEntry] = {}
        self._by_owner: dict[str, set[ObjectKey]] = {}

    def entries(self, now: float) -> Iterator[LockEntry]:
        """Yield what SM12 shows at this instant."""
        for key in list(self._entries):
            entry = self.get(key, now)
            if entry is not None:
                yield entry

    def get(self, key: ObjectKey, now: float) -> LockEntry | None:
        """Return the entry in the way of a lock on this object, or None."""
        entry = self._entries.get(key)
        if entry is not None and entry.gone_at is not None and entry.gone_at <= now:
            self.remove(entry)
            return None
        return entry

    def add(self, key: ObjectKey, *, user: str, owner: str, now: float) -> LockEntry:
        """Lock the object. The caller has asked `get` before; a second entry is a programming error."""
        if self.get(key, now) is not None:
            raise ValueError(f"{key} is locked already")
        entry = LockEntry(key, self._new_handle(), user, owner, now)
        self._entries[key] = entry
        self._by_owner.setdefault(owner, set()).add(key)
        return entry

    def holds(self, key: ObjectKey, *, handle: str, owner: str, now: float) -> bool:
        """Tell whether this context holds the object with exactly this handle."""
        entry = self.get(key, now)
        return entry is not None and (entry.handle, entry.owner) == (handle, owner)

    def remove(self, entry: LockEntry) -> None:
        """Take the entry out, if it is still in."""
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
            self._by_owner.get(entry.owner, set()).discard(entry.key)

    def remove_id(self, entry_id: str, now: float) -> bool:
        """Delete one row by its id, as an administrator does in SM12; False if there is none."""
        found = [entry for entry in self.entries(now) if entry.id == entry_id]
        for entry in found:
            self.remove(entry)
        return bool(found)

    def release_owner(self, owner: str, now: float, delay_s: float) -> None:
        """Release everything this context holds, at once or `delay_s` later (ADT §6)."""
        for key in list(self._by_owner.pop(owner, ())):
            entry = self._entries[key]
            if delay_s > 0:
                entry.gone_at = now + delay_s
            else:
                del self._entries[key]

    def clear(self) -> None:
        """Forget all entries: the enqueue server has restarted."""
        self._entries.clear()
        self._by_owner.clear()

    def _new_handle(self) -> str:
        raw = secrets.token_bytes(20)
        return raw.hex().upper() if self._alphabet == "hex" else base64.b64encode(raw).decode()
