"""CSRF tokens: a receiver hands one out with its session, and wants it back with every change made in that session.

A request that needs one says at which URL it is handed out, by its extension `TOKEN_FROM`. The token is kept beside the
cookies of its session, sealed, so that all calls and workers of a scope use it. Where no session is kept, fetching and
the request itself share one of their own.

Source: SAP Gateway, "Cross-Site Request Forgery Protection": `X-CSRF-Token: Fetch` with a reading request, the token
with changing ones, and 403 with `X-CSRF-Token: Required` where it is missing or not (any more) the right one.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

import httpx2

from holdfast.flows.sessions.kept import Effect, Sessions
from holdfast.flows.sessions.nodes import Node, Step

TOKEN_FROM: Final = "token_from"  # noqa: S105 - the name of an extension
UNSENT: Final = "unsent"  # extension of an answer: it refused the fetching, and the request itself was never sent
HEADER: Final = "x-csrf-token"
NO_TOKEN: Final = ("", "fetch", "required")
IN_THE_WAY: Final = frozenset({401, 408, 429, 502, 503, 504})  # what these say of fetching holds for the request too
OF_THE_CONTENT: Final = ("content-type", "content-length", "transfer-encoding", "if-match", "x-http-method", "host")

Send = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


class OneCall:
    """The sessions of one call alone, kept nowhere. It makes its requests one after the other."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def read(self, *, fresh: bool = False) -> Sessions:
        """Return the sessions of the call."""
        return self._sessions

    async def change(self, step: Step) -> Effect:
        """Apply a step."""
        return step(self._sessions)

    def turn(self, receiver: str) -> AbstractAsyncContextManager[None]:
        """Wait for nobody."""
        return nullcontext()


class Protected:
    """A request that needs a token, `send` sending in sessions of `node`. `now` is in Unix seconds."""

    def __init__(self, request: httpx2.Request, receiver: str, node: Node, send: Send, now: float) -> None:
        self._request, self._receiver, self._node, self._send, self._now = request, receiver, node, send, now
        self._service = str(request.extensions[TOKEN_FROM])

    async def response(self) -> httpx2.Response:
        """Send the request with its session's token, and once more with a new one if that is refused.

        Raises httpx2.ConnectError if the token could not be fetched: nothing has happened at the receiver.
        """
        token = await self._token()
        if isinstance(token, httpx2.Response):
            return token
        response = await self._send(self._with(token))
        if not _refuses_token(response):
            return response
        renewed = await self._token(refused=token)
        if renewed in ("", token):
            return response
        await response.aclose()
        return renewed if isinstance(renewed, httpx2.Response) else await self._send(self._with(renewed))

    async def _token(self, refused: str | None = None) -> str | httpx2.Response:
        """Return the token, empty if the receiver has none, or the answer that stands in the way.

        Others of the scope that want to fetch wait meanwhile, and then use what was fetched.
        """
        known = await self._known()
        if known is not None and known != refused:
            return known
        async with self._node.turn(f"token {self._service}"):
            known = await self._known(fresh=True)
            if known is not None and known != refused:
                return known
            fetched = await self._fetched()
            if isinstance(fetched, str):
                await self._node.change(lambda sessions: self._keep(sessions, fetched))
            return fetched

    async def _known(self, *, fresh: bool = False) -> str | None:
        sessions = await self._node.read(fresh=fresh)
        session = sessions.going(str(self._request.url), self._receiver, now=self._now).session
        return session.tokens.get(self._service) if session else None

    def _keep(self, sessions: Sessions, token: str) -> Effect:
        session = sessions.going(str(self._request.url), self._receiver, now=self._now).session
        if session is not None:
            sessions.keep_token(session, self._service, token)
        return Effect(changed=session is not None)

    async def _fetched(self) -> str | httpx2.Response:
        """Ask for a token, by GET where HEAD brings none."""
        for method in ("HEAD", "GET"):
            try:
                response = await self._send(self._asking(method))
            except httpx2.TransportError as exc:
                raise httpx2.ConnectError(f"no token: {type(exc).__name__}") from exc
            token = response.headers.get(HEADER, "")
            if token.lower() in NO_TOKEN and response.status_code in IN_THE_WAY:
                response.extensions[UNSENT] = True
                return response
            await response.aclose()
            if token.lower() not in NO_TOKEN:
                return str(token)
        return ""

    def _asking(self, method: str) -> httpx2.Request:
        headers = [pair for pair in self._request.headers.raw if pair[0].decode().lower() not in OF_THE_CONTENT]
        asked = [*headers, (HEADER.encode(), b"Fetch")]
        return httpx2.Request(method, self._service, headers=asked, extensions=self._others())

    def _with(self, token: str) -> httpx2.Request:
        request = self._request
        headers = [*request.headers.raw, *([(HEADER.encode(), token.encode("latin-1"))] if token else [])]
        return httpx2.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=self._others()
        )

    def _others(self) -> dict[str, Any]:
        return {name: value for name, value in self._request.extensions.items() if name != TOKEN_FROM}


def _refuses_token(response: httpx2.Response) -> bool:
    return response.status_code == 403 and response.headers.get(HEADER, "").lower() == "required"
