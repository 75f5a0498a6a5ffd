"""A kind of node as a value: its clocks, its limits, and what keeping and ending it means in the outside world.

Core lists no kinds. Each face exports its `KINDS`; the composer hands their union to the manager (E30).
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.core.model import Limit, Policy, Scope

if TYPE_CHECKING:
    from holdfast.core.duty import Duty

LONGEST_S: Final = 300.0  # of longer spans no more than this counts for how often a use is written


class Clocks(msgspec.Struct, frozen=True, kw_only=True):
    """When nodes of a kind end, in seconds; None switches a clock off (E7).

    `touch_interval` is how late a use may be recorded; None means a tenth of `idle`, at most 30.
    """

    idle: float | None = None
    sliding: float | None = None
    slides_after: float = 0.0
    absolute: float = 43_200.0
    linger: float | None = None  # ends when it has had no living child for this long
    linger_after: float | None = None  # the same once it has had one; None: `linger`
    touch_interval: float | None = None

    @property
    def touch_after(self) -> float | None:
        """How many seconds after the last recorded use the next one is written; None: uses are not recorded (E8)."""
        idle, sliding, written = self.idle, self.sliding, self.touch_interval
        if written is not None or (idle is None and sliding is None):
            return written
        return min(LONGEST_S if idle is None else idle, LONGEST_S if sliding is None else sliding, LONGEST_S) / 10


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many live nodes of a kind there may be; None switches a limit off (E11).

    `policy` makes room among the nodes of the same client, principal or parent. A full `total` refuses, whatever the
    policy: else a flood from many addresses would take the place of everybody's sessions.
    """

    per_client: int | None = None
    per_principal: int | None = None
    per_parent: int | None = None
    total: int | None = None
    policy: Policy = Policy.LEAST_RECENT

    def counted(self, *, spare: frozenset[bytes]) -> tuple[Limit, ...]:
        """Return what a store is to count; `spare` are keys of nodes that are not replaced."""
        scopes = (
            (Scope.CLIENT, self.per_client),
            (Scope.OWNER, self.per_principal),
            (Scope.PARENT, self.per_parent),
            (Scope.TOTAL, self.total),
        )
        return tuple(
            Limit(scope, most, Policy.REJECT if scope is Scope.TOTAL else self.policy, spare)
            for scope, most in scopes
            if most is not None
        )


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine knows of a kind.

    Args:
        closer: Ends in the outside world what the node stands for. Called under the node's lease, leaves first. It
            must be idempotent: a worker that died may have done part of it. Raising means "not closed, try again".
        upkeep: Called when a live node is due; returns when it is due again, or None for never. It may end the node.
        outside: The node has effect outside this store: its row stays until the closer has succeeded, and it is
            never absent for being unreadable (E6).
        ends_children: Closing this node closes its children outside as well, whatever their own closers said.
        holds: While such a node exists, no ancestor ends by idleness and none is replaced.
        spared: A tree of this kind is no session but something left there: it goes on when all sessions are ended.
        gone_after: Seconds after marking from which the outside has certainly forgotten by itself (E16).
    """

    name: str
    closer: "Callable[[Duty], Awaitable[None]] | None" = None
    upkeep: "Callable[[Duty], Awaitable[float | None]] | None" = None
    outside: bool = False
    ends_children: bool = False
    holds: bool = False
    spared: bool = False
    gone_after: float | None = None
    clocks: Clocks = Clocks()
    limits: Limits = Limits()
