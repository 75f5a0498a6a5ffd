"""Requests and answers at a back end as values, and the one place that sends them.

The connections are shared by all sessions; cookies, tokens and credentials never stay in the client, so what a
request carries is exactly what its session put into it. A request once handed over is not cut off by the caller's
end: it ends by its answer or by the timeout (E18).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import anyio
import httpx2
import msgspec

from holdfast.errors import BackendUnavailable

LONGEST_ANSWER: Final = 64 * 1024 * 1024
NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the back end, without anything that belongs to a session. `path` is percent-encoded already."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def changes(self) -> bool:
        """True for a method that needs a CSRF token (ADT §2.2)."""
        return self.method in ("POST", "PUT", "DELETE", "PATCH")

    @property
    def target(self) -> str:
        """The path with its query, every value encoded once."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote)}" if self.query else self.path


class Reply(msgspec.Struct, frozen=True):
    """An answer. Header names are in lower case; `cookies` are its Set-Cookie lines, byte for byte as Latin-1."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    cookies: tuple[str, ...] = ()
    reason: str = ""

    @property
    def media(self) -> str:
        """The media type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 become the replacement character."""
        return self.body.decode(errors="replace")

    def __repr__(self) -> str:
        """Show the status alone: headers and body may hold secrets."""
        return f"<Reply {self.status}>"


class AnswerLost(BackendUnavailable):
    """The request may have reached the back end; its answer has not reached us. Never sent again blindly (A6)."""

    default_hint = "Read the object before you repeat the call: it may have been carried out."


class Wire:
    """Sends requests to one base URL over a shared pool of connections."""

    def __init__(self, base_url: str, transport: httpx2.AsyncBaseTransport, *, timeout: float = 30.0) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self._transport = transport

    def url(self, call: Call) -> str:
        """Return the full URL of a call."""
        return self.base_url + call.target

    async def send(
        self, call: Call, headers: Mapping[str, str], *, shield: bool = True, check: Callable[[], None] | None = None
    ) -> Reply:
        """Send once and return the answer, whatever its status. Redirects are not followed.

        A request once sent is not cut off by a cancelled caller; closers, which may be repeated, do without `shield`.
        `check` is asked once the connection stands, right before the first byte goes out: what it raises comes from
        here, and nothing was sent (E26).

        Raises:
            BackendUnavailable: The back end cannot be reached; nothing was sent.
            AnswerLost: The connection broke, or no answer came within `timeout` seconds.
        """
        limits: dict[str, Any] = {
            "timeout": httpx2.Timeout(self.timeout, connect=min(self.timeout, 10.0)).as_dict(),
        }
        if check is not None:
            check()
            limits["trace"] = _asked_before_sending(check)
        request = httpx2.Request(
            call.method,
            self.url(call),
            headers=[(name.encode(), value.encode("latin-1")) for name, value in {**call.headers, **headers}.items()],
            content=call.body if call.changes else None,
            extensions=limits,
        )
        try:
            return await self._bounded(request, shield)
        except NEVER_SENT as exc:
            raise BackendUnavailable(f"{self.base_url} cannot be reached ({type(exc).__name__})") from exc
        except (httpx2.RequestError, httpx2.InvalidURL, TimeoutError, OSError) as exc:
            name = type(exc).__name__
            raise AnswerLost(f"no answer to {call.method} {call.path} from {self.base_url} ({name})") from exc

    async def _bounded(self, request: httpx2.Request, shield: bool) -> Reply:
        reply: Reply | None = None
        with anyio.move_on_after(self.timeout, shield=shield):
            reply = await self._exchange(request)
        if reply is None:
            raise TimeoutError
        return reply

    async def _exchange(self, request: httpx2.Request) -> Reply:
        response = await self._transport.handle_async_request(request)
        try:
            chunks, size = [], 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > LONGEST_ANSWER:
                    raise httpx2.ReadError("the answer is too long")
                chunks.append(chunk)
        finally:
            await response.aclose()
        return _reply(response, b"".join(chunks))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def _asked_before_sending(check: Callable[[], None]) -> Callable[[str, Mapping[str, Any]], Awaitable[None]]:
    async def trace(name: str, info: Mapping[str, Any]) -> None:
        if name.endswith("send_request_headers.started"):
            check()

    return trace


def _reply(response: httpx2.Response, body: bytes) -> Reply:
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw]
    cookies = tuple(value for name, value in pairs if name == "set-cookie")
    headers = {name: value for name, value in pairs if name != "set-cookie"}
    return Reply(response.status_code, headers, body, cookies, response.reason_phrase)
