"""A request's body, read up to a limit."""

from typing import Final

import anyio

from holdfast._asgi import Receive
from holdfast.errors import HoldfastError

DRAIN_BYTES: Final = 16 * 1024 * 1024
DRAIN_S: Final = 2.0
LENGTH_DIGITS: Final = 18  # more are cut off: whatever the rest says, such a body is over every limit


class BodyTooLarge(HoldfastError):
    """The body is larger than this server takes; nothing of it was kept."""

    code = "body_too_large"
    status = 413
    default_hint = "Send less in one request, or raise max_body_bytes."


class ClientGone(Exception):
    """The client has closed the connection before its request was complete: nobody waits for an answer."""


async def read_body(receive: Receive, limit: int, declared: bytes = b"") -> bytes:
    """Return the body of a request.

    Args:
        limit: The most bytes taken.
        declared: The `Content-Length` as it was sent, so that a body over the limit is refused before it is read.

    Raises:
        BodyTooLarge: It is larger; the message names both sizes.
        ClientGone: The connection was closed in the middle of it.
    """
    length = int(declared[:LENGTH_DIGITS]) if declared.isdigit() else 0
    if length > limit:
        await _drain(receive)
        raise BodyTooLarge(f"the body has {length} bytes; the limit is {limit}")
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        return _within(message.get("body", b""), limit)
    read = bytearray()
    while message["type"] == "http.request":
        read += message.get("body", b"")
        if len(read) > limit:
            if message.get("more_body", False):
                await _drain(receive)
            raise BodyTooLarge(f"the body has more than {len(read) - 1} bytes; the limit is {limit}")
        if not message.get("more_body", False):
            return bytes(read)
        message = await receive()
    raise ClientGone


async def _drain(receive: Receive) -> None:
    """Read the rest and forget it, within bounds: who is still sending would see a reset instead of the answer."""
    read = 0
    with anyio.move_on_after(DRAIN_S):
        while read < DRAIN_BYTES:
            message = await receive()
            read += len(message.get("body", b""))
            if not message.get("more_body", False):
                return


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise BodyTooLarge(f"the body has {len(body)} bytes; the limit is {limit}")
    return body
