"""The adapter `http`: any method, any content, by httpx2.

A body of bytes or text goes out as it is, another one as JSON. An answer in JSON becomes values, one in text a text,
and any other stays bytes. Its headers become the message's, and its status the header `http-status`.
"""

import base64
from typing import Any, Final

import httpx2
import msgspec

from holdfast.errors import BackendError, BackendUnavailable, BadInput, LogonFailed
from holdfast.flows.model.expressions import render
from holdfast.flows.model.flow import Call, Http
from holdfast.flows.runtime.failures import CallRefused, NotCarriedOut, Unavailable
from holdfast.flows.runtime.message import Message
from holdfast.flows.runtime.receivers import Credentials
from holdfast.flows.scopes import Channel

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110 §9.2.2
BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "DELETE"})
TURNED_AWAY: Final = 429  # RFC 6585 §4
MAYBE_DONE: Final = frozenset({408, 502, 503, 504})
OF_THE_TRANSFER: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "upgrade"}
)
JSON: Final = "application/json"


class HttpAdapter:
    """Calls one receiver, as one step wants it."""

    def __init__(self, name: str, options: Http, credentials: Credentials, step: Call) -> None:
        timeout = step.timeout if isinstance(step.timeout, float | int) else options.timeout
        self.timeout, self.retry = float(timeout), options.retry
        self._options, self._credentials = options, credentials
        self._method, self._url = step.method or options.method, _joined(options.url, step.path)
        self.channel = Channel(
            name=name,
            stateful=options.stateful,
            dynamic_user="${" in options.auth.basic + options.auth.bearer,
            cookies=options.session_cookies,
            log_off=options.log_off,
        )

    def repeatable(self, message: Message) -> bool:
        """Say what the receiver's options say, else its state, else the method."""
        if isinstance(self._options.repeatable, bool):
            return self._options.repeatable
        return not self._options.stateful and self.method(message) in IDEMPOTENT

    def method(self, message: Message) -> str:
        """Return the method for this message."""
        return self._method or ("GET" if message.body in (None, "", b"") else "POST")

    async def call(self, message: Message, session: httpx2.AsyncClient) -> Message:
        """Send the message as a request and return the answer as a message."""
        name = self.channel.name
        try:
            response = await session.send(self._request(message, session))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as exc:
            raise NotCarriedOut(f"{name} cannot be reached ({type(exc).__name__})") from exc
        except httpx2.TransportError as exc:
            raise BackendUnavailable(f"{name} did not answer ({type(exc).__name__})") from exc
        if response.status_code >= 300 and not self._options.accept_errors:
            raise _refused(name, response)
        headers = {key: value for key, value in response.headers.items() if key not in OF_THE_TRANSFER}
        return message.changed(headers={**headers, "http-status": response.status_code}, body=_body(name, response))

    def _request(self, message: Message, session: httpx2.AsyncClient) -> httpx2.Request:
        method = self.method(message)
        content, kind = (None, "") if method in BODILESS else _content(message)
        forwarded = {key: message.headers.get(key.lower()) for key in self._options.forward}
        written = {key: render(value, message.names) for key, value in self._options.headers.items()}
        headers = httpx2.Headers({"content-type": kind} if kind else {})
        for key, value in {**{key: str(value) for key, value in forwarded.items() if value}, **written}.items():
            headers[key] = _clean(key, value)
        if (authorization := self._authorization(message)) is not None:
            headers["authorization"] = authorization
        try:
            url = render(self._url, message.names, in_url=True)
            return session.build_request(method, url, headers=headers, content=content)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError) as exc:
            raise BadInput(f"this message makes no request to {self.channel.name} ({type(exc).__name__})") from exc

    def _authorization(self, message: Message) -> str | None:
        auth = self._options.auth
        if auth.basic:
            known = self._credentials(render(auth.basic, message.names))
            return "Basic " + base64.b64encode(f"{known.user}:{known.secret}".encode()).decode()
        return f"Bearer {self._credentials(render(auth.bearer, message.names)).secret}" if auth.bearer else None


def _joined(url: str, path: str) -> str:
    if not path or path.startswith("?"):
        return url + path
    return f"{url.rstrip('/')}/{path.lstrip('/')}"


def _content(message: Message) -> tuple[bytes | None, str]:
    """Return the body's bytes and their type: the message's own, or what fits."""
    given = str(message.headers.get("content-type") or "")
    match message.body:
        case None:
            return None, ""
        case bytes() as content:
            return content, given or "application/octet-stream"
        case str() as text:
            return text.encode(), given or "text/plain; charset=utf-8"
    try:
        return msgspec.json.encode(message.body), given if "json" in given else JSON
    except (TypeError, ValueError) as exc:
        raise BadInput(f"a body of type {type(message.body).__name__} cannot be sent as JSON") from exc


def _clean(key: str, value: str) -> str:
    """Return a header's value; what a message brings must not begin another header."""
    if not value.isprintable():
        raise BadInput(f"the header {key!r} would hold a character that cannot stand in it")
    return value


def _body(name: str, response: httpx2.Response) -> Any:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON or kind.endswith("+json"):
        try:
            return msgspec.json.decode(response.content) if response.content else None
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise BackendError(f"{name} answered with something that is not the JSON it says it is") from exc
    if kind.startswith("text/") or kind in ("application/xml", "application/x-www-form-urlencoded"):
        return response.text
    return response.content if kind or response.content else None


def _refused(name: str, response: httpx2.Response) -> BackendError:
    status, said = response.status_code, f"{name} answered {response.status_code}"
    asked = response.headers.get("retry-after", "")  # a date in it, which RFC 9110 allows too, is not looked at
    retry_after = float(asked) if asked.isascii() and asked.isdigit() else 0.0
    if status == TURNED_AWAY:
        return NotCarriedOut(said, retry_after=retry_after)
    if status in MAYBE_DONE:
        return Unavailable(said, retry_after=retry_after)
    if status == 401:
        return LogonFailed(said)
    return CallRefused(said, http_status=status, answer=response.text[:2000])
