"""The MCP endpoint: one path, both eras, JSON and streams. An ASGI application over an engine and a dispatcher.

It looks at a request in this order: Origin and Host, token, method, type and size of the body, JSON-RPC, and then the
table in `decision` says which part serves it. Nothing about a session stays here between two requests.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from holdfast._asgi import Receive, Scope, Send
from holdfast.core.events import ADDRESS, Event, Fact
from holdfast.core.ids import mark_of
from holdfast.core.manager import Manager
from holdfast.core.model import Ref
from holdfast.errors import HoldfastError, LimitReached, SessionEnded, SessionNotFound
from holdfast.identity.facts import InsufficientScope, InvalidToken
from holdfast.mcp import envelope, jsonrpc
from holdfast.mcp.answer import JSON_TYPE
from holdfast.mcp.around import Around
from holdfast.mcp.calls import KEEP_ALIVE_S, PATIENCE_S, Calls
from holdfast.mcp.decision import Body, Facts, Named, Place, Refusal, Route, Version, decide
from holdfast.mcp.dispatch import NOTHING, AsTask, Dispatcher
from holdfast.mcp.exchange import Exchange
from holdfast.mcp.head import head_of, is_json
from holdfast.mcp.inbox import Inbox
from holdfast.mcp.journal import EventStore
from holdfast.mcp.jsonrpc import NO_META, Incoming, Malformed, Meta, RequestId, RpcError, Shape
from holdfast.mcp.legacy import Legacy
from holdfast.mcp.modern import Answers, Modern, NotAcceptable
from holdfast.mcp.old_sse import OldSse
from holdfast.mcp.protocol import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    LEGACY,
    MODERN,
    PARSE_ERROR,
    SERVED,
    STATUS_OF,
    UNSUPPORTED_VERSION,
)
from holdfast.mcp.rules import SessionRules
from holdfast.mcp.sessions import Sessions
from holdfast.mcp.settle import Failure
from holdfast.mcp.standalone import Streams
from holdfast.mcp.tool_scopes import ToolScopes
from holdfast.mcp.visitors import Visitors
from holdfast.web.address import Proxies
from holdfast.web.bearer import Bearer, Denied
from holdfast.web.body import ClientGone, read_body
from holdfast.web.guard import Guard
from holdfast.web.rates import RateLimited, Rates
from holdfast.web.reply import come_back, reply

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
NOT_JSON: Final = Refusal(
    415, INVALID_REQUEST, "the Content-Type must be application/json", code="unsupported_media_type"
)
NOT_TAKEN: Final = Refusal(
    406, INVALID_REQUEST, "Accept must name application/json or text/event-stream", code="not_acceptable"
)
STOPPING: Final = Refusal(  # nothing was begun, unlike with errors.ServerStopping
    503, INVALID_REQUEST, "the server is going down; come back in a few seconds", code="server_draining"
)
Taker = Callable[[Exchange, Incoming, Meta], Awaitable[None]]
NAMED: Final = (Named.NONE, Named.ONE, Named.TWO)
_META_VERSIONS: Final[Mapping[str | UnsetType, Version]] = {
    UNSET: Version.ABSENT,
    **dict.fromkeys(LEGACY, Version.LEGACY),
    **dict.fromkeys(MODERN, Version.MODERN),
}
_VERSIONS: Final[Mapping[bytes | None, Version]] = {
    None if version is UNSET else str(version).encode(): kind for version, kind in _META_VERSIONS.items()
}
_SHAPES: Final = {
    Shape.REQUEST: Body.REQUEST,
    Shape.NOTIFICATION: Body.NOTIFICATION,
    Shape.RESPONSE: Body.RESPONSE,
}


class McpEndpoint:
    """Serves MCP on one path.

    It must be `running()` while it serves; whoever composes the server sees to that, and to the path. An application
    reaches the sessions of legacy clients by `sessions`.

    Args:
        manager: Keeps the sessions. It must know `holdfast.mcp.KINDS`.
        dispatcher: Answers the requests.
        guard: Judges Origin and Host.
        bearer: Says who calls.
        proxies: Tells where requests come from.
        rates: Limits how many requests a session or client may send; none if left out.
        answers: `auto` sends JSON unless something is said before the result, `stream` streams whenever the client
            takes it, `json` never (then clients cannot be asked anything).
        stateless: Legacy requests without a session are served, and `initialize` opens none.
        max_body_bytes: The largest body taken.
        keep_alive: Seconds of silence after which a stream shows that it is alive.
        tasks: Which tools run as tasks, and how, beside those that say so themselves.
        state_once: The tools that take each `requestState` only once.
        rules: What may be chosen for legacy sessions; the protocol's own ways if left out.
        tool_scopes: What a token must allow for calls of a tool, by its name, beside what `bearer` asks of all.
    """

    def __init__(
        self,
        manager: Manager,
        dispatcher: Dispatcher,
        *,
        guard: Guard | None = None,
        bearer: Bearer | None = None,
        proxies: Proxies | None = None,
        rates: Rates | None = None,
        answers: Answers = "auto",
        stateless: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
        keep_alive: float = KEEP_ALIVE_S,
        patience: float = PATIENCE_S,
        tasks: Mapping[str, AsTask] | None = None,
        state_once: Collection[str] = (),
        rules: SessionRules | None = None,
        tool_scopes: Mapping[str, Collection[str]] = NOTHING,
    ) -> None:
        dispatcher = Around(dispatcher, manager, tasks=tasks or {}, once=state_once)
        self._manager, self._dispatcher = manager, dispatcher
        self._guard, self._bearer = guard or Guard(), bearer or Bearer()
        self._proxies, self._rates = proxies or Proxies(), rates
        self._stateless, self._max_body_bytes = stateless, max_body_bytes
        self._tool_scopes = ToolScopes(tool_scopes)
        self._calls = Calls(patience=patience, keep_alive=keep_alive)
        self._rules = rules or SessionRules()
        self._events = EventStore(manager, self._rules.kept)
        self._inbox = Inbox(manager, self._calls.withdraw, self._events)
        self._streams = Streams(manager, self._inbox, self._events, keep_alive=keep_alive, rules=self._rules)
        self.sessions = Sessions(manager, self._streams.delivery)
        self._modern = Modern(dispatcher, self._calls, answers=answers)
        self._legacy = Legacy(
            manager,
            dispatcher,
            self._calls,
            self._inbox,
            self._streams,
            self._events,
            rates=rates,
            answers=answers,
            stateless=stateless,
            rules=self._rules,
        )
        self._old = OldSse(manager, self._legacy, self._streams)
        self._takers: Mapping[Route, Taker] = {
            Route.MODERN: self._modern.request,
            Route.LEGACY: self._legacy.message,
            Route.OPEN: self._legacy.open,
            Route.OLD_MESSAGE: self._old.message,
            Route.STATELESS: self._legacy.stateless,
        }
        self.visitors = Visitors(
            manager, self._legacy, bearer=self._bearer, proxies=self._proxies, rules=self._rules, tell=self._tell
        )
        self._stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator["McpEndpoint"]:
        """Serve until the block ends."""
        async with self._dispatcher.running(), self._events.running(), self._inbox.open(), self._calls.attended():
            try:
                yield self
            finally:
                self.stop()

    def stop(self) -> None:
        """End all streams, so that their clients come back elsewhere, and take no new requests. Calls run on."""
        self._stopping = True
        self._streams.close_all()
        self._dispatcher.stop()

    def give_up(self) -> None:
        """Cancel the calls that still run; their clients are told that the server has gone down."""
        self._calls.stop()

    async def tell(self, session: Ref, method: str, params: object = None) -> None:
        """Send a notification on the stream of a legacy session, at whichever worker that is; lost without one."""
        await self._streams.push(session, jsonrpc.notification(method, params))

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *, place: Place = Place.ENDPOINT) -> None:
        """Serve one HTTP request; `place` says which of the paths it came to."""
        head = head_of(scope)
        if self._rules.dialect or place is Place.OLD_MESSAGES:
            head.take_query(scope.get("query_string", b""))
        address = self._proxies.client_of(scope)
        exchange = Exchange(scope, receive, send, head, address)
        exchange.place, exchange.patience = place, self._rules.slow_reader
        ADDRESS.set(address)
        wrong = self._guard.refusal(head.text(b"origin"), head.text(b"host"), (scope.get("server") or ("",))[0])
        if wrong:
            await self._refuse(exchange, Facts(scope["method"], trusted=False), message=wrong)
        elif not await self._knows(exchange):
            return
        elif scope["method"] == "POST":
            await self._post(exchange)
        else:
            await self._bodiless(exchange)

    async def _knows(self, exchange: Exchange) -> bool:
        """Find out who sends a request, and say whether they may; if not, that was answered."""
        try:
            exchange.identity = await self._bearer.identity_of(exchange.head.fields.get(b"authorization"))
        except (InvalidToken, InsufficientScope) as exc:
            await self._deny(exchange, exc)
        except HoldfastError as exc:
            await exchange.fail(exc)
        else:
            return True
        return False

    # -- POST

    async def _post(self, exchange: Exchange) -> None:
        head = exchange.head
        if not is_json(head.fields.get(b"content-type")):
            await exchange.refuse(NOT_JSON)
            return
        if not (exchange.takes_json or exchange.takes_stream):
            await exchange.refuse(NOT_TAKEN)
            return
        try:
            body = await read_body(exchange.receive, self._max_body_bytes, head.fields.get(b"content-length", b""))
        except HoldfastError as exc:
            await exchange.fail(exc)
            return
        except ClientGone:
            return
        try:
            parsed = jsonrpc.parse(body)
        except Malformed as exc:
            shape = Body.UNREADABLE if exc.number == PARSE_ERROR else Body.INVALID
            await self._refuse(exchange, self._facts(exchange, shape), request_id=exc.id, message=str(exc))
            return
        if self._stopping and (isinstance(parsed, list) or parsed.shape is Shape.REQUEST):
            await exchange.refuse(STOPPING, request_id=_id_of(parsed))
        elif isinstance(parsed, list):
            await self._route(exchange, self._facts(exchange, Body.BATCH), batch=parsed)
        else:
            meta = jsonrpc.meta_of(parsed)
            facts = self._facts(exchange, _body_of(parsed), meta)
            await self._route(exchange, facts, message=parsed, meta=meta)

    async def _bodiless(self, exchange: Exchange) -> None:
        if self._stopping:
            await exchange.refuse(STOPPING)
        elif exchange.scope["method"] == "GET" and not (exchange.takes_stream or b"accept" not in exchange.head.fields):
            await exchange.refuse(NOT_TAKEN)
        else:
            await self._route(exchange, self._facts(exchange, Body.NONE))

    def _facts(self, exchange: Exchange, body: Body, meta: Meta = NO_META) -> Facts:
        return Facts(
            method=exchange.scope["method"],
            version=_VERSIONS.get(exchange.head.fields.get(b"mcp-protocol-version"), Version.UNKNOWN),
            session=NAMED[min(len(exchange.head.session_ids), 2)],
            body=body,
            meta=_META_VERSIONS.get(meta.version, Version.UNKNOWN),
            stateless=self._stateless,
            dialect=self._rules.dialect,
            place=exchange.place,
        )

    async def _route(
        self,
        exchange: Exchange,
        facts: Facts,
        *,
        message: Incoming | None = None,
        meta: Meta = NO_META,
        batch: Sequence[Incoming] = (),
    ) -> None:
        """Hand the request to the part that serves it, and turn what it raises into an answer."""
        known_id = _id_of(message)
        try:
            if self._rates is not None and self._rates.client.on:
                await self._rates.client.take(exchange.client, max(len(batch), 1))
        except RateLimited as exc:
            await self._slow_down(exchange, exc, known_id)
            return
        route = decide(facts)
        if isinstance(route, Refusal):
            lacks = envelope.lacking(meta) if route.number == INVALID_PARAMS else None
            await self._refuse(exchange, facts, request_id=known_id, message=lacks or "")
            return
        needed = self._tool_scopes.of(batch or ([message] if message is not None else ()))
        if not needed <= exchange.identity.scopes:
            await self._deny(exchange, self._bearer.denied(exchange.identity, needed), known_id)
            return
        try:
            await self._serve(route, exchange, message, meta, batch)
        except NotAcceptable:
            await exchange.refuse(NOT_TAKEN, request_id=known_id)
        except RpcError as exc:
            refusal = Refusal(STATUS_OF.get(exc.number, 400), exc.number)
            await exchange.refuse(refusal, request_id=known_id, message=str(exc), data=exc.data)
        except Failure as failure:
            headers = (JSON_TYPE, *come_back(failure.status))
            await reply(exchange.send, failure.status, failure.body, headers)
        except RateLimited as exc:
            await self._slow_down(exchange, exc, known_id)
        except HoldfastError as exc:
            await self._fail(exchange, exc, facts, route, known_id)

    async def _fail(
        self, exchange: Exchange, error: HoldfastError, facts: Facts, route: Route, request_id: RequestId | None
    ) -> None:
        """Answer with an error; where it tells more of the session, the table says what to do."""
        if isinstance(error, SessionNotFound | SessionEnded):
            facts = msgspec.structs.replace(facts, session=Named.DEAD)
        elif isinstance(error, LimitReached) and route is Route.STREAM:
            facts = msgspec.structs.replace(facts, full=True)
        elif isinstance(error, InvalidToken):  # from before its person logged off
            await self._deny(exchange, error, request_id)
            return
        else:
            await exchange.fail(error, request_id=request_id)
            return
        then = decide(facts)
        if isinstance(then, Refusal):
            await self._refuse(exchange, facts, request_id=request_id)
        elif then is Route.FAREWELL:
            await self._legacy.farewell(exchange)
        else:  # it is no session of the request's own that has ended
            await exchange.fail(error, request_id=request_id)

    async def _serve(
        self, route: Route, exchange: Exchange, message: Incoming | None, meta: Meta, batch: Sequence[Incoming]
    ) -> None:
        takes = self._takers.get(route)
        if takes is not None and message is not None:
            await takes(exchange, message, meta)
            return
        match route:
            case Route.BATCH:
                await self._legacy.batch(exchange, batch)
            case Route.OLD_STREAM:
                await self._old.stream(exchange)
            case Route.OLD_MESSAGE:
                await self._old.batch(exchange, batch)
            case Route.STREAM:
                await self._legacy.stream(exchange)
            case Route.NEW_STREAM:
                await self._legacy.open_stream(exchange)
            case Route.END:
                await self._legacy.end(exchange)
            case Route.ACCEPTED:
                await reply(exchange.send, 202)

    # -- refusals

    async def _refuse(
        self,
        exchange: Exchange,
        facts: Facts,
        *,
        request_id: RequestId | None = None,
        message: str = "",
    ) -> None:
        refusal = decide(facts)
        assert isinstance(refusal, Refusal)  # noqa: S101 - only asked for facts that are refused
        requested = exchange.head.text(b"mcp-protocol-version") or ""
        data: object = None
        if refusal.number == UNSUPPORTED_VERSION:
            unsupported = envelope.unsupported(requested)
            message, data = str(unsupported), unsupported.data
        elif facts.body is Body.INITIALIZE:
            data = {"supported": list(SERVED)}
        if facts.session is Named.TWO:
            self._tell(Fact.TWO_IDS, exchange)
        await exchange.refuse(refusal, request_id=request_id, message=message, data=data)

    async def _deny(self, exchange: Exchange, denied: Denied, request_id: RequestId | None = None) -> None:
        """Answer 401 or 403 with the challenge that tells a client what to do."""
        self._tell(Fact.LOGON_FAILED, exchange, detail=denied.code)
        body = jsonrpc.error(request_id, INVALID_REQUEST, str(denied), {"code": denied.code, "hint": denied.hint})
        await reply(exchange.send, denied.status, body, (JSON_TYPE, self._bearer.challenge(denied)))

    async def _slow_down(self, exchange: Exchange, error: RateLimited, request_id: RequestId | None) -> None:
        self._tell(Fact.RATE_LIMITED, exchange, detail=str(error))
        await exchange.fail(error, request_id=request_id)

    def _tell(self, fact: Fact, exchange: Exchange, *, detail: str = "") -> None:
        ids = exchange.head.session_ids
        self._manager.sink.emit(
            Event(
                fact=fact,
                at=self._manager.clock(),
                mark=mark_of(ids[0]) if ids else "",
                owner=exchange.principal,
                client=exchange.client,
                address=exchange.address,
                detail=detail,
            )
        )


def _id_of(message: Incoming | Sequence[Incoming] | None) -> RequestId | None:
    return message.id if isinstance(message, Incoming) and isinstance(message.id, int | str) else None


def _body_of(message: Incoming) -> Body:
    shape = message.shape
    if shape is Shape.REQUEST and message.method == "initialize":
        return Body.INITIALIZE
    return _SHAPES[shape] if shape is not None else Body.INVALID
