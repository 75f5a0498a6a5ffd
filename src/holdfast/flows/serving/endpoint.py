"""The paths of flows over HTTP. What is looked at, in this order: Origin and Host, path, method, token, rate, body."""

import logging
from collections.abc import Mapping

from holdfast._asgi import Receive, Scope, Send
from holdfast.core.events import ADDRESS
from holdfast.errors import HoldfastError
from holdfast.flows.serving.paths import Asked, Paths, Told
from holdfast.flows.serving.problem import problem
from holdfast.identity.facts import Identity, InsufficientScope, InvalidToken
from holdfast.web.address import Proxies
from holdfast.web.bearer import Bearer
from holdfast.web.body import ClientGone, read_body
from holdfast.web.guard import Guard
from holdfast.web.rates import RateLimited, Rates
from holdfast.web.reply import reply
from holdfast.web.security import Logons

log = logging.getLogger(__name__)


class FlowsEndpoint:
    """Answers at the paths that flows have offered.

    Args:
        paths: What is where.
        bearer: Says who calls.
        guard: Judges Origin and Host.
        proxies: Tells where requests come from.
        rates: Limits how many requests a client may send; none if left out.
        logons: Finds the logon that a token belongs to: what came with it ends with that.
        max_body: Bytes of the largest body, where a path says nothing else.
    """

    def __init__(
        self,
        paths: Paths,
        bearer: Bearer,
        *,
        guard: Guard,
        proxies: Proxies,
        rates: Rates | None = None,
        logons: Logons | None = None,
        max_body: int,
    ) -> None:
        self._paths, self._bearer, self._guard, self._proxies = paths, bearer, guard, proxies
        self._rates, self._logons, self._max_body = rates, logons, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *, path: str) -> None:
        """Serve one request; `path` is below that of all flows."""
        ADDRESS.set(self._proxies.client_of(scope))
        headers = _headers(scope)
        try:
            told = await self._told(scope, receive, headers, path)
        except ClientGone:
            return
        except (InvalidToken, InsufficientScope) as exc:
            name, value = self._bearer.challenge(exc)
            told = _with(problem(exc.status, exc.code, str(exc)), {name.decode(): value.decode()})
        except RateLimited as exc:
            told = problem(exc.status, exc.code, str(exc), retry_after=exc.retry_after)
        except HoldfastError as exc:
            told = problem(exc.status, exc.code, str(exc))
        except Exception:
            log.exception("a request to a flow failed")
            told = problem(500, "internal")
        await _send(send, told, head=scope["method"] == "HEAD")

    async def _told(self, scope: Scope, receive: Receive, headers: Mapping[str, str], path: str) -> Told:
        server = scope.get("server")
        refusal = self._guard.refusal(headers.get("origin"), headers.get("host"), str(server[0]) if server else "")
        if refusal is not None:
            return problem(403, "foreign", refusal)
        place, method = self._paths.at(path), scope["method"]
        if place is None:
            return problem(404, "not_found")
        if method not in place.methods:
            return _with(problem(405, "method_not_allowed"), {"Allow": ", ".join(place.methods)})
        identity = Identity() if place.anonymous else await self._identity(scope)
        principal = identity.principal
        if self._rates is not None:
            await self._rates.client.take(principal or ADDRESS.get())
        limit = self._max_body if place.max_body is None else place.max_body
        return await place.answer(
            Asked(
                method=method,
                path=path,
                query=scope["query_string"].decode("latin-1"),
                headers=headers,
                body=await read_body(receive, limit, headers.get("content-length", "").encode("latin-1")),
                principal=principal,
                logon=await self._logons.of_bearer(identity) if self._logons is not None else None,
            )
        )

    async def _identity(self, scope: Scope) -> Identity:
        """Return who calls. Raises InvalidToken, InsufficientScope."""
        given = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        return await self._bearer.identity_of(given)


def _headers(scope: Scope) -> Mapping[str, str]:
    """Return the headers; values of one that comes several times are joined (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _with(told: Told, headers: Mapping[str, str]) -> Told:
    return Told(told.status, told.body, {**told.headers, **headers})


async def _send(send: Send, told: Told, *, head: bool) -> None:
    fields = [(name.lower().encode("latin-1"), _line(value)) for name, value in told.headers.items()]
    body = b"" if head or told.status in (204, 304) else told.body
    await reply(send, told.status, body, [*fields, (b"cache-control", b"no-store")])


def _line(value: str) -> bytes:
    """Return a header's value in which nothing begins another one."""
    return "".join(sign if sign.isprintable() else " " for sign in value).encode("latin-1", "replace")
