"""What goes back for one POST: a single JSON body, or a stream of events that ends with the result.

Which of the two is settled as late as possible. A result that comes before anything else was said needs no stream,
and an error found in time keeps its HTTP status.
"""

from collections.abc import Callable
from typing import Final

import anyio

from holdfast._asgi import Receive, Send
from holdfast.core.together import STORE_DOWN_S
from holdfast.errors import SessionEnded, StoreUnavailable
from holdfast.mcp import sse
from holdfast.mcp.journal import Journal, Serving
from holdfast.mcp.outlet import Outlet
from holdfast.mcp.presence import has_gone
from holdfast.web.reply import Header, come_back, reply

LOG_PATIENCE_S: Final = 60.0  # a result that cannot be kept for so long goes out without being kept
JSON_TYPE: Final[Header] = (b"content-type", b"application/json")


class Answer:
    """Writes the answer to one POST.

    Args:
        send: Where it goes.
        receive: Tells whether the client is still there.
        may_stream: The client takes a stream of events.
        must_stream: It takes nothing else, or streams are wanted for everything.
        headers: Sent with it.
        journal: Keeps the events of a stream that can be resumed.
        outlet: The way out for a stream.
    """

    __slots__ = (
        "_headers",
        "_journal",
        "_lock",
        "_must_stream",
        "_outlet",
        "_receive",
        "_send",
        "_serving",
        "may_stream",
        "streaming",
    )

    def __init__(
        self,
        send: Send,
        receive: Receive,
        *,
        may_stream: bool,
        must_stream: bool = False,
        headers: tuple[Header, ...] = (),
        journal: Journal | None = None,
        outlet: Outlet | None = None,
    ) -> None:
        self._send, self._receive, self._headers, self._journal = send, receive, headers, journal
        self._outlet = outlet or Outlet({}, receive, send)
        self.may_stream, self._must_stream = may_stream, must_stream
        self.streaming = False
        self._lock: anyio.Lock | None = None
        self._serving: Serving | None = None

    @property
    def behind(self) -> bool:
        """Whether events wait for the store: they go out once they are kept."""
        return self._journal is not None and self._journal.behind

    def when_closed(self, do: Callable[[], object]) -> None:
        """Call something when the client takes so little that its connection is closed."""
        self._outlet.when_closed = do

    async def catch_up(self) -> None:
        """Send what has waited for the store, or a comment if it has to wait on."""
        async with self._turn():
            await self._send_kept()
            if self.behind:
                await self._outlet.write(sse.KEEP_ALIVE)

    async def say(self, data: bytes) -> bool:
        """Send a message ahead of the result; False if the answer cannot be a stream.

        Raises:
            StoreUnavailable: Too much waits for the store already.
        """
        if not self.may_stream:
            return False
        async with self._turn():
            await self._begin()
            await self._event(data)
        return True

    async def beat(self) -> None:
        """Show that the stream is alive, so that nothing between here and the client cuts it."""
        if self.may_stream:
            async with self._turn():
                await self._begin()
                await self._outlet.write(sse.KEEP_ALIVE)

    async def finish(self, data: bytes, status: int = 200) -> None:
        """Send the result or error, and end. The status counts only if no stream has begun."""
        if self.streaming:
            async with self._turn():
                await self._end(data)
        elif self._must_stream and status == 200:
            await reply(self._send, 200, sse.message(data), (*sse.HEADERS, *self._headers))
        else:
            await reply(self._send, status, data, (JSON_TYPE, *come_back(status), *self._headers))

    async def drop(self) -> None:
        """End without a result: the client no longer wants it."""
        if self.streaming:
            async with self._turn():
                await self._outlet.end()
        else:
            await reply(self._send, 202)

    async def hang_up(self) -> None:
        """Close the connection; what follows waits for the client to come back. Without a journal, nothing happens."""
        if self._journal is None or not self.may_stream:
            return
        async with self._turn():
            await self._begin()
            await self._outlet.end()

    def _turn(self) -> anyio.Lock:
        self._lock = self._lock or anyio.Lock()
        return self._lock

    async def _begin(self) -> None:
        if self.streaming:
            return
        self.streaming = True
        await self._outlet.start((*sse.HEADERS, *self._headers))
        if self._journal is not None:
            self._journal.begin()
            self._serving = self._journal.served(self.hang_up)
            await self._send_kept()

    async def _end(self, data: bytes) -> None:
        """Send the last event. Who is there to receive it will hardly come back for the stream."""
        await self._event(data, last=True)
        with anyio.move_on_after(LOG_PATIENCE_S):
            while self.behind:
                await self._outlet.write(sse.KEEP_ALIVE)
                await anyio.sleep(STORE_DOWN_S)
                await self._send_kept()
        if self._journal is not None and self._journal.behind:
            await self._outlet.write(self._journal.unkept())
        received = self._journal is not None and not self._outlet.closed and not await has_gone(self._receive)
        await self._outlet.end()
        self._serving = None
        if self._journal is not None:
            await self._journal.close(received=received)

    async def _event(self, data: bytes, *, last: bool = False) -> None:
        if self._journal is None:
            await self._outlet.write(sse.message(data))
            return
        behind = self._journal.behind
        self._journal.add(data, last=last)
        if last or not behind:  # else the store is out of reach: it is not asked again for every event
            await self._send_kept()

    async def _send_kept(self) -> None:
        """Send the events that the store has taken, in their order."""
        journal = self._journal
        if journal is None:
            return
        try:
            async for event in journal.kept():
                await self._outlet.write(event)
        except StoreUnavailable:
            return
        except SessionEnded:  # nobody can come back to this stream any more
            self._journal = None
            await self._outlet.write(journal.unkept())
