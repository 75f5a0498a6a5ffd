"""Arguments that travel in headers as well: `Mcp-Param-*`, and the encoding of values that no header can carry.

A tool marks a property of its input with `x-mcp-header`, so that a gateway can route by it without reading bodies.
The server compares header and argument, since somebody has acted on the header.
Source: MCP 2026-07-28, transports, "Custom headers" and "Value encoding" (SEP-2243).
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from holdfast.mcp.jsonrpc import RpcError
from holdfast.mcp.protocol import HEADER_MISMATCH

ANNOTATION: Final = "x-mcp-header"
PREFIX: Final = "mcp-param-"
_SENTINEL: Final = re.compile(r"=\?base64\?(.*)\?=")
_PLAIN: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?|")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL: Final = re.compile(r"(-?[0-9]{1,400})(?:\.0+)?")
_TYPES: Final = frozenset({"string", "integer", "boolean"})
_ELSEWHERE: Final = frozenset(
    {
        *("items", "contains", "unevaluatedItems", "additionalProperties", "propertyNames", "unevaluatedProperties"),
        *("not", "if", "then", "else", "contentSchema", "allOf", "anyOf", "oneOf", "prefixItems"),
        *("patternProperties", "dependentSchemas", "$defs", "definitions"),
    }
)


class Mirrored(msgspec.Struct, frozen=True):
    """One property that is repeated in a header: where it is, the header's name in lower case, its JSON type."""

    path: tuple[str, ...]
    header: str
    type: str


def encode_value(value: str) -> str:
    """Return a value as a header carries it: as it is, or in Base64 within `=?base64?…?=`."""
    if _PLAIN.fullmatch(value) and not _SENTINEL.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def decode_value(value: str) -> str | None:
    """Return what a header's value stands for; None if its Base64 is malformed, so that it equals nothing."""
    wrapped = _SENTINEL.fullmatch(value)
    if wrapped is None:
        return value
    try:
        plain = base64.b64decode(wrapped[1], validate=True)
        return plain.decode() if base64.b64encode(plain).decode() == wrapped[1] else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def mirrored_in(schema: Mapping[str, Any] | None) -> tuple[Mirrored, ...]:
    """Return which properties of a tool's input are repeated in headers.

    A schema with an annotation that the specification forbids has none: clients drop such a tool.
    """
    found: list[Mirrored] = []
    for path, node in _positions(schema or {}, ()):
        if ANNOTATION not in node:
            continue
        name, kind = node[ANNOTATION], node.get("type")
        if not path or not isinstance(name, str) or not _TOKEN.fullmatch(name) or kind not in _TYPES:
            return ()
        found.append(Mirrored(path, PREFIX + name.lower(), kind))
    return tuple(found) if len({one.header for one in found}) == len(found) else ()


def _positions(node: Mapping[str, Any], path: tuple[str, ...] | None) -> Iterator[tuple[tuple[str, ...] | None, Any]]:
    """Yield every schema within a schema, with the chain of properties that leads there; None behind anything else."""
    yield path, node
    for word, value in node.items():
        if word == "properties" and isinstance(value, Mapping):
            for name, below in value.items():
                if isinstance(below, Mapping):
                    yield from _positions(below, None if path is None else (*path, name))
        elif word in _ELSEWHERE:
            for below in _schemas(value):
                yield from _positions(below, None)


def _schemas(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        yield from (below for below in value.values() if isinstance(below, Mapping))
    elif isinstance(value, list):
        yield from (below for below in value if isinstance(below, Mapping))


def check(mirrored: Sequence[Mirrored], arguments: Mapping[str, Any], headers: Sequence[tuple[str, str]]) -> None:
    """Compare headers and arguments; raise RpcError (-32020) that names the first that differ."""
    for one in mirrored:
        sent = [value for name, value in headers if name == one.header]
        if len(sent) > 1:
            raise RpcError(HEADER_MISMATCH, f"header {one.header} is there more than once")
        fault = _fault(one, _at(arguments, one.path), sent[0] if sent else None)
        if fault:
            raise RpcError(HEADER_MISMATCH, f"header {one.header} {fault} (argument {'.'.join(one.path)!r})")


def _fault(one: Mirrored, value: Any, sent: str | None) -> str | None:
    text = _as_text(value)
    if text is None:
        return None if sent is None else "is there, but its argument is not"
    if sent is None:
        return "is missing, but its argument is there"
    plain = decode_value(sent)
    if plain is None:
        return "has malformed Base64"
    if plain == text or (one.type == "integer" and _same_number(value, plain)):
        return None
    return "differs from its argument"


def _as_text(value: Any) -> str | None:
    """Return an argument as a client writes it into a header; None for what is never written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _same_number(value: Any, text: str) -> bool:
    number = _DECIMAL.fullmatch(text)
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    return number is not None and whole and int(number[1]) == int(value)


def _at(arguments: Mapping[str, Any], path: Sequence[str]) -> Any:
    node: Any = arguments
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node
