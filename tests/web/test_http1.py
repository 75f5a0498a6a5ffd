"""The bound on heads, and trailers that are no headers; over sockets it is attacked in tests/attacks."""

import asyncio
import socket
from typing import Any, cast

import anyio
import pytest
from anyio.abc import SocketAttribute
from uvicorn.config import Config
from uvicorn.server import ServerState

from holdfast._asgi import ABORT, Receive, Scope, Send
from holdfast.web.http1 import HEAD_BYTES, BoundedHttp
from holdfast.web.reply import reply

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.written, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Nothing is read here that was not handed over."""

    def resume_reading(self) -> None:
        """Nothing was held back."""


def connection(scopes: list[Scope]) -> tuple[BoundedHttp, Transport]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        while (await receive()).get("more_body"):
            pass
        await reply(send, 200, b"ok")

    config = Config(cast("Any", app), log_config=None, lifespan="off")
    config.load()
    protocol, transport = BoundedHttp(config, ServerState(), {}, asyncio.get_running_loop()), Transport()
    protocol.connection_made(transport)
    return protocol, transport


async def answered(transport: Transport) -> bytes:
    with anyio.fail_after(5):
        while not transport.written:
            await anyio.sleep(0)
    return transport.written


async def test_a_head_may_come_in_pieces_up_to_the_bound_and_no_further() -> None:  # R67
    scopes: list[Scope] = []
    fits, transport = connection(scopes)
    fits.data_received(HEAD + b"X: ")
    for _ in range(HEAD_BYTES // 1024 - 1):
        fits.data_received(b"a" * 1024)
    fits.data_received(b"\r\n\r\n")
    assert (await answered(transport)).startswith(b"HTTP/1.1 200 ")
    cut, transport = connection(scopes)
    cut.data_received(HEAD + b"X: ")
    for _ in range(HEAD_BYTES // 1024):
        cut.data_received(b"a" * 1024)
    assert transport.written.startswith(b"HTTP/1.1 431 ")
    assert transport.closed
    assert len(scopes) == 1


@pytest.mark.parametrize("endless", [b"0\r\nX: ", b"1;x="])
async def test_a_body_without_end_is_taken_but_no_trailer_or_extension_without_end(endless: bytes) -> None:
    scopes: list[Scope] = []
    protocol, transport = connection(scopes)
    protocol.data_received(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(4):
        protocol.data_received(b"8000\r\n" + b"a" * 0x8000 + b"\r\n")
    assert not transport.closed
    protocol.data_received(endless)
    for _ in range(HEAD_BYTES // 1024 + 1):
        protocol.data_received(b"a" * 1024)
    assert transport.closed
    assert transport.written == b"", "the request has an answer of its own to come"


async def test_trailers_are_dropped() -> None:  # RFC 9110 §6.5.1
    scopes: list[Scope] = []
    protocol, transport = connection(scopes)
    chunked = b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
    protocol.data_received(HEAD + chunked)
    await answered(transport)
    transport.written = b""
    protocol.data_received(HEAD + b"X-Next: 1\r\nContent-Length: 0\r\n\r\n")
    await answered(transport)
    assert [dict(scope["headers"]).keys() for scope in scopes] == [
        {b"host", b"transfer-encoding"},
        {b"host", b"x-next", b"content-length"},
    ]


async def test_a_client_that_takes_nothing_gets_little_and_its_connection_can_be_dropped() -> None:
    # M17, T24
    sent, dropped = 0, anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with anyio.move_on_after(0.5):
            while True:
                await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
                sent += 10_000
        scope["extensions"][ABORT]["call"]()
        while (await receive())["type"] != "http.disconnect":
            pass
        dropped.set()

    config = Config(cast("Any", app), log_config=None, lifespan="off")
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BoundedHttp(config, ServerState(), {}, loop), "127.0.0.1", 0)
    async with server, await anyio.connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1]) as client:
        client.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with anyio.fail_after(10):
            await dropped.wait()
        assert 0 < sent <= 256 * 1024
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            while True:
                await client.receive()
