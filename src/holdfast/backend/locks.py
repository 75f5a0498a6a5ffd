"""Where one lock stands: the sealed content of a `lock` node, and what may follow what. Values in, values out.

A lock node is written before the lock is asked for and before every change made under it (A1), so that whoever finds
it after a crash knows what may have happened:

    INTENT --locked--> HELD --unlocked--> RELEASED
       \\--- gone ----> GONE <--- gone ---/

`operation` is what its holder has sent and not yet seen the end of. Whoever takes the lease of the back-end session
and finds one, has it from a holder that did not finish: it settles it first (A5). A holder puts its own operation in
the trip that takes the lease, on the version it has read; so it can never write over one that is open.
"""

import enum
import hashlib
from typing import Any, Final, Literal

import msgspec

from holdfast.errors import BackendError

OperationKind = Literal["lock", "put", "unlock"]


class Phase(enum.StrEnum):
    """What the back end was last known to think of the lock."""

    INTENT = "intent"
    HELD = "held"
    RELEASED = "released"
    GONE = "gone"


class Signal(enum.Enum):
    """One fact learnt from the back end."""

    LOCKED = "locked"
    UNLOCKED = "unlocked"
    GONE = "gone"  # refused, deleted by an administrator, lost with its context


TRANSITIONS: Final = {
    (Phase.INTENT, Signal.LOCKED): Phase.HELD,
    (Phase.INTENT, Signal.UNLOCKED): Phase.RELEASED,
    (Phase.INTENT, Signal.GONE): Phase.GONE,
    (Phase.HELD, Signal.LOCKED): Phase.HELD,  # locked again in a new context after a crash
    (Phase.HELD, Signal.UNLOCKED): Phase.RELEASED,
    (Phase.HELD, Signal.GONE): Phase.GONE,
    (Phase.RELEASED, Signal.UNLOCKED): Phase.RELEASED,
    (Phase.RELEASED, Signal.GONE): Phase.RELEASED,
    (Phase.GONE, Signal.GONE): Phase.GONE,
    (Phase.GONE, Signal.UNLOCKED): Phase.GONE,
}


class Outcome(enum.StrEnum):
    """What became of a change (A6)."""

    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    UNKNOWN = "unknown"


class Step(enum.Enum):
    """What has to be done about a lock before anything else."""

    GO_ON = "go on"
    RELEASE = "release"  # an UNLOCK was on its way: the end of its context settles it
    LOCK_AGAIN = "lock again"  # end the old context, lock in a new one; after a PUT, read back and compare


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A request sent, or about to be sent. `digest` is the SHA-256 of the text of a PUT, normalised as SAP keeps it."""

    kind: OperationKind
    at: float
    part: str = "main"
    digest: bytes = b""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the last PUT. `until` is when the keeper compares once more; 0 for never (A5)."""

    part: str
    digest: bytes
    outcome: Outcome
    at: float
    until: float = 0.0


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """One object's lock. `spent` says that a write was refused, after which SAP may not honour the handle any more.

    `generation` is the workspace's count of locks when this one was taken: what `session_state` is compared with.
    What somebody else's change is told by (A8): `held_at` is the back end's clock when it gave the lock, `writes` how
    many writes of ours each part had seen by then, `known` the digest of what was last written to a part under it.
    """

    system: str
    user: str
    type: str
    name: str
    phase: Phase = Phase.INTENT
    handle: str = ""
    transport: str = ""
    generation: int = 0
    taken_at: float = 0.0
    operation: Operation | None = None
    last: Settled | None = None
    spent: bool = False
    held_at: float = 0.0
    writes: dict[str, int] = {}
    known: dict[str, bytes] = {}

    @property
    def subject(self) -> str:
        """The object, as people name it."""
        return f"{self.type} {self.name}"

    @property
    def step(self) -> Step:
        """What whoever has just taken the lease has to do first."""
        if self.operation is not None:
            return Step.RELEASE if self.operation.kind == "unlock" else Step.LOCK_AGAIN
        return Step.LOCK_AGAIN if self.spent and self.phase is Phase.HELD else Step.GO_ON

    def begun(self, operation: Operation) -> "Lock":
        """Return the lock with an operation on its way. One that is open must be settled first."""
        if self.operation is not None:
            raise BackendError("another operation on this lock has not been settled")
        allowed = (Phase.INTENT,) if operation.kind == "lock" else (Phase.HELD,)
        if self.phase not in allowed:
            raise BackendError(f"a {operation.kind} cannot follow: the lock is {self.phase}")
        return msgspec.structs.replace(self, operation=operation)

    def after(self, signal: Signal, *, handle: str = "", transport: str = "") -> "Lock":
        """Return the lock after a signal; a handle is kept while it is held and no longer."""
        phase = TRANSITIONS.get((self.phase, signal))
        if phase is None:
            raise BackendError(f"{signal.value} cannot follow: the lock is {self.phase}")
        held = phase is Phase.HELD
        return msgspec.structs.replace(
            self,
            phase=phase,
            handle=(handle or self.handle) if held else "",
            transport=transport or self.transport,
            spent=self.spent and held and not handle,
        )

    def settled(self, outcome: Outcome, *, at: float, until: float = 0.0, spent: bool = False) -> "Lock":
        """Return the lock with its operation closed; that of a PUT is remembered."""
        operation = self.operation
        last, known = self.last, self.known
        if operation is not None and operation.kind == "put":
            last = Settled(part=operation.part, digest=operation.digest, outcome=outcome, at=at, until=until)
            known = known | ({operation.part: operation.digest} if outcome is Outcome.APPLIED else {})
        return msgspec.structs.replace(self, operation=None, last=last, known=known, spent=self.spent or spent)

    def has_written(self, part: str, digest: bytes) -> bool:
        """Say whether this very text is what was last written under this lock: then it need not be sent again."""
        last = self.last
        return last is not None and (last.part, last.digest, last.outcome) == (part, digest, Outcome.APPLIED)

    def dump(self) -> dict[str, Any]:
        """Return the lock as a node's content."""
        plain: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(bytes,))
        return plain

    @classmethod
    def load(cls, content: dict[str, Any]) -> "Lock":
        """Return the lock a node's content stands for."""
        return msgspec.convert(content, cls)

    def __repr__(self) -> str:
        """Name the object and the phase; the handle stays inside."""
        return f"<Lock {self.subject} {self.phase}>"


def digest_of(source: str) -> bytes:
    """Return the SHA-256 of a source as SAP keeps it: ends of line and newlines at the end do not count (ADT §12)."""
    kept = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    return hashlib.sha256(kept.encode()).digest()
