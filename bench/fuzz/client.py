"""Sends bytes to a server and reads what comes back as HTTP: nothing is put right on the way, every wait is bounded."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

import anyio
from anyio.abc import SocketStream
from bench.fuzz.draw import LENGTH, Drawn

ANSWER_S: Final = 10.0
UNFINISHED_S: Final = 0.05  # how long to wait for an answer to half a request
GONE: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_EVENTS: Final = re.compile(rb"\r\ncontent-type: *text/event-stream", re.IGNORECASE)


class Seen(NamedTuple):
    """What came back: status 0 if nothing did. `whole` says that the answer came to its end."""

    status: int = 0
    head: bytes = b""
    body: bytes = b""
    whole: bool = False

    def header(self, name: str) -> str:
        """Return a header, empty if it is absent."""
        found = re.search(rf"\r\n{name}: *([^\r]*)".encode(), self.head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else ""

    @property
    def json(self) -> Any:
        """The JSON of a body, or of the last message of a stream."""
        blocks = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: {")]
        return json.loads(blocks[-1] if blocks else self.body)


class Client:
    """One connection at a time to a server, kept as long as both sides want it."""

    def __init__(self, port: int) -> None:
        self._port, self._socket, self._rest = port, None, b""
        self._socket: SocketStream | None

    async def exchange(self, drawn: Drawn) -> Seen:
        """Send a request and return what comes back; raise TimeoutError where a whole one stays without an answer."""
        kept = self._socket is not None
        seen = await self._attempt(drawn)
        if seen.status == 0 and kept and drawn.whole:  # the server may have closed it as the request was on its way
            await self.close()
            seen = await self._attempt(drawn)
        if not drawn.whole or not seen.whole or _CLOSES.search(seen.head):
            await self.close()
        return seen

    async def close(self) -> None:
        """Close the connection."""
        socket, self._socket, self._rest = self._socket, None, b""
        if socket is not None:
            with anyio.CancelScope(shield=True), suppress(*GONE):
                await socket.aclose()

    async def _attempt(self, drawn: Drawn) -> Seen:
        if self._socket is None:
            self._socket = await anyio.connect_tcp("127.0.0.1", self._port)
        size = -(-len(drawn.data) // drawn.parts) or 1
        with suppress(*GONE):  # refused before it was read: the answer is there all the same
            for start in range(0, len(drawn.data), size):
                await self._socket.send(drawn.data[start : start + size])
                await anyio.sleep(0)
        with suppress(*GONE), anyio.move_on_after(ANSWER_S if drawn.whole else UNFINISHED_S) as time:
            return await self._answer(drawn)
        if drawn.whole and time.cancelled_caught:
            raise TimeoutError
        return Seen()

    async def _answer(self, drawn: Drawn) -> Seen:
        status, head = 100, b""
        while status < 200:
            head = await self._until(b"\r\n\r\n")
            found = _STATUS.match(head)
            if found is None:
                return Seen(body=head)
            status = int(found[1])
        if drawn.data[:5] == b"HEAD " or status in (204, 304):
            return Seen(status, head, b"", True)
        if _EVENTS.search(head) and _CHUNKED.search(head):
            return await self._events(status, head, drawn.patience)
        return Seen(status, head, *await self._body(head))

    async def _body(self, head: bytes) -> tuple[bytes, bool]:
        if _CHUNKED.search(head):
            body = b""
            while size := int((await self._until(b"\r\n")).partition(b";")[0] or b"0", 16):
                body += (await self._exactly(size + 2))[:-2]
            await self._until(b"\r\n")
            return body, True
        length = _LENGTH.search(head)
        return (await self._exactly(int(length[1])), True) if length else (b"", False)

    async def _events(self, status: int, head: bytes, patience: float) -> Seen:
        """Read a stream until it ends or says nothing for a while."""
        body = b""
        while True:
            with anyio.move_on_after(patience) as silence:
                size = int((await self._until(b"\r\n")).partition(b";")[0] or b"0", 16)
                piece = await self._exactly(size + 2)
            if silence.cancelled_caught:
                return Seen(status, head, body)
            if not size:
                return Seen(status, head, body, True)
            body += piece[:-2]

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            await self._more()
        found, _, self._rest = self._rest.partition(mark)
        return found

    async def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            await self._more()
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    async def _more(self) -> None:
        assert self._socket is not None
        self._rest += await self._socket.receive()


def post(path: str, message: object, headers: Mapping[str, str]) -> Drawn:
    """Return a good request."""
    head = {"host": "127.0.0.1", "content-type": "application/json", **headers}
    head = {"accept": "application/json, text/event-stream", **head}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    body = json.dumps(message).encode()
    data = b"POST %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n%b" % (path.encode(), lines.encode(), len(body), body)
    return Drawn(data, patience=ANSWER_S)


def bodiless(method: str, path: str, headers: Mapping[str, str]) -> Drawn:
    """Return a good request without a body."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"host": "127.0.0.1", **headers}.items())
    return Drawn(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())


def filled(drawn: Drawn, live: Mapping[bytes, bytes]) -> Drawn:
    """Return a request with what is live now in place of its words, and with its length."""
    data = drawn.data
    if b"@" in data:
        for word, value in live.items():
            data = data.replace(word, value)
        body = data.partition(b"\r\n\r\n")[2]
        data = data.replace(LENGTH, b"%d" % len(body))
    return drawn._replace(data=data)
