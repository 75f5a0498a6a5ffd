"""Connections to back ends: the one used last is taken first, and only that one is asked whether it still stands.

httpx2's own pool asks every idle connection by a system call each, twice per request, which with a dozen agents is a
quarter of what a request costs. The connections themselves are httpcore2's.
"""

import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

import anyio
import httpcore2
import httpx2

MOST: Final = 100
MOST_IDLE: Final = 20
IDLE_S: Final = 30.0  # after which an idle connection is closed
SCHEMES: Final = (b"http", b"https")

Lane = httpcore2.AsyncHTTPConnection


class Lanes(httpx2.AsyncBaseTransport):
    """A transport with up to `most` connections at a time; whoever comes then waits, at last for PoolTimeout."""

    def __init__(
        self, trust: ssl.SSLContext, *, most: int = MOST, most_idle: int = MOST_IDLE, idle_s: float = IDLE_S
    ) -> None:
        self._trust, self._most_idle, self._idle_s = trust, most_idle, idle_s
        self._places = anyio.Semaphore(most, fast_acquire=True)
        self._idle: deque[tuple[float, Lane]] = deque()  # since when, the oldest first

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request on a connection that stands, or on a new one."""
        url = request.url
        if url.raw_scheme not in SCHEMES:
            raise httpx2.UnsupportedProtocol(f"{url.scheme!r} is no protocol that is spoken here")
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        sent = httpcore2.Request(
            method=request.method,
            url=target,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        await self._take_place(request.extensions.get("timeout", {}).get("pool"))
        lane: Lane | None = None
        try:
            lane = await self._standing(target.origin)
            lane = lane or Lane(target.origin, self._trust, keepalive_expiry=self._idle_s)
            with translated():
                answer = await lane.handle_async_request(sent)
        except BaseException:
            await self._give_back(lane)
            raise
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=_Body(self, lane, answer), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        """Close the connections that are idle; the others close when they are given back."""
        self._most_idle = 0
        while self._idle:
            await self._idle.pop()[1].aclose()

    async def _take_place(self, timeout: float | None) -> None:
        try:
            self._places.acquire_nowait()
        except anyio.WouldBlock:
            await self._wait_for_place(timeout)

    async def _wait_for_place(self, timeout: float | None) -> None:
        try:
            with anyio.fail_after(timeout):
                await self._places.acquire()
        except TimeoutError as exc:
            raise httpx2.PoolTimeout("all connections to the back end are in use") from exc

    async def _standing(self, origin: httpcore2.Origin) -> Lane | None:
        """Return the connection that was used last and has not been closed by the other side since."""
        while (lane := self._newest(origin)) is not None:
            if not lane.has_expired():
                return lane
            await _closed(lane)
        return None

    def _newest(self, origin: httpcore2.Origin) -> Lane | None:
        for number in reversed(range(len(self._idle))):
            lane = self._idle[number][1]
            if lane.can_handle_request(origin):
                del self._idle[number]
                return lane
        return None

    async def _give_back(self, lane: Lane | None) -> None:
        """Take a connection back: one that can be used again waits for that, any other and the oldest are closed."""
        self._places.release()
        if lane is None:
            return
        if lane.is_available():
            self._idle.append((monotonic(), lane))
        elif not lane.is_closed():
            await _closed(lane)
        while len(self._idle) > self._most_idle or (self._idle and self._idle[0][0] + self._idle_s < monotonic()):
            await _closed(self._idle.popleft()[1])


class _Body(httpx2.AsyncByteStream):
    """The body of an answer; whoever closes it gives the connection back."""

    def __init__(self, lanes: Lanes, lane: Lane, answer: httpcore2.Response) -> None:
        self._lanes, self._lane, self._answer = lanes, lane, answer
        self._open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with translated():
            async for chunk in self._answer.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            with anyio.CancelScope(shield=True):
                await self._answer.aclose()
                await self._lanes._give_back(self._lane)


@contextmanager
def translated() -> Iterator[None]:
    """Raise the errors of connections as httpx2's, which have the same names."""
    try:
        yield
    except (
        httpcore2.TimeoutException,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.UnsupportedProtocol,
    ) as exc:
        raise getattr(httpx2, type(exc).__name__)(str(exc)) from exc


async def _closed(lane: Lane) -> None:
    with anyio.CancelScope(shield=True):
        await lane.aclose()
