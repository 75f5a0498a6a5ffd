"""Whose request it is: of a logon in the browser, of a bearer token, or of nobody (O7, O13, S6)."""

from typing import Final

from holdfast._asgi import Scope
from holdfast.core.manager import Manager
from holdfast.odata.server.stay import Caller
from holdfast.web.address import Proxies, network_of
from holdfast.web.bearer import Bearer
from holdfast.web.cookies import Cookie, TwoCookies
from holdfast.web.middleware import VISIT
from holdfast.web.security import Logons
from holdfast.web.visit import Visit

AUTHORIZATION: Final = b"authorization"


class Callers:
    """Tells who calls. Inside of a `SessionMiddleware` it is who has logged on there."""

    def __init__(self, manager: Manager, bearer: Bearer, *, proxies: Proxies, cookie: Cookie) -> None:
        self._logons, self._bearer, self._proxies, self.cookie = Logons(manager), bearer, proxies, cookie

    async def of(self, scope: Scope, *, secrets: bool = True) -> Caller:
        """Return whose request it is; with its `secrets`, if they are needed.

        Raises:
            InvalidToken, InsufficientScope: Nobody's who may come in.
        """
        visit = scope.get(VISIT)
        if isinstance(visit, Visit) and visit.logon is not None:
            return await self._of_visit(visit, visit.logon.principal)
        authorization = _authorization(scope)
        identity = await self._bearer.identity_of(authorization)
        if identity.principal and authorization is not None:
            logon = await self._logons.of_bearer(identity)
            return Caller(identity.principal, identity.principal, logon, (authorization.decode("latin-1"),))
        address = network_of(self._proxies.client_of(scope))
        return Caller(client=address, secrets=self._secrets(scope) if secrets else ())

    async def admit(self, scope: Scope) -> None:
        """Let pass who may come in, and look for no more than that; raises what `of` raises."""
        visit = scope.get(VISIT)
        if not isinstance(visit, Visit) or visit.logon is None:
            await self._bearer.identity_of(_authorization(scope))

    async def _of_visit(self, visit: Visit, principal: str) -> Caller:
        return Caller(principal, principal, await visit.of_logon(), tuple(visit.ids) or self._secrets(visit.scope))

    def _secrets(self, scope: Scope) -> tuple[str, ...]:
        try:
            secret = self.cookie.read(scope)
        except TwoCookies:
            return ()
        return (secret,) if secret else ()


def _authorization(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == AUTHORIZATION), None)
