"""A message's body as bytes with a content type, and back.

A body of bytes or text goes out as it is, another one as JSON. What comes in JSON becomes values, in text a text, and
anything else stays bytes.
"""

from typing import Any, Final

import httpx2
import msgspec

from holdfast.errors import BadInput
from holdfast.flows.message import Message

JSON: Final = "application/json"
TEXTS: Final = ("application/xml", "application/x-www-form-urlencoded")


def encoded(message: Message) -> tuple[bytes | None, str]:
    """Return the body's bytes and their type: the message's own, or what fits. Raises BadInput."""
    given = str(message.headers.get("content-type") or "")
    match message.body:
        case None:
            return None, ""
        case bytes() as content:
            return content, given or "application/octet-stream"
        case str() as text:
            return text.encode(), given or "text/plain; charset=utf-8"
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
        except msgspec.DecodeError as exc:
            raise ValueError("this is not the JSON it says it is") from exc
    if kind.startswith("text/") or kind in TEXTS:
        return httpx2.Response(200, headers={"content-type": content_type}, content=content).text
    return content if kind or content else None
