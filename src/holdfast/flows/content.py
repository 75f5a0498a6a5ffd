"""A message's body as bytes with a content type, and back.

A body of bytes or text goes out as it is, another one as JSON. What comes in JSON becomes values, in text a text, and
anything else stays bytes. The character set of a text is what its type says, else what an XML declaration in it says,
else UTF-8 (RFC 7303 §3).
"""

import codecs
import re
from email.message import Message as Headers
from typing import Any, Final

import msgspec

from holdfast.errors import BadInput
from holdfast.flows.message import Message

JSON: Final = "application/json"
TEXTS: Final = ("application/xml", "application/x-www-form-urlencoded")
DECLARED: Final = re.compile(r"""(\s*<\?xml\s[^>]*?\bencoding\s*=\s*["'])([A-Za-z][A-Za-z0-9._\-]*)""")
MARKS: Final = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DECLARATION_CHARS: Final = 200


def encoded(message: Message) -> tuple[bytes | None, str]:
    """Return the body's bytes and their type: the message's own, or what fits. Raises BadInput."""
    given = str(message.headers.get("content-type") or "")
    match message.body:
        case None:
            return None, ""
        case bytes() as content:
            return content, given or "application/octet-stream"
        case str() as text:
            return _bytes_of(text, given), given or "text/plain; charset=utf-8"
    try:
        return msgspec.json.encode(message.body), given if "json" in given else JSON
    except (TypeError, ValueError) as exc:
        raise BadInput(f"a body of type {type(message.body).__name__} cannot be sent as JSON") from exc


def decoded(content: bytes, content_type: str) -> Any:
    """Return what bytes of this type say. Raises ValueError: they are not the JSON that they are said to be."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == JSON or kind.endswith("+json"):
        try:
            return msgspec.json.decode(content) if content else None
        except (msgspec.DecodeError, RecursionError) as exc:
            raise ValueError("this is not the JSON it says it is") from exc
    if kind.startswith("text/") or kind in TEXTS:
        return _text_of(content, content_type)
    return content if kind or content else None


def in_utf8(text: str) -> str:
    """Return a text that does not say of itself, in an XML declaration, that it is in another character set."""
    return DECLARED.sub(r"\g<1>utf-8", text, count=1) if DECLARED.match(text) else text


def _bytes_of(text: str, content_type: str) -> bytes:
    charset = _charset(content_type, text)
    try:
        return text.encode(charset)
    except (LookupError, UnicodeError) as exc:
        raise BadInput(f"the body cannot be sent in the character set {charset!r} that it is said to be in") from exc


def _text_of(content: bytes, content_type: str) -> str:
    marked = next((charset for mark, charset in MARKS.items() if content.startswith(mark)), "")
    try:
        return content.decode(
            marked or _charset(content_type, content[:DECLARATION_CHARS].decode("latin-1")), "replace"
        )
    except (LookupError, UnicodeError):
        return content.decode(errors="replace")


def _charset(content_type: str, text: str) -> str:
    headers = Headers()
    headers["content-type"] = content_type
    named = headers.get_param("charset")
    if isinstance(named, str) and named:
        return named
    declared = DECLARED.match(text, 0, DECLARATION_CHARS) if "xml" in content_type.lower() else None
    return declared[2] if declared else "utf-8"
