"""HTTP/1.1 with a bound on what a head may take: uvicorn's fast parser keeps every header until it is complete.

    uvicorn.run(app, http=BoundedHttp, proxy_headers=False)

Without a bound one client that sends a header without end fills the process's memory; `h11`, uvicorn's other parser,
has one of 64 KiB. Trailers and the extensions of chunks are as much of a head as headers are: what counts is how many
bytes have come since a head, a piece of a body or a message was last complete.

That parser also puts a body's trailers behind the request's headers, where the last `X-Forwarded-For` is the one a
proxy is believed to have written. They are dropped (RFC 9110 §6.5.1).

What a client does not take soon waits with the application, not in the kernel, which would keep some megabytes of it
for each connection. An application may drop the connection of a request whose client takes nothing, which ASGI has no
word for: the extension `holdfast.abort` (`mcp.outlet`).
"""

import asyncio
import socket
import struct
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from holdfast._asgi import ABORT

HEAD_BYTES: Final = 64 * 1024
UNSENT_BYTES: Final = 64 * 1024
AT_ONCE: Final = struct.pack("ii", 1, 0)
UNSENT: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)
TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedHttp(HttpToolsProtocol):
    """Answers 431 and closes once 64 KiB, and what came in one read with it, are no complete head (RFC 6585 §5)."""

    _unfinished = 0
    _advanced = False
    _head_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Bound what the kernel keeps for a client that does not take it."""
        super().connection_made(transport)
        made = _tcp(transport)
        if made is not None and UNSENT is not None:
            made.setsockopt(socket.IPPROTO_TCP, UNSENT, UNSENT_BYTES)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._advanced = False
        super().data_received(data)
        self._unfinished = 0 if self._advanced else self._unfinished + len(data)
        if self._unfinished > HEAD_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        self._head_over = False
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"call": self._drop}}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, but no trailer."""
        if not self._head_over:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Note that a head is complete."""
        self._advanced = self._head_over = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note that a piece of a body has come."""
        self._advanced = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        self._advanced = True
        super().on_message_complete()

    def _drop(self) -> None:
        """Close the connection, and forget what was not sent."""
        made = _tcp(self.transport)
        if made is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.transport.abort()

    def _refuse(self) -> None:
        if self.cycle is None or self.cycle.response_complete:  # else these bytes would stand in another's answer
            self.transport.write(TOO_LARGE)
        self.transport.close()


def _tcp(transport: asyncio.Transport) -> socket.socket | None:
    made: socket.socket | None = transport.get_extra_info("socket")
    return made if made is not None and made.family in (socket.AF_INET, socket.AF_INET6) else None
