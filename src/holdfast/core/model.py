"""The values of the tree: a node as it is stored, where it is, why it ended.

A node has an immutable key, one kind, at most one parent and a sealed payload. Instants (`*_at`, `*_until`) are Unix
seconds, spans (`idle`, `sliding`, …) are seconds.
"""

import enum

import msgspec

KEY_BYTES = 16
LABEL_BYTES = 256
MAX_DEPTH = 6  # a node and at most five ancestors (E14)


class State(enum.StrEnum):
    """Where a node stands. Only a live node, below live nodes only, can be loaded."""

    LIVE = "live"
    ENDING = "ending"  # marked: the keeper closes what hangs on it outside, then removes the row
    STRANDED = "stranded"  # closing has failed for too long: shown with what to do by hand, tried again hourly


class Reason(enum.StrEnum):
    """Why a node ended (E19)."""

    LOGOUT = "logout"
    CLIENT = "client"
    IDLE = "idle"
    EXPIRED = "expired"
    REPLACED = "replaced"
    ADMIN = "admin"
    PARENT = "parent"
    BACKEND_GONE = "backend_gone"
    SHUTDOWN = "shutdown"
    SECURITY = "security"


class Ref(msgspec.Struct, frozen=True, gc=False):
    """Where a node is kept: the key of its tree's root and its own key. All keys of one tree share a Redis slot."""

    tree: bytes
    key: bytes


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One stored node.

    A store sets `version` and `held`, and lets `used_at`, `slid_at` and `busy_until` only grow; everything else is
    written as given.
    """

    key: bytes
    tree: bytes  # the key of the root: its own key for a root
    parent: bytes | None = None
    alias: bytes | None = None  # SHA-256 of the id; None for a node that only its tree names
    mark: str = ""  # the first 8 characters of the id, as logs show them
    kind: str
    owner: str = ""  # the principal; empty where there is no logon
    client: str = ""  # what `max_sessions_per_client` counts: principal, else address
    label: str = ""  # unsealed, at most 256 bytes, no secret: what is left behind can be named without a key
    payload: bytes = b""  # sealed
    state: State = State.LIVE
    reason: Reason | None = None
    created_at: float
    used_at: float
    idle: float | None = None  # ends this long after the last recorded use, unless something below is held
    sliding: float | None = None  # ends this long after `slid_at`, unless something below is held
    slides_after: float = 0.0  # a use moves `slid_at` when this much has passed since
    slid_at: float = 0.0
    ends_at: float  # never extended
    busy_until: float = 0.0  # a call runs until then at least: never replaced before
    holds: bool = False  # while this node exists no ancestor ends by idleness or is replaced
    held: int = 0  # how many nodes below hold
    due_at: float | None = None  # when a keeper has to look at it
    ended_at: float | None = None
    attempts: int = 0  # of closing, that failed
    version: int = 0

    @property
    def ref(self) -> Ref:
        """Where this node is kept."""
        return Ref(self.tree, self.key)

    @property
    def hex(self) -> str:
        """The key's first 8 hexadecimal digits: how commands and logs name a node without an id."""
        return self.key.hex()[:8]


class Loaded(msgspec.Struct, frozen=True, gc=False):
    """A live node and the keys of its ancestors, nearest first."""

    record: Record
    above: tuple[bytes, ...] = ()


class Policy(enum.StrEnum):
    """What a full limit does to a new session (E12)."""

    REJECT = "reject"
    OLDEST = "replace_oldest"
    LEAST_RECENT = "replace_least_recent"


class Scope(enum.StrEnum):
    """Among which live nodes of the new node's kind a limit counts."""

    CLIENT = "client"
    OWNER = "owner"
    PARENT = "parent"
    TOTAL = "total"


class Limit(msgspec.Struct, frozen=True):
    """At most `most` live nodes of the new node's kind in `scope`, the new one included.

    `spare` are keys of nodes this worker knows to be busy: they are not replaced.
    """

    scope: Scope
    most: int
    policy: Policy = Policy.REJECT
    spare: frozenset[bytes] = frozenset()


class Created(msgspec.Struct, frozen=True):
    """A new node, and the nodes that were marked `replaced` to make room for it."""

    record: Record
    replaced: tuple[Record, ...] = ()


class Lease(msgspec.Struct, frozen=True):
    """The right to act for a node until `until`. A higher `fence` always belongs to a later holder."""

    ref: Ref
    worker: str
    fence: int
    until: float


class Claim(msgspec.Struct, frozen=True):
    """A node that is due, and the lease under which this worker looks after it."""

    record: Record
    lease: Lease


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One event of a stream; `seq` grows by one with each, starting at 1."""

    seq: int
    at: float
    data: bytes


class Message(msgspec.Struct, frozen=True, gc=False):
    """What a channel delivers."""

    topic: str
    data: bytes = b""
