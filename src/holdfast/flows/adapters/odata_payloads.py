"""What OData says in bodies: rows, pages and errors, in the JSON of V2 and V4. Values in, values out.

Values are those of the service's JSON: in V2, numbers of 64 bits and decimals are texts, and instants `/Date(…)/`.
`odata_atom` has the third format. Source: OData V2 "JSON Format", OData JSON Format 4.01.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeGuard

import msgspec
from lxml import etree

from holdfast.errors import BadInput
from holdfast.flows.adapters.envelope import parsed

JSON: Final = "application/json"
SAID_CHARS: Final = 500
NOT_SENT_BACK: Final = frozenset({"@odata.context", "@odata.etag", "@odata.metadataEtag"})
CONTEXT: Final = "@odata.context"
COUNT: Final = "@odata.count"
NEXT: Final = "@odata.nextLink"


class Page(msgspec.Struct, frozen=True):
    """What an answer holds: an entity, a value, or a list of them, and then perhaps where there are `more`.

    `base` is what that URL is relative to, itself relative to what was asked for.
    """

    body: Any
    more: str = ""
    count: int | None = None
    etag: str = ""
    base: str = ""


class Payloads(Protocol):
    """A format of bodies."""

    accepts: str
    content_type: str

    def write(self, body: Any) -> bytes:
        """Return an entity, or the parameters of an action. Raises BadInput."""
        ...

    def read(self, content: bytes) -> Page:
        """Return what an answer says. Raises ValueError: it is no OData."""
        ...


class JsonV2:
    """The JSON of V2: everything is in `d`."""

    accepts: str = JSON
    content_type: str = JSON

    def write(self, body: Any) -> bytes:
        """Return an entity, without the links to what was not expanded when it was read."""
        return _json({name: each for name, each in body.items() if not _deferred(each)} if _is(body) else body)

    def read(self, content: bytes) -> Page:
        """Return what stands in `d`."""
        said = _object(content)
        if "d" not in said:
            raise ValueError("it is no OData V2")
        inner = said["d"]
        if not _is(inner):
            return Page(inner)
        if isinstance(rows := inner.get("results"), list):
            return Page(rows, str(inner.get("__next") or ""), _number(inner.get("__count")))
        metadata = inner.get("__metadata")
        return Page(inner, etag=str(metadata.get("etag") or "") if _is(metadata) else "")


class JsonV4:
    """The JSON of V4: control information begins with `@odata.`."""

    accepts: str = JSON
    content_type: str = JSON

    def write(self, body: Any) -> bytes:
        """Return an entity, without what the service has said about the one that was read."""
        return _json({name: each for name, each in body.items() if name not in NOT_SENT_BACK} if _is(body) else body)

    def read(self, content: bytes) -> Page:
        """Return rows, a single value, or an entity with its control information."""
        said = _object(content)
        alone = all(name.startswith("@") for name in said if name != "value")
        if "value" in said and alone:
            more, base = str(said.get(NEXT) or ""), str(said.get(CONTEXT) or "")
            return Page(said["value"], more, _number(said.get(COUNT)), base=base)
        return Page(said, etag=str(said.get("@odata.etag") or ""))


def error_in(content: bytes, media_type: str) -> str:
    """Return code and message of an error, of either version and format; empty where there are none."""
    try:
        code, message = _xml_error(content) if "xml" in media_type else _json_error(content)
    except ValueError:
        return ""
    return " ".join(f"{code}: {message}".split())[:SAID_CHARS].strip(": ")


def _json_error(content: bytes) -> tuple[str, str]:
    error = _object(content).get("error")
    if not _is(error):
        raise ValueError("it tells no error")
    message = error.get("message")
    return str(error.get("code") or ""), str((message.get("value") if _is(message) else message) or "")


def _xml_error(content: bytes) -> tuple[str, str]:
    said = {etree.QName(each).localname: each.text or "" for each in parsed(content)}
    return said.get("code", ""), said.get("message", "")


def _object(content: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("it is no JSON") from None
    if not isinstance(said, dict):
        raise ValueError("it is no JSON object")
    return said


def _json(body: Any) -> bytes:
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, RecursionError) as exc:
        raise BadInput(f"a body of type {type(body).__name__} cannot be sent as JSON") from exc


def _is(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _deferred(value: Any) -> bool:
    return _is(value) and "__deferred" in value


def _number(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
