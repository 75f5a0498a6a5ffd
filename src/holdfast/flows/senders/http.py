"""The sender `http`: a request at a path of the server becomes a message, and what the flow makes of it the answer.

    sender: {adapter: http, path: /orders}

The message has the request's body and headers but for those of its transfer and logon, `http-method` and `http-query`,
and the properties `query` (of a name that comes twice, the last) and `principal`. Each answer names the message in
`Holdfast-Message`.
"""

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl

from msgspec import Meta

from holdfast.core.session import Session
from holdfast.errors import BackendError, BackendUnavailable, BadInput, HoldfastError
from holdfast.flows.adapters.sending import OF_THE_TRANSFER, merged
from holdfast.flows.content import decoded, encoded
from holdfast.flows.failures import StepFailed
from holdfast.flows.message import Message
from holdfast.flows.parts import Method, Part, Positive
from holdfast.flows.senders.sender import SenderMeans
from holdfast.flows.serving.paths import PATH, Asked, Place, Told
from holdfast.flows.serving.problem import problem

NAMED: Final = "Holdfast-Message"
LEFT_OUT: Final = OF_THE_TRANSFER | {"authorization", "proxy-authorization", "cookie", "host", "expect"}
log = logging.getLogger(__name__)


class FromHttp(Part, frozen=True, kw_only=True, tag_field="adapter", tag="http"):
    """A path at which the server takes messages.

    Args:
        path: Below the path of all flows (`[flows] path`).
        anonymous: Whoever calls need not log on at the server. They are told no more of a failure than its code.
        max_body: Bytes of the largest body; by default the server's own limit.
        respond: `result` when the flow is through; `accepted` with 202 as soon as the message is stored.
        forward: Headers of the result that go out.
    """

    path: Annotated[str, Meta(pattern=PATH, max_length=200)]
    methods: Annotated[tuple[Method, ...], Meta(min_length=1)] = ("POST",)
    anonymous: bool = False
    max_body: Positive | None = None
    respond: Literal["result", "accepted"] = "result"
    forward: tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+$")], ...] = ()


class HttpSender:
    """Takes messages at a path."""

    def __init__(self, options: FromHttp, means: SenderMeans) -> None:
        self._options, self._means = options, means
        place = Place(
            answer=self.answer,
            owner=f"the flow {means.flow!r}",
            methods=options.methods,
            anonymous=options.anonymous,
            max_body=options.max_body,
        )
        means.adapter.paths.offer(options.path, place)

    async def run(self) -> None:
        """Return: requests come by themselves."""

    async def answer(self, asked: Asked) -> Told:
        """Let the flow process what was sent."""
        name = uuid.uuid4().hex
        try:
            told = await self._told(_message(name, asked), asked.logon)
        except HoldfastError as exc:
            told = self._failed(name, exc)
        return Told(told.status, told.body, {**told.headers, NAMED: name})

    async def _told(self, message: Message, logon: Session | None) -> Told:
        work = self._means.work
        if self._options.respond == "accepted":
            run = await work.do(partial(self._means.accept, message, logon))
            work.leave(partial(self._alone, message.id, partial(work.do, run)))
            return Told(202)
        result = await work.do(partial(self._means.process, message, logon))
        if result is None:
            return Told(204)
        content, kind = encoded(result)
        return Told(200, content or b"", self._headers(result, kind))

    def _headers(self, result: Message, kind: str) -> Mapping[str, str]:
        names = [name for name in self._options.forward if name.lower() not in OF_THE_TRANSFER]
        given = {name: str(value) for name in names if (value := result.headers.get(name.lower()))}
        return merged(given, {"Content-Type": kind} if kind else {})

    async def _alone(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Do what nobody waits for."""
        try:
            await work()
        except HoldfastError as exc:
            self._tell(name, exc)

    def _tell(self, name: str, exc: HoldfastError) -> None:
        log.warning("flow %s, message %s: %s", self._means.flow, name, exc)

    def _failed(self, name: str, exc: HoldfastError) -> Told:
        """Return what is told of a failure: to whom nobody knows, no more than its code."""
        cause = exc.cause if isinstance(exc, StepFailed) else exc
        self._tell(name, exc)
        return problem(_status(cause), cause.code, "" if self._options.anonymous else str(exc))


def _message(name: str, asked: Asked) -> Message:
    """Return the message that a request is. Raises BadInput."""
    kind = asked.headers.get("content-type", "")
    if asked.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadInput("a body with a Content-Encoding is not taken")
    try:
        body = decoded(asked.body, kind) if asked.body else None
    except ValueError as exc:
        raise BadInput("the body is not the JSON that its Content-Type says") from exc
    headers = {name: value for name, value in asked.headers.items() if name not in LEFT_OUT}
    return Message(
        id=name,
        body=body,
        headers={**headers, "http-method": asked.method, "http-query": asked.query},
        properties={
            "query": dict(parse_qsl(asked.query, keep_blank_values=True)),
            "principal": asked.principal,
        },
    )


def _status(cause: HoldfastError) -> int:
    """Return a status that is about this server: a logon that a receiver has refused is none of the caller's."""
    if isinstance(cause, BackendUnavailable):
        return 503
    if isinstance(cause, BackendError):
        return 502
    return cause.status if isinstance(cause, BadInput) or cause.status >= 500 else 500
