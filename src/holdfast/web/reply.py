"""A whole HTTP answer in one go."""

import math
from collections.abc import Iterable
from typing import Final

from holdfast._asgi import Send

Header = tuple[bytes, bytes]
COMES_BACK: Final = (429, 503)  # statuses after which the same request may be sent again
RETRY_AFTER_S: Final = 2.0
JSON_TYPE: Final[Header] = (b"content-type", b"application/json")


def come_back(status: int, seconds: float = RETRY_AFTER_S) -> tuple[Header, ...]:
    """Return the header that says when to send a refused request again; none for a status that repeating won't help."""
    return ((b"retry-after", str(math.ceil(seconds)).encode()),) if status in COMES_BACK else ()


async def reply(send: Send, status: int, body: bytes = b"", headers: Iterable[Header] = ()) -> None:
    """Send status, headers and body. The length is added; the type of the content is the caller's to name."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})
