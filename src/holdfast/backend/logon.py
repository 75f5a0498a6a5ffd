"""What is kept of one logon at a back end: the sealed content of a `backend` node. A logon has one owner (A2)."""

from typing import Any, Literal

import msgspec

from holdfast.core.model import Reason

Purpose = Literal["read", "edit"]
MOST_PAST_LOCKS = 16


class PastLock(msgspec.Struct, frozen=True, array_like=True):
    """A lock that has ended here: kept so that a late call can be told why. `known` is what was written under it."""

    key: bytes
    subject: str
    reason: Reason
    at: float
    known: dict[str, bytes] = {}


class Logon(msgspec.Struct, kw_only=True):
    """One logon. Instants are Unix seconds; `idle_limit` is the back end's own time-out in seconds, if it told it.

    `version` grows when cookies or token change (A11). `broken` says that the logon is known to be gone, so that
    nothing is sent with it any more.
    """

    system: str
    user: str
    purpose: Purpose
    jar: list[Any] = []
    token: str = ""
    context: str = ""
    version: int = 0
    since: float = 0.0
    used_at: float = 0.0
    idle_limit: float | None = None
    broken: bool = False
    past: list[PastLock] = []

    def remember(self, lock: PastLock) -> None:
        """Note a lock that has ended; the oldest notes go."""
        self.past = [*(past for past in self.past if past.key != lock.key), lock][-MOST_PAST_LOCKS:]

    def past_lock(self, key: bytes) -> PastLock | None:
        """Return the note about a lock, None if there is none (any more)."""
        return next((past for past in self.past if past.key == key), None)

    def dump(self) -> dict[str, Any]:
        """Return the logon as a node's content."""
        plain: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(bytes,))
        return plain

    @classmethod
    def load(cls, content: dict[str, Any]) -> "Logon":
        """Return the logon a node's content stands for."""
        return msgspec.convert(content, cls)

    def __repr__(self) -> str:
        """Name the logon; cookies, token and context stay inside."""
        return f"<Logon {self.purpose} {self.user}@{self.system}>"
