"""What a session's stream tells of the session itself: begun, resumed, expired, about to expire, crowded (M9).

Events have the source's names and fields; who asks for it gets the same facts as MCP notifications. A client asks in
`initialize`, with `capabilities.experimental["holdfast/sessionEvents"]`: `{}` for notifications named
`notifications/holdfast/session-warning` and so on, `{"form": "event"}` for events. Which form a session has is kept in
its content, so every worker knows it. Real clients pass over events of unknown names.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from holdfast.core.model import Record
from holdfast.core.policy import expires_at
from holdfast.core.session import Session
from holdfast.errors import BadInput, SessionNotFound
from holdfast.mcp import jsonrpc, sse
from holdfast.mcp.rules import SessionRules

BEGUN: Final = "session"
ENDPOINT: Final = "endpoint"
RESUMED: Final = "session-resumed"
EXPIRED: Final = "session-expired"
WARNING: Final = "session-warning"
LIMIT: Final = "session-limit"
ERROR: Final = "error"

ASKED: Final = "holdfast/sessionEvents"
FORM: Final = "session_events"  # the key in a session's content; without it nothing is told
AS_EVENT: Final = "event"
AS_NOTIFICATION: Final = "notification"
UNKNOWN: Final = "unknown_event"
UNKNOWN_TEXT: Final = (
    "Last-Event-ID names no event after which all is kept for this session: it is too old, or its stream was received "
    "to its end; leave it out, and ask again for what may be missing"
)
METHOD_PREFIX: Final = "notifications/holdfast/"
OWN_NAMES: Final = frozenset({"", "message", ENDPOINT, ERROR, "open"})  # of the protocol, or of EventSource itself


def form_of(rules: SessionRules, capabilities: Mapping[str, Any] | None = None) -> str | None:
    """Return in which form a new session is told its events; None for not at all."""
    if rules.events == "off":
        return None
    experimental = (capabilities or {}).get("experimental")
    asked = experimental.get(ASKED) if isinstance(experimental, dict) else None
    if isinstance(asked, dict):
        return AS_EVENT if asked.get("form") == AS_EVENT else AS_NOTIFICATION
    return AS_EVENT if rules.dialect or rules.events == "on" else None


def named(name: str, data: object) -> bytes:
    """Return a named event with data as JSON."""
    return sse.event(msgspec.json.encode(data), name=name)


def told(session: Session, name: str, data: Mapping[str, Any]) -> bytes:
    """Return an event of a session in the form it has chosen; nothing if it has chosen none."""
    match session.content.get(FORM):
        case "event":
            return named(name, data)
        case "notification":
            return sse.message(jsonrpc.notification(METHOD_PREFIX + name, data))
        case _:
            return b""


def of_ours(session: Session, name: str, data: object) -> bytes:
    """Return an event of an application's own: it is sent to every session, as an event if that chose no form."""
    if session.content.get(FORM) == AS_NOTIFICATION:
        params = data if isinstance(data, Mapping) else {"data": data}
        return sse.message(jsonrpc.notification(METHOD_PREFIX + name, params))
    return named(name, data)


def begun(session: Session) -> bytes:
    """Return the event that gives a client the id of its session, and when it will end unless it is used."""
    return told(session, BEGUN, {"session_id": session.id, "expires_at": iso(expires_at(session.record))})


def resumed(session: Session) -> bytes:
    """Return the event that says that a stream has joined a session there was."""
    return told(session, RESUMED, {"session_id": session.id, "expires_at": iso(expires_at(session.record))})


def expired(session: Session, reason: str) -> bytes:
    """Return the last event of a stream whose session has ended."""
    data = {"session_id": session.id, "reason": reason, "message": "Session expired; open a new one"}
    return told(session, EXPIRED, data)


def warning(session: Session, seconds: float) -> bytes:
    """Return the event that says in how many seconds the session will end."""
    return told(session, WARNING, warning_data(session.id, seconds))


def warning_data(session_id: str | None, seconds: float) -> dict[str, Any]:
    """Return the source's fields of a warning."""
    return {
        "session_id": session_id,
        "expires_in_seconds": max(round(seconds), 0),
        "message": "Session will expire soon",
    }


def limit_data(session_id: str | None) -> dict[str, Any]:
    """Return the source's fields of what the other streams are told when there is one too many."""
    return {"session_id": session_id, "message": "Maximum connections per session reached"}


def not_found() -> bytes:
    """Return the events for a GET that names no living session; the same whatever is wrong with the id (M28)."""
    error = {"code": SessionNotFound.code, "message": "there is no such session", "hint": SessionNotFound.default_hint}
    return named(EXPIRED, {"code": SessionNotFound.code, "message": "Session expired; open a new one"}) + named(
        ERROR, error
    )


def unknown_event() -> bytes:
    """Return the event for a client of the dialect whose place in a stream is kept no longer: a new one begins."""
    return named(ERROR, {"code": UNKNOWN, "message": UNKNOWN_TEXT})


def checked_name(name: str) -> str:
    """Return the name of an event of an application's own; raise BadInput for one that is the protocol's."""
    if name in OWN_NAMES or not name.isprintable() or len(name) > 100:
        raise BadInput(f"{name[:100]!r} cannot be the name of an event of yours")
    return name


def iso(at: float) -> str:
    """Return an instant in ISO 8601, UTC, to the second, rounded down."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- when a stream has something to say


def end_of(record: Record) -> float:
    """Return when a session ends that has an open stream, which counts as a use but prolongs nothing else (E7)."""
    return expires_at(msgspec.structs.replace(record, idle=None))


def crossed(record: Record, thresholds: Iterable[float], now: float) -> list[float]:
    """Return the thresholds that are behind this session."""
    left = end_of(record) - now
    return [threshold for threshold in thresholds if left <= threshold]


def quiet_for(record: Record, thresholds: Iterable[float], now: float) -> float:
    """Return for how many seconds the clock alone gives a session nothing to tell."""
    left = end_of(record) - now
    return min((left - threshold for threshold in (*thresholds, 0.0) if left > threshold), default=0.0)
