"""The modern era: every request stands for itself. No session; closing the connection withdraws the request."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw

from holdfast.mcp import envelope, mirrored
from holdfast.mcp.answer import Answer
from holdfast.mcp.calls import Calls
from holdfast.mcp.dispatch import Context, Dispatcher
from holdfast.mcp.exchange import Exchange
from holdfast.mcp.jsonrpc import NO_PARAMS, Incoming, Meta, RpcError, is_object
from holdfast.mcp.lines import ModernLine
from holdfast.mcp.mirrored import Mirrored, mirrored_in
from holdfast.mcp.protocol import INVALID_PARAMS, INVALID_REQUEST, LISTEN, STATUS_OF, Era
from holdfast.mcp.settle import give

Answers = Literal["auto", "stream", "json"]
OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


class _Call(msgspec.Struct, frozen=True):
    name: str
    arguments: dict[str, Any] | None = None


_CALL: Final = msgspec.json.Decoder(_Call)


class NotAcceptable(Exception):
    """The client takes no form in which this could be answered."""


class Modern:
    """Serves modern requests.

    Args:
        answers: `auto` sends JSON unless something is said before the result; `stream` always streams; `json` never.
    """

    def __init__(self, dispatcher: Dispatcher, calls: Calls, *, answers: Answers) -> None:
        self._dispatcher, self._calls, self._answers = dispatcher, calls, answers
        self._mirrored: dict[str, tuple[Mapping[str, Any], tuple[Mirrored, ...]]] = {}

    async def request(self, exchange: Exchange, message: Incoming, meta: Meta) -> None:
        """Answer one request.

        Raises:
            RpcError: The request contradicts itself or its headers.
            NotAcceptable: It wants a stream that the client does not take.
        """
        version = envelope.check(exchange.head, message, meta)
        listens = message.method == LISTEN
        answer = self._answer(exchange, listens=listens)
        context = Context(
            method=str(message.method),
            id=_id(message),
            params=message.params or NO_PARAMS,
            era=Era.MODERN,
            version=version,
            identity=exchange.identity,
            scope=exchange.scope,
            line=ModernLine(answer),
            client=read_object(meta.client),
            capabilities=read_object(meta.capabilities) or {},
            log_level=meta.log_level,
            progress_token=meta.progress_token,
        )
        if context.method == "tools/call":
            await self._compare_mirrored(exchange, context)
        await give(answer, self._outcome(context, answer, exchange), _id(message), STATUS_OF)

    async def _outcome(self, context: Context, answer: Answer, exchange: Exchange) -> bytes:
        outcome = self._dispatcher.answer(context)
        if isinstance(outcome, bytes):
            return outcome
        return await self._calls.wait(outcome, answer, exchange.receive, leaves=True)

    def _answer(self, exchange: Exchange, *, listens: bool) -> Answer:
        if listens and not exchange.takes_stream:
            raise NotAcceptable
        streams = exchange.takes_stream and (self._answers != "json" or listens)
        return Answer(
            exchange.send,
            exchange.receive,
            may_stream=streams,
            must_stream=streams and (self._answers == "stream" or not exchange.takes_json),
            outlet=exchange.outlet(),
        )

    async def _compare_mirrored(self, exchange: Exchange, context: Context) -> None:
        """Check `Mcp-Param-*` against the arguments of a call, where its tool has mirrored arguments."""
        try:
            call = _CALL.decode(context.params)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # the dispatcher says what is wrong with it
        if not call.arguments and not exchange.head.parameters:
            return
        schema = await self._dispatcher.input_schema(call.name, context)
        if schema is not None:
            mirrored.check(self._mirrored_of(call.name, schema), call.arguments or {}, exchange.head.parameters)

    def _mirrored_of(self, tool: str, schema: Mapping[str, Any]) -> tuple[Mirrored, ...]:
        known = self._mirrored.get(tool)
        if known is None or known[0] is not schema:
            known = self._mirrored[tool] = (schema, mirrored_in(schema))
        return known[1]


def read_object(json: object) -> dict[str, Any] | None:
    """Return an object of `_meta`; None if it is absent or no object."""
    if not isinstance(json, Raw) or not is_object(json):
        return None
    try:
        return OBJECT.decode(json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RpcError(INVALID_PARAMS, f"params._meta: {exc}") from None


def _id(message: Incoming) -> int | str:
    if message.id is UNSET:
        raise RpcError(INVALID_REQUEST, "the request has no id")
    return message.id
