"""What a modern request says about itself, checked in the order of mcp.md §6.3.

Body and headers say the same things twice, for gateways that read headers only; whoever acts on one must be able to
rely on the other. First failure wins: required `_meta`, repeated headers, equality, version.
"""

from typing import Final

import msgspec
from msgspec import UNSET, Raw

from holdfast.mcp.head import Head
from holdfast.mcp.jsonrpc import Incoming, Meta, RpcError, is_object
from holdfast.mcp.mirrored import decode_value
from holdfast.mcp.protocol import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    META_CAPABILITIES,
    META_VERSION,
    MODERN,
    NAME_OF,
    SERVED,
    UNSUPPORTED_VERSION,
)

_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_TEXT: Final = msgspec.json.Decoder(str)


def check(head: Head, message: Incoming, meta: Meta) -> str:
    """Return the protocol version of a modern request, or raise RpcError with the first thing that is wrong."""
    lacks = lacking(meta)
    if lacks:
        raise RpcError(INVALID_PARAMS, lacks)
    if head.twice is not None:
        raise RpcError(HEADER_MISMATCH, f"header {head.twice} is there more than once")
    version = str(meta.version)
    if head.text(b"mcp-protocol-version") != version:
        raise RpcError(HEADER_MISMATCH, "header MCP-Protocol-Version differs from params._meta")
    sent_method = head.text(b"mcp-method")
    if sent_method != message.method:
        raise RpcError(HEADER_MISMATCH, _difference("Mcp-Method", sent_method, "the method of the body"))
    _same_name(head, message)
    if version not in MODERN:
        raise unsupported(version)
    return version


def unsupported(requested: str) -> RpcError:
    """Return the refusal of a version: it names all that are served, so that a client can choose."""
    return RpcError(
        UNSUPPORTED_VERSION,
        f"protocol version {requested!r} is not served here",
        {"supported": list(SERVED), "requested": requested},
    )


def lacking(meta: Meta) -> str | None:
    """Return what is missing in `_meta`, None if nothing is."""
    missing = [
        name for name, value in ((META_VERSION, meta.version), (META_CAPABILITIES, meta.capabilities)) if value is UNSET
    ]
    if missing:
        return f"params._meta lacks {' and '.join(missing)}, or is not of the right form"
    if not (isinstance(meta.capabilities, Raw) and is_object(meta.capabilities)):
        return f"params._meta: {META_CAPABILITIES} must be an object"
    return None


def _same_name(head: Head, message: Incoming) -> None:
    member = NAME_OF.get(str(message.method))
    if member is None:
        return
    named = member_of(message, member)
    sent = head.text(b"mcp-name")
    if named is None and sent is None:
        return
    if sent is None or decode_value(sent) != named:
        raise RpcError(HEADER_MISMATCH, _difference("Mcp-Name", sent, f"params.{member}"))


def member_of(message: Incoming, member: str) -> str | None:
    """Return a text member of the params; None if it is absent or no text."""
    try:
        members = _MEMBERS.decode(message.params) if message.params is not UNSET else {}
        return _TEXT.decode(members[member]) if member in members else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _difference(header: str, sent: str | None, what: str) -> str:
    return f"header {header} is missing" if sent is None else f"header {header} differs from {what}"
