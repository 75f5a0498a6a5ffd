"""Puts sessions into the calls of a channel: between any httpx2 client and the transport that really sends.

A call that opens a session lets others of its scope wait until it is answered, so that one of them authenticates. What
the receiver sets never reaches the client: its own cookie jar stays empty, and sessions cannot cross from one message
to another there.
"""

import base64
import binascii
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final, NamedTuple

import httpx2

from holdfast.backend.cookies import Cookie
from holdfast.backend.jar import header_of
from holdfast.errors import SessionExpiredError
from holdfast.flows import scopes
from holdfast.flows.deployment import Deployment
from holdfast.flows.kept import Answer, Effect, Going, Sessions
from holdfast.flows.nodes import Node
from holdfast.flows.scopes import Channel, Opened, Reuse, Verdict
from holdfast.flows.tokens import TOKEN_FROM, Protected
from holdfast.flows.trace import Traced, debug_log, hide_values, pair_of, shown

PORTS: Final = {"http": 80, "https": 443}
Pairs = list[tuple[bytes, bytes]]


class Sent(NamedTuple):
    """A call that was sent, and its answer."""

    response: httpx2.Response
    session: Opened | None
    authenticated: bool
    lines: tuple[str, ...]


class ReusingTransport(httpx2.AsyncBaseTransport):
    """The transport of one channel."""

    def __init__(
        self, deployment: Deployment, channel: Channel, inner: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._deployment, self._channel, self._inner = deployment, channel, inner or httpx2.AsyncHTTPTransport()
        hide_values()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request in its scope's session.

        Raises:
            SessionExpiredError: The state of a stateful receiver is gone, or the request cannot be sent twice.
            StoreUnavailable: Before anything was sent.
            ConfigurationError: `strict` refuses it, or there is no exchange.
        """
        receiver = receiver_of(request.url)
        node = self._node(request, receiver)
        if node is None:
            return await self._without_session(request)
        send = partial(self._in_session, receiver=receiver, node=node)
        if TOKEN_FROM in request.extensions:
            now = self._deployment.manager.clock()
            return await Protected(request, receiver, node, send, now).response()
        return await send(request)

    def _node(self, request: httpx2.Request, receiver: str) -> Node | None:
        """Return where the session of a call is, None if it has none."""
        if not self._channel.reuses:
            return None
        if self._deployment.reuse is Reuse.NONE:
            return self._deployment.alone() if TOKEN_FROM in request.extensions else None
        return self._deployment.node(receiver)

    async def _without_session(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        self._trace(request, response.status_code, (), _lines(response), self._deployment.salt)
        return _without_cookies(response)

    async def _in_session(self, request: httpx2.Request, receiver: str, node: Node) -> httpx2.Response:
        sent, again = await self._attempt(request, receiver, node, repeated=False)
        if again:
            await sent.response.aclose()
            sent, _ = await self._attempt(request, receiver, node, repeated=True)
        return _without_cookies(sent.response)

    async def aclose(self) -> None:
        """Close the transport that really sends."""
        await self._inner.aclose()

    async def _attempt(
        self, request: httpx2.Request, receiver: str, node: Node, *, repeated: bool
    ) -> tuple[Sent, bool]:
        """Send once; return whether it has to be sent again. One at a time opens a session at a receiver."""
        async with AsyncExitStack() as stack:
            sessions = await node.read()
            going = self._going(request, receiver, sessions)
            if going.session is None and receiver not in sessions.silent:
                await stack.enter_async_context(node.turn(receiver))
                sessions = await node.read()
                going = self._going(request, receiver, sessions)
                if going.session is not None:
                    await stack.aclose()  # another call has opened it: nobody needs to wait for this one
            if self._channel.stateful and receiver in sessions.lost:
                raise _lost(receiver)
            sent = await self._send(request, going, sessions.salt)
            try:
                return sent, await self._settle(request, receiver, node, sent, repeated=repeated)
            except BaseException:
                await sent.response.aclose()
                raise

    def _going(self, request: httpx2.Request, receiver: str, sessions: Sessions) -> Going:
        return sessions.going(str(request.url), receiver, now=self._deployment.manager.clock())

    async def _send(self, request: httpx2.Request, going: Going, salt: bytes) -> Sent:
        decided = scopes.attach(self._channel, going.session, self._user(request))
        if decided.finding is not None and self._names_user(request):
            await self._deployment.report(decided.finding)
        headers = self._headers(request, header_of(going.cookies), credentials=decided.credentials)
        response = await self._inner.handle_async_request(_with_headers(request, headers))
        lines = _lines(response)
        self._trace(request, response.status_code, going.cookies, lines, salt)
        authenticated = decided.credentials and self._names_user(request)
        return Sent(response, going.session, authenticated, lines)

    async def _settle(self, request: httpx2.Request, receiver: str, node: Node, sent: Sent, *, repeated: bool) -> bool:
        """Let the answer take effect; return whether the call has to be made again."""
        response, session = sent.response, sent.session
        errors = [response.headers.get(name, "") for name in scopes.GONE_HEADERS]
        gone = scopes.says_gone(response.status_code, errors, authenticated=sent.authenticated)
        answer = Answer(
            url=str(request.url),
            receiver=receiver,
            channel=self._channel,
            user=self._user(request),
            using=session.id if session else "",
            refused=session is not None and gone,
            status=response.status_code,
            lines=sent.lines,
        )
        effect = await self._apply(node, answer)
        judged = scopes.verdict(
            self._channel,
            in_session=session is not None,
            refused=answer.refused,
            replaced=effect.replaced,
            repeated=repeated,
        )
        if judged is Verdict.LOST:
            await node.change(lambda sessions: self._lose(sessions, receiver))
            raise _lost(receiver)
        if judged is Verdict.REPEAT and not isinstance(request.stream, httpx2.ByteStream):
            raise SessionExpiredError(
                f"{receiver} has let its session go, and the request's stream cannot be sent again",
                hint="Give the content as bytes, or send the request again.",
            )
        return judged is Verdict.REPEAT

    async def _apply(self, node: Node, answer: Answer) -> Effect:
        if answer.says_nothing:
            return Effect()
        now, foreign = self._deployment.manager.clock(), set[tuple[str, str]]()

        def step(sessions: Sessions) -> Effect:
            effect = sessions.take(answer, now=now)
            foreign.update(sessions.jar.foreign)
            return effect

        effect = await node.change(step)
        for host, domain in sorted(foreign):
            await self._deployment.report(scopes.foreign_cookie(self._channel, host, domain))
        if effect.silent and self._deployment.reuse is not Reuse.NONE:
            await self._deployment.report(scopes.no_cookie(self._channel, answer.receiver))
        return effect

    def _lose(self, sessions: Sessions, receiver: str) -> Effect:
        """Remember the loss with the message; a flow's sessions outlive it, and begin anew."""
        if self._deployment.reuse is Reuse.EXCHANGE:
            sessions.lose(receiver)
        return Effect(changed=True)

    def _headers(self, request: httpx2.Request, cookies: str, *, credentials: bool) -> Pairs:
        """Return the headers that go out: our cookies behind those that the caller has given."""
        left_out = {b"cookie"} | (set() if credentials else {name.encode() for name in self._channel.credentials})
        given = [value for name, value in request.headers.raw if name.lower() == b"cookie"]
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in left_out]
        together = b"; ".join([*given, *([cookies.encode("latin-1")] if cookies else [])])
        return [*headers, (b"Cookie", together)] if together else headers

    def _names_user(self, request: httpx2.Request) -> bool:
        return any(name in request.headers for name in self._channel.credentials)

    def _user(self, request: httpx2.Request) -> str:
        """Return whose credentials a request carries, as far as they tell: the name with Basic, else the scheme."""
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return scheme.lower()
        try:
            return base64.b64decode(rest, validate=True).decode(errors="replace").partition(":")[0]
        except binascii.Error:
            return "basic"

    def _trace(
        self, request: httpx2.Request, status: int, going: Iterable[Cookie], lines: Iterable[str], salt: bytes
    ) -> None:
        tracer = self._deployment.tracer or debug_log()
        if tracer is not None:
            url = str(request.url.copy_with(query=None, fragment=None, userinfo=b""))
            sent = shown(((cookie.name, cookie.value) for cookie in going), salt)
            got = shown(map(pair_of, lines), salt)
            tracer(Traced(self._deployment.name, self._channel.name, request.method, url, status, sent, got))


def receiver_of(url: httpx2.URL) -> str:
    """Return host and port: what a session is at."""
    return f"{url.host}:{url.port or PORTS.get(url.scheme, 0)}"


def _lost(receiver: str) -> SessionExpiredError:
    return SessionExpiredError(
        f"{receiver} has let its session go, and with it the state of this message",
        hint="Process the message again from its beginning.",
    )


def _lines(response: httpx2.Response) -> tuple[str, ...]:
    """Return the Set-Cookie lines byte for byte, as Latin-1."""
    return tuple(value.decode("latin-1") for name, value in response.headers.raw if name.lower() == b"set-cookie")


def _with_headers(request: httpx2.Request, headers: Pairs) -> httpx2.Request:
    return httpx2.Request(
        request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
    )


def _without_cookies(response: httpx2.Response) -> httpx2.Response:
    headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"set-cookie"]
    return httpx2.Response(
        response.status_code, headers=headers, stream=response.stream, extensions=response.extensions
    )
