"""How an endpoint treats its legacy sessions: the settings of this face, as one value that its parts share."""

import logging
from typing import Final, Literal

import msgspec

from holdfast.config import Settings
from holdfast.mcp.journal import Bounds
from holdfast.mcp.kinds import STREAM
from holdfast.mcp.outlet import PATIENCE_S

SessionEvents = Literal["auto", "on", "off"]
Fingerprint = Literal["off", "warn", "reject"]
LOG: Final = logging.getLogger("holdfast.mcp.sessions")
DIALECT_CONNECTIONS: Final = 3  # the source's `max_connections_per_session`


class SessionRules(msgspec.Struct, frozen=True, kw_only=True):
    """What may be chosen for legacy sessions.

    Args:
        dialect: The source's dialect is spoken beside the protocol (M8).
        events: Whether streams tell what becomes of their session (M9); `auto`: in the dialect, or where asked for.
        warnings: Seconds before its end at which a session is warned, once each.
        connections: Streams of its own that a session may have; None: 3 in the dialect, else what its kind says.
        fingerprint: What a request from another address or program than the session's means (M13).
        fingerprint_prefix: Bits of an IPv6 address that count.
        kept: What is kept of the events of a session's streams.
        slow_reader: Seconds for which a client may take nothing before its connection is closed.
        debug: Every use of a session is logged.
        log: Where to.
    """

    dialect: bool = False
    events: SessionEvents = "auto"
    warnings: tuple[float, ...] = (300.0, 60.0)
    connections: int | None = None
    fingerprint: Fingerprint = "warn"
    fingerprint_prefix: int = 64
    kept: Bounds = Bounds()
    slow_reader: float = PATIENCE_S
    debug: bool = False
    log: logging.Logger = LOG

    @property
    def most_streams(self) -> int | None:
        """How many streams a session may have; None: what the kind of streams says."""
        return DIALECT_CONNECTIONS if self.connections is None and self.dialect else self.connections


def rules_of(settings: Settings, log: logging.Logger | None = None) -> SessionRules:
    """Return the rules that settings make."""
    streams = settings.kinds.get(STREAM)
    return SessionRules(
        dialect=settings.dialect == "fast-mcp",
        events=settings.session_events,
        warnings=tuple(sorted(settings.session_warnings, reverse=True)),
        connections=streams.per_parent if streams else None,
        fingerprint=settings.fingerprint,
        fingerprint_prefix=settings.fingerprint_prefix,
        kept=Bounds(settings.events_per_session, settings.event_bytes_per_session, settings.event_age),
        slow_reader=settings.slow_reader_timeout,
        debug=settings.session_debug,
        log=log or LOG,
    )
