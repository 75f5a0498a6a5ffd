"""The head of a request: the headers this protocol reads, each once, without the white space around them.

uvicorn with httptools passes on white space at the end of values; HTTP says it is no part of them (RFC 9110 §5.5).
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from holdfast._asgi import Scope

OWS: Final = b" \t"
PARAM_PREFIX: Final = b"mcp-param-"
ROUTING: Final = frozenset({b"mcp-protocol-version", b"mcp-method", b"mcp-name"})
SESSION_HEADERS: Final = frozenset({b"mcp-session-id", b"x-session-id"})  # M7: the source's name is the same header
QUERY_NAME: Final = "session_id"
QUERY_BYTES: Final = 8192
TWO: Final = 2  # different ids are refused; more of them say nothing more
TAKEN: Final = frozenset(
    {b"last-event-id", b"accept", b"content-type", b"content-length", b"origin", b"host", b"user-agent"}
)
WATCHED: Final = frozenset({*ROUTING, *SESSION_HEADERS, b"authorization"})  # of which a second line means something


class Head:
    """What the headers say. `session_ids` are the different values given; `twice` names a routing header repeated."""

    __slots__ = ("fields", "parameters", "session_ids", "twice")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.session_ids: list[str] = []
        self.parameters: list[tuple[str, str]] = []
        self.twice: str | None = None
        for name, value in headers:
            if name in TAKEN:
                self.fields[name] = value.strip(OWS)
            elif name in WATCHED:
                self._watch(name, value.strip(OWS))
            elif name.startswith(PARAM_PREFIX):
                self.parameters.append((name.decode("latin-1"), value.strip(OWS).decode("latin-1")))

    def _watch(self, name: bytes, value: bytes) -> None:
        if name in SESSION_HEADERS:
            self._name_session(value.decode("latin-1"))
            return
        if name in ROUTING and name in self.fields:
            self.twice = name.decode()
        elif name == b"authorization" and name in self.fields:
            value = self.fields[name] + b", " + value  # as HTTP combines lines: no part of it decides alone
        self.fields[name] = value

    def take_query(self, query: bytes) -> None:
        """Take the ids of sessions that the query names: the source's dialect has them there (M7)."""
        for name, value in parse_qsl(query[:QUERY_BYTES].decode("latin-1"), keep_blank_values=True):
            if name == QUERY_NAME:
                self._name_session(value)

    def _name_session(self, session_id: str) -> None:
        if len(self.session_ids) < TWO and session_id not in self.session_ids:
            self.session_ids.append(session_id)

    def text(self, name: bytes) -> str | None:
        """Return a header's value, None if it is absent."""
        value = self.fields.get(name)
        return None if value is None else value.decode("latin-1")


def head_of(scope: Scope) -> Head:
    """Return the head of an HTTP request."""
    return Head(scope["headers"])


@lru_cache(maxsize=256)
def accepted(accept: bytes | None) -> tuple[bool, bool]:
    """Say whether an `Accept` header takes JSON, and whether it takes a stream of events.

    A client that names no types gets JSON (M28): no event would reach who did not ask for a stream.
    """
    if accept is None:
        return True, False
    kinds = {
        part.partition(b";")[0].strip().lower()
        for part in accept.split(b",")
        if not _refused(part)
    }  # fmt: skip
    anything = b"*/*" in kinds
    return (
        anything or b"application/json" in kinds or b"application/*" in kinds,
        anything or b"text/event-stream" in kinds or b"text/*" in kinds,
    )


def _refused(part: bytes) -> bool:
    parameters = (parameter.strip().lower() for parameter in part.split(b";")[1:])
    return any(parameter in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000") for parameter in parameters)


@lru_cache(maxsize=64)
def is_json(content_type: bytes | None) -> bool:
    """Say whether a `Content-Type` names JSON."""
    return (content_type or b"").partition(b";")[0].strip().lower() == b"application/json"
