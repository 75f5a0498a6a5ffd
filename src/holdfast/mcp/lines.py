"""The way to the client while one of its requests runs: by era, since only legacy clients can be asked."""

from typing import Any, NoReturn

from holdfast.core.session import Session
from holdfast.mcp import jsonrpc
from holdfast.mcp.answer import Answer
from holdfast.mcp.dispatch import NoWayBack
from holdfast.mcp.inbox import Inbox
from holdfast.mcp.standalone import Streams


class OneWay:
    """Of a line, what is the same for all clients that cannot be asked."""

    __slots__ = ()
    can_ask = False

    async def ask(self, method: str, params: object, timeout: float | None) -> NoReturn:
        """Refuse: this client is asked by results only."""
        raise NoWayBack(method)

    async def tell_aside(self, method: str, params: object) -> None:
        """Forget it: changes are told on listen streams only."""

    async def ask_aside(self, method: str, params: object, timeout: float | None) -> NoReturn:
        """Refuse: this client is asked by results only."""
        raise NoWayBack(method)

    async def hang_up(self) -> None:
        """Do nothing: to close the connection would withdraw the request, and a task has none."""


class ModernLine(OneWay):
    """Notifications on the answer's stream, and nothing else: the server asks by `input_required` results."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def tell(self, method: str, params: object) -> None:
        """Send a notification on the answer's stream."""
        await self._answer.say(jsonrpc.notification(method, params))


class LegacyLine:
    """Everything the handshake era allows; without a session the client cannot be asked."""

    __slots__ = ("_answer", "_inbox", "_session", "_streams")

    def __init__(self, answer: Answer, session: Session | None, inbox: Inbox, streams: Streams) -> None:
        self._answer, self._session, self._inbox, self._streams = answer, session, inbox, streams

    @property
    def can_ask(self) -> bool:
        """Whether there is a session, and a stream to ask on."""
        return self._session is not None and self._answer.may_stream

    async def tell(self, method: str, params: object) -> None:
        """Send a notification on the answer's stream."""
        await self._answer.say(jsonrpc.notification(method, params))

    async def ask(self, method: str, params: object, timeout: float | None) -> dict[str, Any]:
        """Ask on the answer's stream; the client's answer may arrive at any worker."""
        if self._session is None:
            raise NoWayBack(method)
        return await self._inbox.ask(self._session.key, self._answer.say, method, params, timeout)

    async def tell_aside(self, method: str, params: object) -> None:
        """Send a notification on the session's own stream."""
        if self._session is not None:
            await self._streams.push(self._session.ref, jsonrpc.notification(method, params))

    async def ask_aside(self, method: str, params: object, timeout: float | None) -> dict[str, Any]:
        """Ask on the session's own stream."""
        session = self._session
        if session is None or not await self._streams.is_open(session):
            raise NoWayBack(method)

        async def deliver(question: bytes) -> bool:
            await self._streams.push(session.ref, question)
            return True

        return await self._inbox.ask(session.key, deliver, method, params, timeout)

    async def hang_up(self) -> None:
        """Close the answer's connection; the client comes back for the rest."""
        await self._answer.hang_up()
