"""A whole HTTP answer in one go."""

from collections.abc import Iterable

from holdfast._asgi import Send

Header = tuple[bytes, bytes]


async def reply(send: Send, status: int, body: bytes = b"", headers: Iterable[Header] = ()) -> None:
    """Send status, headers and body. The length is added; the type of the content is the caller's to name."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})
