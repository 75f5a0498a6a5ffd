"""What happens to a request, as a table: the first row that fits decides. Source: mcp.md §8 and §6.5.

The table is data so that tests and readers go through it row by row. `decide` looks only at facts; where the fact is
in the store (is this session known? has it room for a stream?), the endpoint asks again with `Named.DEAD` or `full`
after the store has said no. Where a setting chooses between two answers, both have a row that carries the setting.
"""

import enum
from functools import lru_cache
from typing import Final

import msgspec

from holdfast.mcp.protocol import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    UNSUPPORTED_VERSION,
)


class Version(enum.StrEnum):
    """A protocol version, in the header (P) or in `_meta` (M)."""

    ABSENT = "absent"
    LEGACY = "legacy"
    MODERN = "modern"
    UNKNOWN = "unknown"


class Named(enum.StrEnum):
    """The session a request names (S)."""

    NONE = "none"
    ONE = "one"
    TWO = "two different"
    DEAD = "unknown, expired or foreign"


class Body(enum.StrEnum):
    """What the body is."""

    NONE = "none"
    UNREADABLE = "not JSON"
    INVALID = "no message"
    BATCH = "batch"
    INITIALIZE = "initialize"
    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"


class Route(enum.StrEnum):
    """Which part of the endpoint serves the request."""

    OPEN = "open a legacy session"
    LEGACY = "a message in a legacy session"
    BATCH = "a batch in a legacy session"
    STATELESS = "a legacy message without a session"
    MODERN = "modern request"
    ACCEPTED = "202"
    STREAM = "legacy stream"
    NEW_STREAM = "open a legacy session, and its stream"
    FAREWELL = "a stream that says that the session is no more"
    END = "end a legacy session"
    OLD_STREAM = "open a session of the 2024-11-05 transport: its stream"
    OLD_MESSAGE = "a message in a session of the 2024-11-05 transport"


class Place(enum.StrEnum):
    """Which path a request came to: the endpoint's, or one of the two of the 2024-11-05 transport."""

    ENDPOINT = "endpoint"
    OLD_STREAM = "old stream"
    OLD_MESSAGES = "old messages"


class Refusal(msgspec.Struct, frozen=True):
    """An HTTP status and a JSON-RPC error. Where its number says nothing (-32600), `code` tells it from others."""

    status: int
    number: int
    message: str = ""
    allow: str = ""
    code: str = ""  # our own, in the error's data


class Facts(msgspec.Struct, frozen=True):
    """What the table asks of a request."""

    method: str
    trusted: bool = True  # Origin and Host are allowed
    version: Version = Version.ABSENT
    session: Named = Named.NONE
    body: Body = Body.NONE
    meta: Version = Version.ABSENT
    stateless: bool = False  # the setting: legacy requests without a session are served
    dialect: bool = False  # the setting: the source's dialect is spoken beside the protocol (M8, M11, M28)
    full: bool = False  # the session has as many streams as it may
    place: Place = Place.ENDPOINT  # each has a table of its own


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row; a column left out fits everything."""

    then: Route | Refusal
    method: tuple[str, ...] = ()
    trusted: bool | None = None
    version: tuple[Version, ...] = ()
    session: tuple[Named, ...] = ()
    body: tuple[Body, ...] = ()
    meta: tuple[Version, ...] = ()
    stateless: bool | None = None
    dialect: bool | None = None
    full: bool | None = None

    def fits(self, facts: Facts) -> bool:
        """Say whether this row is about such a request."""
        return (
            (not self.method or facts.method in self.method)
            and (self.trusted is None or facts.trusted is self.trusted)
            and (not self.version or facts.version in self.version)
            and (not self.session or facts.session in self.session)
            and (not self.body or facts.body in self.body)
            and (not self.meta or facts.meta in self.meta)
            and (self.stateless is None or facts.stateless is self.stateless)
            and (self.dialect is None or facts.dialect is self.dialect)
            and (self.full is None or facts.full is self.full)
        )


OLD: Final = (Version.ABSENT, Version.LEGACY)
POST: Final = ("POST",)
GET: Final = ("GET",)
DELETE: Final = ("DELETE",)
UNVERSIONED: Final = Refusal(400, UNSUPPORTED_VERSION, "the protocol version is not served here")
SESSIONLESS: Final = Refusal(
    400, INVALID_REQUEST, "the header Mcp-Session-Id is missing; initialize first", code="session_id_missing"
)
AMBIGUOUS: Final = Refusal(
    400, INVALID_REQUEST, "two different session ids in one request; send one", code="two_session_ids"
)
NO_SESSION: Final = Refusal(
    404, INVALID_REQUEST, "there is no such session; initialize again", code="session_not_found"
)
BUSY_STREAM: Final = Refusal(
    409, INVALID_REQUEST, "this session has a stream already; close that first", code="stream_open"
)
TOO_MANY_STREAMS: Final = Refusal(
    429, INVALID_REQUEST, "this session has as many streams as it may have; close one first", code="limit_reached"
)
POST_ONLY: Final = Refusal(405, INVALID_REQUEST, "this revision has POST only", allow="POST", code="method_not_allowed")

TABLE: Final[tuple[Row, ...]] = (
    Row(
        trusted=False,
        then=Refusal(403, INVALID_REQUEST, "Origin or Host is not allowed", code="origin_not_allowed"),
    ),
    # bodies that are no message
    Row(method=POST, body=(Body.UNREADABLE,), then=Refusal(400, PARSE_ERROR, "the body is not JSON")),
    Row(
        method=POST,
        body=(Body.INVALID,),
        then=Refusal(400, INVALID_REQUEST, "the body is no JSON-RPC message", code="bad_message"),
    ),
    # versions nobody knows
    Row(method=("POST", "GET", "DELETE"), version=(Version.UNKNOWN,), then=UNVERSIONED),
    # the modern era
    Row(
        method=POST,
        version=(Version.MODERN,),
        body=(Body.INITIALIZE,),
        then=Refusal(404, METHOD_NOT_FOUND, "this revision has no initialize; every request stands for itself"),
    ),
    Row(method=POST, version=(Version.MODERN,), body=(Body.NOTIFICATION,), then=Route.ACCEPTED),
    Row(
        method=POST,
        version=(Version.MODERN,),
        body=(Body.BATCH, Body.RESPONSE),
        then=Refusal(400, INVALID_REQUEST, "the body must be one request or notification", code="bad_message"),
    ),
    Row(
        method=POST,
        version=(Version.MODERN,),
        body=(Body.REQUEST,),
        meta=(Version.ABSENT,),
        then=Refusal(400, INVALID_PARAMS, "params._meta must name the protocol version and the client's capabilities"),
    ),
    Row(method=POST, version=(Version.MODERN,), body=(Body.REQUEST,), then=Route.MODERN),
    Row(method=("GET", "DELETE"), version=(Version.MODERN,), then=POST_ONLY),
    # a body that says one thing and headers that say another
    Row(
        method=POST,
        version=OLD,
        body=(Body.REQUEST, Body.INITIALIZE),
        meta=(Version.MODERN, Version.UNKNOWN),
        then=Refusal(400, HEADER_MISMATCH, "the header MCP-Protocol-Version is not what params._meta says"),
    ),
    # the legacy era
    Row(method=("POST", "GET", "DELETE"), version=OLD, session=(Named.TWO,), then=AMBIGUOUS),
    Row(method=POST, version=OLD, body=(Body.INITIALIZE,), then=Route.OPEN),
    Row(method=GET, version=OLD, session=(Named.DEAD,), dialect=True, then=Route.FAREWELL),
    Row(method=("POST", "GET", "DELETE"), version=OLD, session=(Named.DEAD,), then=NO_SESSION),
    Row(method=POST, version=OLD, session=(Named.ONE,), body=(Body.BATCH,), then=Route.BATCH),
    Row(method=POST, version=OLD, session=(Named.ONE,), then=Route.LEGACY),
    Row(method=POST, version=OLD, stateless=True, body=(Body.REQUEST, Body.NOTIFICATION), then=Route.STATELESS),
    Row(method=POST, version=OLD, dialect=True, body=(Body.REQUEST, Body.NOTIFICATION), then=Route.STATELESS),
    Row(method=GET, version=OLD, session=(Named.NONE,), dialect=True, stateless=False, then=Route.NEW_STREAM),
    Row(method=("POST", "GET", "DELETE"), version=OLD, session=(Named.NONE,), then=SESSIONLESS),
    Row(method=GET, version=OLD, full=True, dialect=True, then=TOO_MANY_STREAMS),
    Row(method=GET, version=OLD, full=True, then=BUSY_STREAM),
    Row(method=GET, version=OLD, then=Route.STREAM),
    Row(method=DELETE, version=OLD, then=Route.END),
    # anything else
    Row(
        then=Refusal(
            405,
            INVALID_REQUEST,
            "there are POST, GET and DELETE here",
            allow="POST, GET, DELETE",
            code="method_not_allowed",
        )
    ),
)

FOREIGN: Final = TABLE[0]
NO_MESSAGE: Final = TABLE[1:3]
OLD_SESSIONLESS: Final = Refusal(
    400, INVALID_REQUEST, "the query has no session_id: POST to where `endpoint` says", code="session_id_missing"
)
OLD_STREAM_TABLE: Final[tuple[Row, ...]] = (
    FOREIGN,
    Row(method=GET, then=Route.OLD_STREAM),
    Row(then=Refusal(405, INVALID_REQUEST, "there is GET only here", allow="GET", code="method_not_allowed")),
)
OLD_MESSAGES_TABLE: Final[tuple[Row, ...]] = (
    FOREIGN,
    *NO_MESSAGE,
    Row(method=POST, session=(Named.TWO,), then=AMBIGUOUS),
    Row(method=POST, session=(Named.NONE,), then=OLD_SESSIONLESS),
    Row(method=POST, session=(Named.DEAD,), then=NO_SESSION),
    Row(method=POST, then=Route.OLD_MESSAGE),
    Row(then=Refusal(405, INVALID_REQUEST, "there is POST only here", allow="POST", code="method_not_allowed")),
)
TABLES: Final = {
    Place.ENDPOINT: TABLE,
    Place.OLD_STREAM: OLD_STREAM_TABLE,
    Place.OLD_MESSAGES: OLD_MESSAGES_TABLE,
}


@lru_cache(maxsize=1024)
def decide(facts: Facts) -> Route | Refusal:
    """Return what happens to such a request."""
    return next(row.then for row in TABLES[facts.place] if row.fits(facts))
