"""The adapter `http`: any method, any content.

A body of bytes or text goes out as it is, another one as JSON. An answer in JSON becomes values, one in text a text,
and any other stays bytes. Its headers become the message's, and its status the header `http-status`.
"""

import uuid
from typing import Any, Final

import httpx2
from msgspec import field

from holdfast.errors import BackendError
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.sending import Answer, Sending, chosen, joined, merged
from holdfast.flows.content import decoded, encoded
from holdfast.flows.expressions import render
from holdfast.flows.message import Message
from holdfast.flows.parts import Method, Receiver

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110 §9.2.2
BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "DELETE"})


class Http(Receiver, frozen=True, kw_only=True, tag_field="adapter", tag="http"):
    """A receiver that is called by HTTP. A call is repeatable as its method is (RFC 9110 §9.2.2).

    Args:
        path: Put behind the URL (template).
        method: GET without a body, else POST, if it does not say.
        headers: What goes out with each call (template). Headers of the message do not, but for those in `forward`.
        accept_errors: An answer of 300 or more is a message like others.
    """

    path: str = ""
    method: Method = ""
    headers: dict[str, str] = field(default_factory=dict)
    forward: tuple[str, ...] = ()
    accept_errors: bool = False


class HttpAdapter(Sending):
    """Calls a receiver by HTTP."""

    def __init__(self, name: str, options: Http, means: Means) -> None:
        super().__init__(name, options, means)
        self._options = options

    def safe(self, message: Message) -> bool:
        """Say it of the method."""
        return self.method(message) in IDEMPOTENT

    def method(self, message: Message) -> str:
        """Return the method for this message."""
        return self._options.method or ("GET" if message.body in (None, "", b"") else "POST")

    async def call(self, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID) -> Message:
        """Send the message as a request and return the answer as a message."""
        options, method = self._options, self.method(message)
        content, kind = (None, "") if method in BODILESS else encoded(message)
        said = chosen(options.headers, options.forward, message)
        headers = merged({"Content-Type": kind} if kind else {}, said, self.authorization(message))
        url = render(joined(options.url, options.path), message.names, in_url=True)
        answer = await self.send(session, method, url, headers, content)
        if not options.accept_errors:
            self.succeeded(answer)
        return message.changed(
            headers={**answer.told, "http-status": answer.status}, body=_body(self.channel.name, answer)
        )


def _body(name: str, answer: Answer) -> Any:
    try:
        return decoded(answer.content, str(answer.headers.get("content-type", "")))
    except ValueError as exc:
        raise BackendError(f"{name} answered with something that is not the JSON it says it is") from exc
