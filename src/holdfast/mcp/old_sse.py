"""The transport of 2024-11-05, beside the endpoint on request: a stream by GET, and a path that takes messages by POST.

The stream begins with the event `endpoint`, which says where to POST to. A message is accepted with 202, at whichever
worker, and what comes of it travels on the stream. The session is the stream: it begins and ends with it, since these
clients cannot come back to one. If the stream's worker was killed, the session ends within a minute.
Source: specification 2024-11-05, transports (mcp.md §2); the query `session_id` is the official SDKs'.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import anyio
import msgspec

from holdfast.core.kinds import Clocks
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.session import Session
from holdfast.core.together import STORE_DOWN_S
from holdfast.errors import SessionNotFound, StoreUnavailable
from holdfast.mcp import jsonrpc, session_events, sse
from holdfast.mcp.answer import LOG_PATIENCE_S, Answer
from holdfast.mcp.exchange import Exchange
from holdfast.mcp.head import QUERY_NAME
from holdfast.mcp.jsonrpc import Incoming, Meta, Shape
from holdfast.mcp.kinds import SESSION
from holdfast.mcp.legacy import NO_BATCHES, VERSION, Legacy
from holdfast.mcp.protocol import BATCHES_UNTIL, OLDEST
from holdfast.mcp.standalone import Streams
from holdfast.web.reply import reply

logger = logging.getLogger(__name__)

MESSAGES: Final = "/messages"  # below the path of the stream
TRANSPORT: Final = "transport"  # the key in a session's content
IDLE_S: Final = 60.0  # the stream shows four times in it that it is there


class OldSse:
    """Serves the clients of this transport; what their messages mean is the legacy era's."""

    def __init__(self, manager: Manager, legacy: Legacy, streams: Streams) -> None:
        self._manager, self._legacy, self._streams = manager, legacy, streams

    async def stream(self, exchange: Exchange) -> None:
        """Serve GET: open a session, say where its messages go, and end it with the stream."""
        content = {VERSION: OLDEST, TRANSPORT: OLDEST}
        session = await self._legacy.opened(exchange, content, "HTTP+SSE", clocks=self._clocks())
        address = f"{exchange.scope['path'].rstrip('/')}{MESSAGES}?{QUERY_NAME}={session.id}"
        greeting = sse.event(address.encode(), name=session_events.ENDPOINT)
        try:
            await self._streams.serve(session, exchange, greeting=greeting, resumable=False)
        finally:
            with anyio.CancelScope(shield=True), suppress(StoreUnavailable):  # then it ends by its idle clock
                await self._manager.end(session, Reason.CLIENT)

    async def message(self, exchange: Exchange, message: Incoming, meta: Meta) -> None:
        """Accept one message. A request is answered after that, on the stream."""
        session = await self._load(exchange)
        if message.shape is not Shape.REQUEST:
            await self._legacy.take(exchange, message, meta, session)
            await reply(exchange.send, 202)
            return
        await reply(exchange.send, 202)
        answer = Pushed(exchange, self._streams, session)
        respond = self._legacy.settle if message.method == "initialize" else self._legacy.respond
        await respond(exchange, message, meta, session, answer)

    async def batch(self, exchange: Exchange, messages: Sequence[Incoming]) -> None:
        """Accept several messages at once, of a client whose revision has that."""
        session = await self._load(exchange, len(messages))
        if session.content[VERSION] > BATCHES_UNTIL:
            await exchange.refuse(NO_BATCHES)
            return
        await reply(exchange.send, 202)
        answer = Pushed(exchange, self._streams, session)
        answers = await self._legacy.respond_all(exchange, messages, session, answer)
        if answers:
            await answer.finish(jsonrpc.batch(answers))

    async def _load(self, exchange: Exchange, messages: int = 1) -> Session:
        session = await self._legacy.load(exchange, messages)
        if session.content.get(TRANSPORT) != OLDEST:  # its answers do not belong on its stream
            raise SessionNotFound("there is no such session")
        return session

    def _clocks(self) -> Clocks:
        """Return the clocks of a session that lives by its stream; a sliding one is not kept alive by that alone."""
        usual = self._manager.rules(SESSION)[0]
        if usual.sliding is not None:
            return usual
        return msgspec.structs.replace(usual, idle=min(usual.idle or IDLE_S, IDLE_S), touch_interval=None)


class Pushed(Answer):
    """An answer that goes out on the stream of its session, wherever that is served."""

    __slots__ = ("_session", "_streams")

    def __init__(self, exchange: Exchange, streams: Streams, session: Session) -> None:
        super().__init__(exchange.send, exchange.receive, may_stream=True)
        self._streams, self._session = streams, session
        self.streaming = True

    async def say(self, data: bytes) -> bool:
        """Send a message ahead of the result."""
        await self._streams.push(self._session.ref, data)
        return True

    async def finish(self, data: bytes, status: int = 200) -> None:
        """Send the result or error; while the store is out of reach, try again for a minute."""
        with anyio.move_on_after(LOG_PATIENCE_S):
            while True:
                with suppress(StoreUnavailable):
                    await self.say(data)
                    return
                await anyio.sleep(STORE_DOWN_S)
        logger.warning("an answer could not be sent on the stream of session %s", self._session.record.mark)

    async def beat(self) -> None:
        """Do nothing: the stream shows by itself that it is alive."""

    async def drop(self) -> None:
        """Do nothing: the request was accepted long ago."""

    async def hang_up(self) -> None:
        """Do nothing: these clients cannot come back for the rest."""
