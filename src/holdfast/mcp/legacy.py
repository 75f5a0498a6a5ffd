"""The handshake era: a session is a node in the store, so any worker serves any request.

What a worker must know of a session is the node's content: revision, who the client is and what it can do, the level
of log messages it wants, what it subscribes to. Each request loads it in one round trip; only what changes it writes.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Raw

from holdfast.core.kinds import Clocks
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.session import Session
from holdfast.errors import SessionNotFound
from holdfast.mcp import jsonrpc, session_events, sse
from holdfast.mcp.admission import Admission
from holdfast.mcp.answer import Answer
from holdfast.mcp.calls import Calls, Withdrawn
from holdfast.mcp.decision import Refusal
from holdfast.mcp.dispatch import Context, Dispatcher
from holdfast.mcp.exchange import Exchange
from holdfast.mcp.handshake import Wanted, storable, wanted_of
from holdfast.mcp.inbox import Inbox
from holdfast.mcp.journal import EventStore, Journal
from holdfast.mcp.jsonrpc import Incoming, Meta, RequestId, RpcError, Shape, meta_of
from holdfast.mcp.kinds import SESSION
from holdfast.mcp.lines import LegacyLine
from holdfast.mcp.modern import OBJECT, Answers
from holdfast.mcp.protocol import (
    ASSUMED,
    BATCHES_UNTIL,
    INVALID_REQUEST,
    LEGACY,
    OLDEST,
    PRIMED_FROM,
    Era,
    at_least,
)
from holdfast.mcp.rules import SessionRules
from holdfast.mcp.settle import Failure, give, settled
from holdfast.mcp.standalone import Streams
from holdfast.web.rates import Rates
from holdfast.web.reply import reply

VERSION: Final = "version"
CLIENT: Final = "client"
CAPABILITIES: Final = "capabilities"
LOG_LEVEL: Final = "log_level"
INITIALIZED: Final = "initialized"
SUBSCRIPTION: Final = "subscription "  # followed by a URI: one key each, so that two workers' changes both stay

NO_BATCHES: Final = Refusal(
    400, INVALID_REQUEST, "this session's revision has no batches; send one message at a time", code="no_batches"
)
UNKNOWN_EVENT: Final = Refusal(400, INVALID_REQUEST, session_events.UNKNOWN_TEXT, code=session_events.UNKNOWN)


class _Cancelled(msgspec.Struct, frozen=True):
    request_id: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | str = msgspec.field(name="requestId")


class _Setting(msgspec.Struct, frozen=True):
    """The member of a request's params that the session has to remember; the dispatcher has judged the one it reads."""

    level: Any = ""
    uri: Any = ""


class Legacy:
    """Serves the messages of legacy clients."""

    def __init__(
        self,
        manager: Manager,
        dispatcher: Dispatcher,
        calls: Calls,
        inbox: Inbox,
        streams: Streams,
        events: EventStore,
        *,
        rates: Rates | None,
        answers: Answers,
        stateless: bool,
        rules: SessionRules,
    ) -> None:
        self._manager, self._dispatcher, self._calls = manager, dispatcher, calls
        self._inbox, self._streams, self._events, self._rates = inbox, streams, events, rates
        self._answers, self._stateless = answers, stateless
        self._rules, self._admission = rules, Admission(manager, streams, rules)

    # -- sessions

    async def open(self, exchange: Exchange, message: Incoming, meta: Meta) -> None:
        """Answer `initialize` and open a session, whose id goes out with the answer."""
        wanted = wanted_of(message, LEGACY)
        answer = self._answer(exchange, None, wanted.version)
        result = await settled(self._greeted(exchange, message, meta, answer, wanted), _id(message), {})
        if not self._stateless:
            with storable():
                session = await self._settled_in(exchange, self._kept(wanted), wanted.label)
            answer = self._answer(exchange, None, wanted.version, session_id=session.id)
        await answer.finish(jsonrpc.response(_id(message), result))

    async def settle(self, exchange: Exchange, message: Incoming, meta: Meta, session: Session, answer: Answer) -> None:
        """Answer `initialize` of a session that was open before it, at the revision of the old transport or a later."""

        async def outcome() -> bytes:
            wanted = wanted_of(message, (OLDEST, *LEGACY))
            result = await self._greeted(exchange, message, meta, answer, wanted)
            with storable():
                await self._manager.merge(session, self._kept(wanted))
            return result

        await give(answer, outcome(), _id(message), {})

    async def open_stream(self, exchange: Exchange) -> None:
        """Serve a GET that names no session: open one, say its id and where to send messages (M8)."""
        version = exchange.head.text(b"mcp-protocol-version") or ASSUMED
        form = session_events.form_of(self._rules)
        session = await self.opened(exchange, {VERSION: version, **({session_events.FORM: form} if form else {})})
        endpoint = sse.event(str(exchange.scope["path"]).encode(), name=session_events.ENDPOINT)
        await self._streams.serve(session, exchange, greeting=session_events.begun(session) + endpoint)

    async def farewell(self, exchange: Exchange) -> None:
        """Answer a GET that names no living session with a stream that says so (M28)."""
        await reply(exchange.send, 200, session_events.not_found(), sse.HEADERS)

    async def end(self, exchange: Exchange) -> None:
        """End the session that DELETE names; from now on its id is unknown."""
        await self._manager.end(await self.load(exchange), Reason.CLIENT)
        await reply(exchange.send, 204)

    async def stream(self, exchange: Exchange) -> None:
        """Serve GET: the session's own stream, or the rest of a stream that broke."""
        session = await self.load(exchange)
        last_seen = exchange.head.text(b"last-event-id")
        replay = await self._streams.replay(session, last_seen) if last_seen else None
        greeting = session_events.begun(session) if exchange.fresh_id else session_events.resumed(session)
        if last_seen and replay is None:
            if session.content.get(session_events.FORM) != session_events.AS_EVENT:
                await exchange.refuse(UNKNOWN_EVENT)
                return
            greeting = session_events.unknown_event() + greeting
        if replay is not None and not replay.cursor.own:
            await self._streams.resume(session, exchange, replay)
            return
        primed = at_least(session.content[VERSION], PRIMED_FROM)
        await self._streams.serve(session, exchange, greeting=greeting, primed=primed, replay=replay)

    # -- messages

    async def message(self, exchange: Exchange, message: Incoming, meta: Meta) -> None:
        """Take one message of a session."""
        session = await self.load(exchange)
        if message.shape is not Shape.REQUEST:
            await self.take(exchange, message, meta, session)
            await reply(exchange.send, 202, headers=exchange.naming())
            return
        answer = self._answer(exchange, session, session.content[VERSION], request=_id(message))
        await self.respond(exchange, message, meta, session, answer)

    async def respond(
        self, exchange: Exchange, message: Incoming, meta: Meta, session: Session, answer: Answer
    ) -> None:
        """Answer one request of a session."""
        context = self._context(exchange, message, meta, session, answer, session.content)
        await give(answer, self._outcome(context, answer, exchange), _id(message), {})

    async def stateless(self, exchange: Exchange, message: Incoming, meta: Meta) -> None:
        """Take one message of a client that has no session and needs none."""
        content: dict[str, Any] = {VERSION: exchange.head.text(b"mcp-protocol-version") or ASSUMED}
        if message.shape is Shape.NOTIFICATION:
            await reply(exchange.send, 202)
            return
        answer = self._answer(exchange, None, content[VERSION])
        context = self._context(exchange, message, meta, None, answer, content)
        await give(answer, self._outcome(context, answer, exchange), _id(message), {})

    async def batch(self, exchange: Exchange, messages: Sequence[Incoming]) -> None:
        """Take several messages at once: only the first revision of this transport has that."""
        session = await self.load(exchange, len(messages))
        if session.content[VERSION] > BATCHES_UNTIL:
            await exchange.refuse(NO_BATCHES)
            return
        answer = Answer(exchange.send, exchange.receive, may_stream=False, headers=exchange.naming())
        answers = await self.respond_all(exchange, messages, session, answer)
        if answers:
            await answer.finish(jsonrpc.batch(answers))
        else:
            await reply(exchange.send, 202, headers=exchange.naming())

    async def respond_all(
        self, exchange: Exchange, messages: Sequence[Incoming], session: Session, answer: Answer
    ) -> list[bytes]:
        """Take the messages of a batch one after the other; return the answers to its requests."""
        answers: list[bytes] = []
        for message in messages:
            if message.shape is not Shape.REQUEST:
                await self.take(exchange, message, meta_of(message), session)
                continue
            context = self._context(exchange, message, meta_of(message), session, answer, session.content)
            answers += await _alone(self._outcome(context, answer, exchange), _id(message))
        return answers

    async def load(self, exchange: Exchange, messages: int = 1) -> Session:
        """Return the session that a request names, and count what it sends in it."""
        session = self._admission.found(exchange)
        if session is None:
            session = await self._admission.load(exchange)
        else:
            messages -= 1  # one was counted when it was found
        if self._rates is not None and self._rates.session.on and messages:
            await self._rates.session.take(session.record.key.hex(), messages)
        return session

    async def opened(
        self, exchange: Exchange, content: dict[str, Any], label: str = "", *, clocks: Clocks | None = None
    ) -> Session:
        """Open a session for who sends a request."""
        return await self._manager.open(
            SESSION,
            {**content, **self._admission.marks(exchange)},
            parent=await self._admission.logon(exchange),
            owner=exchange.principal,
            client=exchange.client,
            label=label,
            clocks=clocks,
        )

    async def take(self, exchange: Exchange, message: Incoming, meta: Meta, session: Session) -> None:
        """Take what needs no answer: an answer to a question of ours, or a notification."""
        if message.shape is Shape.RESPONSE:
            await self._inbox.post(session.key, message)
        elif message.method == "notifications/cancelled":
            await self._withdraw(session, message)
        else:
            if message.method == "notifications/initialized" and not session.content.get(INITIALIZED):
                await self._manager.merge(session, {INITIALIZED: True})
            answer = Answer(exchange.send, exchange.receive, may_stream=False)
            await self._dispatcher.take(self._context(exchange, message, meta, session, answer, session.content))

    # -- inside

    def _kept(self, wanted: Wanted) -> dict[str, Any]:
        """Return what the content of a session holds of its handshake."""
        form = session_events.form_of(self._rules, wanted.capabilities)
        content = {VERSION: wanted.version, CLIENT: wanted.client, CAPABILITIES: wanted.capabilities}
        return {**content, INITIALIZED: False, **({session_events.FORM: form} if form else {})}

    async def _greeted(
        self, exchange: Exchange, message: Incoming, meta: Meta, answer: Answer, wanted: Wanted
    ) -> bytes:
        """Return the result of `initialize`, for the revision that is settled on."""
        params = OBJECT.decode(message.params or b"{}") | {"protocolVersion": wanted.version}
        settled_on = msgspec.structs.replace(message, params=Raw(jsonrpc.encoded(params)))
        context = self._context(exchange, settled_on, meta, None, answer, self._kept(wanted))
        return await self._outcome(context, answer, exchange)

    async def _settled_in(self, exchange: Exchange, content: dict[str, Any], label: str) -> Session:
        """Return the session for `initialize`: in the dialect the one that a GET has opened, else a new one."""
        if self._rules.dialect and exchange.head.session_ids:
            with suppress(SessionNotFound):
                session = await self.load(exchange)
                await self._manager.merge(session, content)
                return session
        return await self.opened(exchange, content, label)

    def _answer(
        self,
        exchange: Exchange,
        session: Session | None,
        version: str,
        *,
        session_id: str | None = None,
        request: RequestId | None = None,
    ) -> Answer:
        streams = exchange.takes_stream and self._answers != "json"
        journal = None
        if session is not None and streams and at_least(version, PRIMED_FROM):
            journal = Journal(self._events, session, worker=self._inbox.address, request=request)
        return Answer(
            exchange.send,
            exchange.receive,
            may_stream=streams,
            must_stream=streams and (self._answers == "stream" or not exchange.takes_json),
            headers=exchange.naming(session_id),
            journal=journal,
            outlet=exchange.outlet(),
        )

    def _context(
        self,
        exchange: Exchange,
        message: Incoming,
        meta: Meta,
        session: Session | None,
        answer: Answer,
        content: dict[str, Any],
    ) -> Context:
        return Context(
            method=str(message.method),
            id=None if message.id is UNSET else message.id,
            params=message.params or jsonrpc.NO_PARAMS,
            era=Era.LEGACY,
            version=content[VERSION],
            identity=exchange.identity,
            scope=exchange.scope,
            line=LegacyLine(answer, session, self._inbox, self._streams),
            session=session,
            client=content.get(CLIENT),
            capabilities=content.get(CAPABILITIES) or {},
            log_level=content.get(LOG_LEVEL),
            progress_token=meta.progress_token,
        )

    async def _outcome(self, context: Context, answer: Answer, exchange: Exchange) -> bytes:
        outcome = self._dispatcher.answer(context)
        session = context.session
        if isinstance(outcome, bytes):
            result = outcome
        elif session is None:
            result = await self._calls.wait(outcome, answer, exchange.receive, leaves=False)
        else:
            name = (session.key, context.id if context.id is not None else "")
            running = self._manager.running(session)
            result = await self._calls.wait(outcome, answer, exchange.receive, leaves=False, name=name, running=running)
        if session is not None and context.method in _REMEMBERED:
            await self._remember(session, context)
        return result

    async def _remember(self, session: Session, context: Context) -> None:
        """Keep what a request has settled for the session, so that every worker knows it."""
        setting = msgspec.json.decode(context.params, type=_Setting)
        if context.method == "logging/setLevel":
            await self._manager.merge(session, {LOG_LEVEL: setting.level})
        elif context.method == "resources/subscribe":
            await self._manager.merge(session, {f"{SUBSCRIPTION}{setting.uri}": True})
        else:
            await self._manager.merge(session, {}, removed=[f"{SUBSCRIPTION}{setting.uri}"])

    async def _withdraw(self, session: Session, message: Incoming) -> None:
        try:
            cancelled = msgspec.json.decode(message.params or b"{}", type=_Cancelled)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # a notification is never answered, not even a bad one
        await self._inbox.withdraw(session.key, cancelled.request_id)


_REMEMBERED: Final = frozenset({"logging/setLevel", "resources/subscribe", "resources/unsubscribe"})


async def _alone(outcome: Any, id: int | str) -> list[bytes]:  # noqa: A002
    """Return the answer to one request of a batch; none if the client has withdrawn it."""
    try:
        return [jsonrpc.response(id, await settled(outcome, id, {}))]
    except Failure as failure:
        return [failure.body]
    except Withdrawn:
        return []


def _id(message: Incoming) -> int | str:
    if message.id is UNSET:
        raise RpcError(INVALID_REQUEST, "the request has no id")
    return message.id
