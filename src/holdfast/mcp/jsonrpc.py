"""JSON-RPC 2.0 messages: read from a body, written to one. Params and results stay as they came, undecoded."""

import enum
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from holdfast.errors import HoldfastError
from holdfast.mcp.protocol import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    META_CAPABILITIES,
    META_CLIENT,
    META_LOG_LEVEL,
    META_VERSION,
    PARSE_ERROR,
)

RequestId = int | str
JSON: Final = msgspec.json.Encoder()
MOST_IN_BATCH: Final = 100


class RpcError(HoldfastError):
    """A request is refused with a JSON-RPC error: `number` is its code on the wire, `data` what goes with it."""

    code = "mcp_error"
    status = 400

    def __init__(self, number: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.number, self.data = number, data


class Shape(enum.StrEnum):
    """What a message is."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"


class Meta(msgspec.Struct, frozen=True):
    """What `params._meta` may say about a request."""

    version: str | UnsetType = msgspec.field(default=UNSET, name=META_VERSION)
    capabilities: Raw | UnsetType = msgspec.field(default=UNSET, name=META_CAPABILITIES)
    client: Raw | UnsetType = msgspec.field(default=UNSET, name=META_CLIENT)
    log_level: str | None = msgspec.field(default=None, name=META_LOG_LEVEL)
    progress_token: int | str | None = msgspec.field(default=None, name="progressToken")


class Incoming(msgspec.Struct, frozen=True):
    """One message of a client. `params`, `result` and `error` are the bytes that were sent."""

    jsonrpc: Literal["2.0"]
    id: RequestId | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET

    @property
    def shape(self) -> Shape | None:
        """What the message is; None if it is none of the three."""
        if self.method is not UNSET:
            return Shape.NOTIFICATION if self.id is UNSET else Shape.REQUEST
        answered = (self.result is UNSET) != (self.error is UNSET)
        return Shape.RESPONSE if answered and self.id is not UNSET else None


class _Anything(msgspec.Struct, frozen=True):
    id: Any = None


class _Params(msgspec.Struct, frozen=True):
    meta: Meta | None = msgspec.field(default=None, name="_meta")


_MESSAGE: Final = msgspec.json.Decoder(Incoming)
_BATCH: Final = msgspec.json.Decoder(list[Incoming])
_SYNTAX: Final = msgspec.json.Decoder(Raw)
NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ID: Final = msgspec.json.Decoder(_Anything)
_PARAMS: Final = msgspec.json.Decoder(_Params)
NO_META: Final = Meta()
NO_PARAMS: Final = Raw(b"{}")


class Malformed(RpcError):
    """A body that is no JSON-RPC message; `id` is that of the request where it could be read."""

    def __init__(self, number: int, message: str, id: RequestId | None = None) -> None:  # noqa: A002
        super().__init__(number, message)
        self.id = id


def parse(body: bytes) -> Incoming | list[Incoming]:
    """Return the message of a body, or the messages of a batch; raise Malformed."""
    try:
        if not body.isascii():
            body.decode()  # also where nobody reads it: JSON is UTF-8 as a whole
        message = _MESSAGE.decode(body)
    except msgspec.ValidationError as exc:
        _check_syntax(body)
        if body.lstrip()[:1] == b"[":
            return _batch(body)
        raise Malformed(INVALID_REQUEST, f"the body is no JSON-RPC 2.0 message: {exc}", _readable_id(body)) from None
    except NOT_JSON as exc:
        raise _not_json(exc) from None
    _check(message)
    return message


def _check_syntax(body: bytes) -> None:
    """Raise Malformed for what is no JSON at all: a reader of messages may stop at what comes before that."""
    try:
        _SYNTAX.decode(body)
    except NOT_JSON as exc:
        raise _not_json(exc) from None


def _not_json(exc: Exception) -> "Malformed":
    return Malformed(PARSE_ERROR, f"the body is not JSON: {exc}; send one JSON-RPC 2.0 message in UTF-8")


def _batch(body: bytes) -> list[Incoming]:
    try:
        messages = _BATCH.decode(body)
    except msgspec.ValidationError as exc:
        raise Malformed(INVALID_REQUEST, f"the batch holds what is no JSON-RPC 2.0 message: {exc}") from None
    except NOT_JSON as exc:
        raise _not_json(exc) from None
    if not messages:
        raise Malformed(INVALID_REQUEST, "the batch is empty")
    if len(messages) > MOST_IN_BATCH:
        raise Malformed(INVALID_REQUEST, f"the batch holds {len(messages)} messages; the limit is {MOST_IN_BATCH}")
    for message in messages:
        _check(message)
    return messages


def _check(message: Incoming) -> None:
    known_id = None if message.id is UNSET else message.id
    if message.shape is None:
        raise Malformed(
            INVALID_REQUEST,
            "the body is no request, notification or response; it needs a method, or a result or error with an id",
            known_id,
        )
    if message.params is not UNSET and not is_object(message.params):
        raise Malformed(INVALID_REQUEST, "params must be an object", known_id)


def is_object(json: Raw) -> bool:
    """Say whether JSON is an object, without reading it."""
    return memoryview(json)[0] == ord("{")


def _readable_id(body: bytes) -> RequestId | None:
    try:
        found = _ID.decode(body).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, int | str) and not isinstance(found, bool) else None


def meta_of(message: Incoming) -> Meta:
    """Return what `params._meta` says; nothing at all if it is absent or not of the right form."""
    if message.params is UNSET:
        return NO_META
    try:
        return _PARAMS.decode(message.params).meta or NO_META
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_META


def response(id: RequestId, result: bytes) -> bytes:  # noqa: A002
    """Return the answer to a request; `result` is JSON already."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (encoded_id(id), result)


def error(id: RequestId | None, number: int, message: str, data: object = None) -> bytes:  # noqa: A002
    """Return an error as the answer; without a readable id it carries `null`."""
    body: dict[str, Any] = {"code": number, "message": message}
    if data is not None:
        body["data"] = data
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (JSON.encode(id), encoded(body))


def encoded_id(id: RequestId) -> bytes:  # noqa: A002
    """Return a request's id as JSON."""
    return b"%d" % id if isinstance(id, int) else JSON.encode(id)


def request(id: RequestId, method: str, params: object) -> bytes:  # noqa: A002
    """Return a request of ours to a client."""
    return encoded({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}})


def notification(method: str, params: object = None) -> bytes:
    """Return a notification."""
    body: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        body["params"] = params
    return encoded(body)


def batch(answers: Sequence[bytes]) -> bytes:
    """Return several answers as one array."""
    return b"[%b]" % b",".join(answers)


def encoded(value: object) -> bytes:
    """Return plain values as JSON; what JSON cannot say is a fault of the server."""
    try:
        return JSON.encode(value)
    except (TypeError, ValueError, msgspec.MsgspecError) as exc:
        raise RpcError(INTERNAL_ERROR, "the answer cannot be written as JSON") from exc
