"""Logons that are calls of their own: a receiver takes user and password by an operation, and from then on its cookie.

A request in such a session has the extension `LOGON`: how to log on if there is no session yet, or if the receiver does
not know the one that there was (any more), which only who reads its answers can tell. Others of the scope that want to
log on wait meanwhile. Where no session is kept, the logon and the request itself share one of their own.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import httpx2
import msgspec

from holdfast.flows.sessions.kept import Effect, Sessions
from holdfast.flows.sessions.nodes import Node
from holdfast.flows.sessions.scopes import Opened

LOGON: Final = "logon"  # extension of a request: a Logon
SESSION: Final = "session"  # extension of an answer: the id of the session in which it was given, empty for none

Send = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


class Logon(msgspec.Struct, frozen=True):
    """How to log on.

    Args:
        user: Who.
        request: What logs on; the session is what its answer's cookies carry.
        judge: Given the answer, which it has to read and close; it raises why the receiver has refused.
        refused: Id of a session that the receiver does not know, as an answer before has said.
    """

    user: str
    request: httpx2.Request
    judge: Callable[[httpx2.Response], Awaitable[None]]
    refused: str = ""


class LoggedOn:
    """A request that needs a logon, `send` sending in sessions of `node`. `now` is in Unix seconds."""

    def __init__(self, request: httpx2.Request, receiver: str, node: Node, send: Send, now: float) -> None:
        self._request, self._receiver, self._node, self._send, self._now = request, receiver, node, send, now
        self._logon: Logon = request.extensions[LOGON]

    async def response(self) -> httpx2.Response:
        """Send the request in its session, which is opened if need be.

        Raises httpx2.ConnectError if the logon was not answered: nothing else has happened at the receiver.
        """
        session = await self._usable() or await self._opened()
        response = await self._send(self._request)
        response.extensions[SESSION] = session
        return response

    async def _usable(self, *, fresh: bool = False) -> str:
        """Return the id of the session that the receiver knows, as far as we know."""
        session = self._session(await self._node.read(fresh=fresh))
        return session.id if session is not None and session.id != self._logon.refused else ""

    async def _opened(self) -> str:
        async with self._node.turn(f"logon {self._receiver}"):
            session = await self._usable(fresh=True)
            if not session:
                if self._logon.refused:
                    await self._node.change(self._forget)
                await self._log_on()
                session = await self._usable(fresh=True)
            return session

    async def _log_on(self) -> None:
        logon = self._logon
        logon.request.extensions[LOGON] = logon
        try:
            response = await self._send(logon.request)
            await logon.judge(response)
        except httpx2.TransportError as exc:
            raise httpx2.ConnectError(f"no logon: {type(exc).__name__}") from exc

    def _forget(self, sessions: Sessions) -> Effect:
        return sessions.drop(self._logon.refused)

    def _session(self, sessions: Sessions) -> Opened | None:
        return sessions.going(str(self._request.url), self._receiver, now=self._now).session
