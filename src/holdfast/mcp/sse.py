"""Server-sent events: bytes out of what is to be said. Source: WHATWG HTML, server-sent events."""

import re
from typing import Final

from holdfast.web.reply import Header

KEEP_ALIVE: Final = b": keep-alive\n\n"
HEADERS: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


def event(data: bytes, *, id: str | None = None, name: str = "message") -> bytes:  # noqa: A002
    """Return one event. Line ends within the data become several data lines; `id` and `name` must have none."""
    head = f"event: {name}\n" if id is None else f"event: {name}\nid: {id}\n"
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return b"%bdata: %b\n\n" % (head.encode(), data)


def message(data: bytes) -> bytes:
    """Return a JSON-RPC message as an event without id; JSON of ours has no line ends."""
    return b"event: message\ndata: %b\n\n" % data


def priming(id: str, retry_ms: int) -> bytes:  # noqa: A002
    """Return the event with which a stream begins that can be resumed: an id, no data, and how long to wait."""
    return f"retry: {retry_ms}\nid: {id}\ndata: \n\n".encode()
