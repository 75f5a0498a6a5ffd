"""The administrator's HTTP API, relative to where it is mounted; answers are JSON (S5, S19, R73).

    GET    /logons?user=…&application=…&after=…&count=…    a page of logons; `after` of the answer begins the next one
    GET    /logons/HANDLE                                   one of them
    DELETE /logons/HANDLE                                   ends it
    DELETE /logons?user=… | ?application=… | ?all=yes       ends a principal's, an application's sessions, or all

`local=yes` leaves the issuers of logons alone. An administrator sends a token of their own as a bearer token, or is
logged on, freshly and with the role that is asked for; then what ends something must come from a page of this site.
No id of a session is in any answer. Every end is in the audit trail, with who did it.
"""

from typing import Any, Final

import msgspec

from holdfast._asgi import Receive, Scope, Send
from holdfast.config import Settings
from holdfast.errors import BadInput, HoldfastError, NotFound
from holdfast.identity.attempts import Attempts, TooManyAttempts
from holdfast.identity.facts import InvalidToken
from holdfast.web.address import network_of
from holdfast.web.administration.administrator import PAGE, Administrator
from holdfast.web.administration.aim import YES, Aim, aim_of, end
from holdfast.web.bearer import StaticBearer
from holdfast.web.cookies import NO_STORE
from holdfast.web.middleware import VISIT, SessionMiddleware, check_csrf, require, visit_of
from holdfast.web.notice import SAFE
from holdfast.web.query import Query, below, number_in, query_of
from holdfast.web.reply import JSON_TYPE, Header, reply
from holdfast.web.served import refuse
from holdfast.web.site import Security
from holdfast.web.visit import Visit

APPLICATION: Final = "holdfast-administration"
ROLE: Final = "admin"
FRESH_S: Final = 900.0
LOGONS: Final = "/logons"
ACCOUNT: Final = "administrator's token"  # under which wrong ones are counted


class MethodNotAllowed(BadInput):
    """There is something at this address, but nothing of the kind can be done with it."""

    code = "method_not_allowed"
    status = 405


class Administration:
    """The API of one site.

    Args:
        security: What the applications of the process share; its federations are told of logons that are ended.
        role: What somebody who is logged on must be; None: only the token counts.
        fresh: Seconds for which their logon counts as fresh.
        level: How strong their logon must be.
    """

    def __init__(self, security: Security, *, role: str | None = ROLE, fresh: float = FRESH_S, level: int = 1) -> None:
        self._security, self._role, self._fresh, self._level = security, role, fresh, level
        self._bearer = _bearer(security.settings)
        self._sessions = SessionMiddleware(self._with_visit, security, application=APPLICATION)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http" and VISIT in scope:
            await self._with_visit(scope, receive, send)
        else:
            await self._sessions(scope, receive, send)

    async def _with_visit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the administrator's API knows nothing of {scope['type']}")
        visit = visit_of(scope)
        try:
            query = query_of(scope)
            found = await self._answer(await self._administrator(visit, query), scope["method"], below(scope), query)
        except HoldfastError as exc:
            await refuse(scope, send, exc, [NO_STORE, *SAFE, *self._challenge(exc)])
        else:
            await reply(send, 200, msgspec.json.encode(found), [JSON_TYPE, NO_STORE, *SAFE])

    async def _answer(self, who: Administrator, method: str, path: str, query: Query) -> Any:
        handle = path.removeprefix(LOGONS + "/") if path != LOGONS else ""
        if path not in (LOGONS, f"{LOGONS}/{handle}"):
            raise NotFound("there is nothing at this address")
        if method == "DELETE":
            many = {name: value for name, value in query.items() if name != "logon"}
            return await end(who, Aim("logon", handle) if handle else aim_of(many))
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{method} does nothing here")
        if handle:
            return await who.show(handle)
        return await who.page(
            user=query.get("user", ""),
            application=query.get("application", ""),
            after=query.get("after", ""),
            count=number_in(query, "count") or PAGE,
        )

    # -- who may

    async def _administrator(self, visit: Visit, query: Query) -> Administrator:
        given = next((value for name, value in visit.scope["headers"] if name == b"authorization"), None)
        by = await self._by_token(visit, given) if given is not None else await self._by_logon(visit)
        return Administrator(visit.services.manager, self._security.federations, by=by, local=query.get("local") == YES)

    async def _by_token(self, visit: Visit, given: bytes) -> str:
        """Return whose token came; wrong ones are told of, and not many are looked at."""
        manager, network = visit.services.manager, network_of(visit.address)
        attempts = Attempts(manager.store.counters, clock=manager.clock)
        account = f"{ACCOUNT} {network}"  # nobody keeps administrators out who are elsewhere
        if self._bearer is None:
            raise InvalidToken("administrators have no token here", hint="Set HOLDFAST_ADMIN_TOKEN.")
        try:
            await attempts.begin(account, network)
            identity = await self._bearer.identity_of(given)
        except (InvalidToken, TooManyAttempts) as exc:
            visit.services.logon_failed(visit.address, f"administrator: {exc.code}")
            raise
        await attempts.succeeded(account, network)
        return identity.principal

    async def _by_logon(self, visit: Visit) -> str:
        if self._role is None:
            raise InvalidToken("only an administrator's token counts here")
        logon = await require(visit.scope, role=self._role, max_age=self._fresh, level=self._level)
        if visit.scope["method"] not in ("GET", "HEAD"):
            await check_csrf(visit.scope)
            visit.let_go()  # all may end, and their own logon with them
        return logon.principal

    def _challenge(self, error: HoldfastError) -> list[Header]:
        return [StaticBearer().challenge(error)] if isinstance(error, InvalidToken) else []


def _bearer(settings: Settings) -> StaticBearer | None:
    token = settings.admin_token.get_secret_value()
    return StaticBearer(token) if token else None
