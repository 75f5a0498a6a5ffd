"""The engine's own times and sizes."""

import msgspec

from holdfast.core.session import Serializer


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's own times, in seconds, and sizes."""

    lease_ttl: float = 15.0  # a dead worker's lease stands for so long
    closer_timeout: float = 10.0
    closing_patience: float = 900.0
    keeper_turn: float = 5.0
    cleanup_interval: float = 300.0
    gc_threshold: int = 1000
    unclaimed_after: float = 60.0
    siblings: int = 8
    at_once: int = 64  # nodes a keeper looks after at a time, those that have taken long apart
    max_payload_bytes: int = 1024 * 1024
    serializer: Serializer = "msgpack"
    not_before: float = 0.0  # trees begun before are over: what a backup brings back does not live again (`era`)

    @property
    def lease_use(self) -> float:
        """Seconds for which a lease is used, from when it was asked for: a fifth less than it stands."""
        return 0.8 * self.lease_ttl
