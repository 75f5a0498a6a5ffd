"""A service over HTTP. In this order: who calls, the session of the id, the CSRF token, the request (O6, §2.5).

So a lost session is told before a missing token, and nothing is executed for an id that is not known. The answer goes
out when the session is written and given back.
"""

import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from holdfast._asgi import Receive, Scope, Send
from holdfast.core.events import ADDRESS
from holdfast.errors import HoldfastError, LeaseLost
from holdfast.identity.facts import InsufficientScope, InvalidToken
from holdfast.odata.errors import BadRequest, MethodNotAllowed
from holdfast.odata.query.options import pairs
from holdfast.odata.server import batches, tokens
from holdfast.odata.server.callers import Callers
from holdfast.odata.server.request import JSON, Answer, Request, failed, form_of, told
from holdfast.odata.server.resources import VERSION, Resources
from holdfast.odata.server.stay import Caller, ContextGone, Sessions
from holdfast.web.address import Proxies
from holdfast.web.bearer import Bearer
from holdfast.web.body import BodyTooLarge, ClientGone, read_body
from holdfast.web.csrf import SAFE
from holdfast.web.guard import Guard
from holdfast.web.reply import Header, come_back

logger = logging.getLogger(__name__)

CONTEXT: Final = "sap-contextid"
TERMINATE: Final = "sap-terminate"
NO_SESSION: Final = Answer(
    status=400,
    body=b"Session not found",
    headers=((b"sap-err-id", b"ICMENOSESSION"), (b"content-type", b"text/plain;charset=utf-8")),
)
ROOTS: Final = 100
NO_LENGTH: Final = (204, 304)
NO_STORE: Final[Header] = (b"cache-control", b"no-store")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"})


class Endpoint:
    """One service at one place."""

    def __init__(
        self,
        sessions: Sessions,
        callers: Callers,
        bearer: Bearer,
        *,
        guard: Guard,
        proxies: Proxies,
        max_body_bytes: int,
        max_parts: int,
        csrf: bool,
    ) -> None:
        self._sessions, self._callers, self._bearer = sessions, callers, bearer
        self._guard, self._proxies, self._most, self._csrf = guard, proxies, max_body_bytes, csrf
        self._resources = Resources(sessions.service)
        self._batches = batches.Batches(self._resources, max_parts=max_parts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *, path: str, root: str) -> None:
        """Serve one request; `path` is below the service root, raw, and `root` the path of that, ending with `/`."""
        ADDRESS.set(self._proxies.client_of(scope))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            answer = await self._answered(scope, receive, headers, path, root)
        except ClientGone:
            return
        await _send(send, answer, head=scope["method"] == "HEAD")

    # -- inside

    async def _answered(self, scope: Scope, receive: Receive, headers: dict[str, str], path: str, root: str) -> Answer:
        """Return the answer to a request, whatever goes wrong."""
        server = scope.get("server")
        refusal = self._guard.refusal(headers.get("origin"), headers.get("host"), str(server[0]) if server else "")
        if refusal is not None:
            return Answer(status=403, body=refusal.encode(), headers=((b"content-type", b"text/plain"),))
        context_id = headers.get(CONTEXT) or None
        if context_id and len(headers) < len(scope["headers"]):
            context_id = _joined(scope, CONTEXT)
        try:
            if scope["method"] not in METHODS:
                raise MethodNotAllowed(f"{scope['method']} is not served")
            if path == "$metadata":
                await self._callers.admit(scope)
                return self._metadata(scope, headers)
            body = await read_body(receive, self._most, headers.get("content-length", "").encode("latin-1"))
            tokens_asked = scope["method"] not in SAFE or "x-csrf-token" in headers
            caller = await self._callers.of(scope, secrets=tokens_asked)
            request = Request(
                method=scope["method"],
                path=path,
                query=scope["query_string"].decode("latin-1"),
                headers=headers,
                body=body,
                root=root,
            )
            return await self._in_session(scope, caller, context_id, request)
        except ContextGone:
            return NO_SESSION
        except (InvalidToken, InsufficientScope) as exc:
            return _with(failed(exc), [self._bearer.challenge(exc)])
        except BodyTooLarge as exc:
            return _with(failed(exc), self._sessions.echo(context_id or ""))
        except HoldfastError as exc:
            if exc.status == 500:
                logger.exception("an OData request failed")
            return _with(failed(exc), [*self._sessions.echo(context_id or ""), *come_back(exc.status)])

    async def _in_session(self, scope: Scope, caller: Caller, context_id: str | None, request: Request) -> Answer:
        ends = TERMINATE in request.headers
        reads = request.method in SAFE and not ends
        async with self._sessions.stay(caller, context_id, reads=reads) as stay:
            sent = request.headers.get("x-csrf-token")
            more: Iterable[Header] = ()
            try:
                if self._csrf:
                    tokens.check(request.method, sent, caller.secrets)
                more = tokens.fetched(scope, sent, caller.secrets, self._callers.cookie)
                if ends and request.headers[TERMINATE] == "session" and stay.inside:
                    await stay.discard()
                    answer = Answer(headers=(VERSION,))
                elif request.path == "$batch":
                    answer = await self._batches.answer(stay, request)
                else:
                    answer = await self._resources.answer(stay, request)
            except tokens.TokenRequired as exc:
                answer, more = _with(failed(exc), [tokens.REQUIRED]), ()
            except LeaseLost:
                raise
            except Exception as exc:  # noqa: BLE001 - whatever a handler raises, the session goes on
                answer = told(exc)
            return _with(answer, [*await stay.settle(), *more, NO_STORE])

    def _metadata(self, scope: Scope, headers: dict[str, str]) -> Answer:
        """Return `$metadata`, which needs no session and touches none."""
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{scope['method']} is not for $metadata")
        options = {
            name.removeprefix("$").lower(): text for name, text in pairs(scope["query_string"].decode("latin-1"))
        }
        described, wanted = self._sessions.service.described, options.get("format", headers.get("accept", ""))
        lowered = wanted.lower()
        if lowered == "xml" or not lowered or "xml" in lowered or "*/*" in lowered:
            return Answer(body=described.xml, headers=((b"content-type", b"application/xml"), VERSION))
        form_of(wanted, None if wanted != "json" else "json")
        return Answer(body=described.json, headers=((b"content-type", JSON.encode()), VERSION))


async def _send(send: Send, answer: Answer, *, head: bool) -> None:
    """Send an answer; `head` leaves out its body, not what is told of it. Some have no length (RFC 9110 §8.6)."""
    length = (b"content-length", str(len(answer.body)).encode())
    headers = [*answer.headers] if answer.status in NO_LENGTH else [length, *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


def _joined(scope: Scope, name: str) -> str:
    """Return a header as RFC 9110 §5.3 reads one that comes twice: two ids are one that nobody knows."""
    return ", ".join(value.decode("latin-1") for key, value in scope["headers"] if key == name.encode())


def _with(answer: Answer, headers: Iterable[Header]) -> Answer:
    return Answer(status=answer.status, body=answer.body, headers=(*answer.headers, *headers))


@lru_cache(ROOTS)
def _root(path: str) -> str:
    return f"{quote(path)}/"


def below(scope: Scope, prefix: str) -> tuple[str, str] | None:
    """Return the raw path below a service's root, and the root; None for what is elsewhere.

    Raises:
        BadRequest: The path cannot be read.
    """
    root = _root(scope.get("root_path", "") + prefix)
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    try:
        path = raw.decode("ascii").partition("?")[0]
    except UnicodeDecodeError as exc:
        raise BadRequest("the path is not percent-encoded") from exc
    if path.startswith(root):
        return path[len(root) :], root
    return ("", root) if f"{path}/" == root else None
