"""Puts sessions into the calls of a channel: between any httpx2 client and the transport that really sends.

A call that opens a session lets others of its scope wait until it is answered, so that one of them authenticates. What
the receiver sets never reaches the client: its own cookie jar stays empty, and sessions cannot cross from one message
to another there.
"""

from collections.abc import Iterable
from functools import partial
from typing import Final, NamedTuple

import httpx2

from holdfast.backend.cookies import Cookie
from holdfast.backend.jar import header_of
from holdfast.backend.lanes import Lanes
from holdfast.errors import SessionExpiredError
from holdfast.flows.sessions import scopes
from holdfast.flows.sessions.deployment import Deployment
from holdfast.flows.sessions.kept import Answer, Effect, Going, Sessions
from holdfast.flows.sessions.logons import LOGON, LoggedOn, Logon
from holdfast.flows.sessions.nodes import Node
from holdfast.flows.sessions.scopes import Channel, Reuse, Verdict
from holdfast.flows.sessions.tokens import TOKEN_FROM, Protected
from holdfast.flows.sessions.trace import Traced, hide_values, pair_of, shown, tracer
from holdfast.flows.sessions.users import user_of

PORTS: Final = {"http": 80, "https": 443}
MOST: Final = 200  # connections at a time
MOST_IDLE: Final = 100
IDLE_S: Final = 4.0  # receivers close idle connections, of which many wait for 5 s (uvicorn, Node)
TRIES: Final = 3  # in a session that is remembered, in one that another worker has opened since, with a logon
GONE: Final = frozenset(name.encode() for name in scopes.GONE_HEADERS)
Pairs = list[tuple[bytes, bytes]]


def open_network() -> Lanes:
    """Return one pool of connections for all receivers of a flow."""
    return Lanes(httpx2.create_ssl_context(), most=MOST, most_idle=MOST_IDLE, idle_s=IDLE_S)


class Outgoing(NamedTuple):
    """A call, and its headers by what they are to sessions."""

    request: httpx2.Request
    url: str
    receiver: str
    node: Node
    plain: Pairs
    credentials: Pairs
    cookies: list[bytes]  # of the caller's own


class Sent(NamedTuple):
    """A call that was sent, and its answer."""

    response: httpx2.Response
    going: Going
    user: str
    gone: bool
    lines: tuple[str, ...]


class ReusingTransport(httpx2.AsyncBaseTransport):
    """The transport of one channel."""

    def __init__(
        self, deployment: Deployment, channel: Channel, inner: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._deployment, self._channel, self._inner = deployment, channel, inner or open_network()
        self._credentials = frozenset(name.lower().encode() for name in channel.credentials)
        self._last: tuple[Pairs, bytes, str] = [], b"", ""  # credentials, and whose they are
        hide_values()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request in its scope's session.

        Raises:
            SessionExpiredError: The state of a stateful receiver is gone, or the request cannot be sent twice.
            SessionEnded: The flow was undeployed.
            StoreUnavailable: Before anything was sent.
            ConfigurationError: `strict` refuses it, or there is no exchange.
        """
        deployment, receiver = self._deployment, receiver_of(request.url)
        node = self._node(request, receiver)
        if node is None:
            response = await self._inner.handle_async_request(request)
            lines, _ = _heard(response)
            self._trace(request, response.status_code, (), lines, deployment.salt)
            return _without_cookies(response, lines)
        send = partial(self._in_session, receiver=receiver, node=node)
        now = deployment.manager.clock()
        if TOKEN_FROM in request.extensions:
            return await Protected(request, receiver, node, send, now).response()
        if LOGON in request.extensions:
            return await LoggedOn(request, receiver, node, send, now).response()
        return await send(request)

    def _node(self, request: httpx2.Request, receiver: str) -> Node | None:
        """Return where the session of a call is, None if it has none."""
        if not self._channel.reuses:
            return None
        if self._deployment.reuse is Reuse.NONE:
            several = TOKEN_FROM in request.extensions or LOGON in request.extensions
            return self._deployment.alone() if several else None
        return self._deployment.node(receiver)

    async def _in_session(self, request: httpx2.Request, receiver: str, node: Node) -> httpx2.Response:
        call, tried = self._outgoing(request, receiver, node), 1
        sent, again = await self._attempt(call, tried)
        while again:
            await sent.response.aclose()
            tried += 1
            sent, again = await self._attempt(call, tried)
        return _without_cookies(sent.response, sent.lines)

    async def aclose(self) -> None:
        """Close the transport that really sends."""
        await self._inner.aclose()

    def _outgoing(self, request: httpx2.Request, receiver: str, node: Node) -> Outgoing:
        call = Outgoing(request, str(request.url), receiver, node, [], [], [])
        for name, value in request.headers.raw:
            match name.lower():
                case b"cookie":
                    call.cookies.append(value)
                case lower if lower in self._credentials:
                    call.credentials.append((name, value))
                case _:
                    call.plain.append((name, value))
        return call

    async def _attempt(self, call: Outgoing, tried: int) -> tuple[Sent, bool]:
        """Send once; return whether it has to be sent again. One at a time opens a session at a receiver."""
        sessions = await call.node.read(fresh=tried > 1 or self._channel.stateful)
        going = self._going(call, sessions)
        if going.session is None and call.receiver not in sessions.silent:
            async with call.node.turn(call.receiver):
                sessions = await call.node.read(fresh=True)
                going = self._going(call, sessions)
                if going.session is None:
                    return await self._answered(call, going, sessions, tried)
        return await self._answered(call, going, sessions, tried)

    async def _answered(self, call: Outgoing, going: Going, sessions: Sessions, tried: int) -> tuple[Sent, bool]:
        if self._channel.stateful and call.receiver in sessions.lost:
            raise _lost(call.receiver)
        sent = await self._send(call, going, sessions.salt)
        as_before = call.receiver in sessions.silent if going.session is None else not sent.gone
        if as_before and not sent.lines:
            return sent, False
        try:
            return sent, await self._settle(call, sent, tried)
        except BaseException:
            await sent.response.aclose()
            raise

    def _going(self, call: Outgoing, sessions: Sessions) -> Going:
        return sessions.going(call.url, call.receiver, now=self._deployment.manager.clock())

    async def _send(self, call: Outgoing, going: Going, salt: bytes) -> Sent:
        logon: Logon | None = call.request.extensions.get(LOGON)
        user = logon.user if logon else self._user(call.credentials, salt)
        decided = scopes.attach(self._channel, going.session, user)
        if decided.finding is not None and (logon or call.credentials):
            await self._deployment.report(decided.finding)
        headers = call.plain + (call.credentials if decided.credentials else [])
        cookies = [*call.cookies, *([header_of(going.cookies).encode("latin-1")] if going.cookies else [])]
        if cookies:
            headers = [*headers, (b"Cookie", b"; ".join(cookies))]  # ours behind those that the caller has given
        response = await self._inner.handle_async_request(_with_headers(call.request, headers))
        lines, errors = _heard(response)
        self._trace(call.request, response.status_code, going.cookies, lines, salt)
        authenticated = decided.credentials and bool(call.credentials)
        return Sent(
            response, going, user, scopes.says_gone(response.status_code, errors, authenticated=authenticated), lines
        )

    async def _settle(self, call: Outgoing, sent: Sent, tried: int) -> bool:
        """Let the answer take effect; return whether the call has to be made again."""
        session = sent.going.session
        answer = Answer(
            url=call.url,
            receiver=call.receiver,
            channel=self._channel,
            user=sent.user,
            using=session.id if session else "",
            refused=session is not None and sent.gone,
            status=sent.response.status_code,
            lines=sent.lines,
            sent=tuple(sent.going.cookies),
        )
        effect = await self._apply(call.node, answer)
        judged = scopes.verdict(
            self._channel,
            in_session=session is not None,
            refused=answer.refused,
            replaced=effect.replaced,
            repeated=tried == TRIES,
        )
        if judged is Verdict.LOST:
            await call.node.change(lambda sessions: self._lose(sessions, call.receiver))
            raise _lost(call.receiver)
        if judged is Verdict.REPEAT and not isinstance(call.request.stream, httpx2.ByteStream):
            raise SessionExpiredError(
                f"{call.receiver} has let its session go, and the request's stream cannot be sent again",
                hint="Give the content as bytes, or send the request again.",
            )
        return judged is Verdict.REPEAT

    async def _apply(self, node: Node, answer: Answer) -> Effect:
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

    def _user(self, credentials: Pairs, salt: bytes) -> str:
        """Return whose credentials these are; most often they are those of the call before."""
        if (credentials, salt) != self._last[:2]:
            self._last = credentials, salt, user_of(credentials, salt)
        return self._last[2]

    def _trace(
        self, request: httpx2.Request, status: int, going: Iterable[Cookie], lines: Iterable[str], salt: bytes
    ) -> None:
        tell = tracer(self._deployment.tracer)
        if tell is not None:
            url = str(request.url.copy_with(query=None, fragment=None, userinfo=b""))
            sent = shown(((cookie.name, cookie.value) for cookie in going), salt)
            got = shown(map(pair_of, lines), salt)
            tell(Traced(self._deployment.name, self._channel.name, request.method, url, status, sent, got))


def receiver_of(url: httpx2.URL) -> str:
    """Return host and port: what a session is at."""
    return f"{url.host}:{url.port or PORTS.get(url.scheme, 0)}"


def _lost(receiver: str) -> SessionExpiredError:
    return SessionExpiredError(
        f"{receiver} has let its session go, and with it the state of this message",
        hint="Process the message again from its beginning.",
    )


def _heard(response: httpx2.Response) -> tuple[tuple[str, ...], list[str]]:
    """Return the Set-Cookie lines byte for byte, as Latin-1, and what the answer says of a session that is gone."""
    lines, errors = [], []
    for name, value in response.headers.raw:
        lower = name.lower()
        if lower == b"set-cookie":
            lines.append(value.decode("latin-1"))
        elif lower in GONE:
            errors.append(value.decode("latin-1"))
    return tuple(lines), errors


def _with_headers(request: httpx2.Request, headers: Pairs) -> httpx2.Request:
    return httpx2.Request(
        request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
    )


def _without_cookies(response: httpx2.Response, lines: tuple[str, ...]) -> httpx2.Response:
    if not lines:
        return response
    headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"set-cookie"]
    return httpx2.Response(
        response.status_code, headers=headers, stream=response.stream, extensions=response.extensions
    )
