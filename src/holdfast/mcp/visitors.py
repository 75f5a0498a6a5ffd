"""The session that a request to another application names, under the same rules as at the endpoint (M22)."""

from collections.abc import Callable

import msgspec

from holdfast._asgi import Message, Scope
from holdfast.core.events import ADDRESS, Fact
from holdfast.core.holding import Running
from holdfast.core.manager import Manager
from holdfast.core.session import Session
from holdfast.errors import BadInput, SessionNotFound
from holdfast.identity.facts import InsufficientScope, InvalidToken
from holdfast.mcp.admission import FOUND, Found
from holdfast.mcp.decision import AMBIGUOUS
from holdfast.mcp.exchange import Exchange
from holdfast.mcp.head import head_of
from holdfast.mcp.legacy import Legacy
from holdfast.mcp.protocol import MODERN
from holdfast.mcp.rules import SessionRules
from holdfast.web.address import Proxies
from holdfast.web.bearer import Bearer
from holdfast.web.reply import Header
from holdfast.web.session_data import SessionData


class Visit(msgspec.Struct, frozen=True):
    """A request that names a session.

    Args:
        session_id: The id as it was sent, or the one that the session has got with this request.
        session: None if the id is that of no session, for whatever reason.
        headers: Go out with the answer.
    """

    session_id: str
    session: Session | None = None
    headers: tuple[Header, ...] = ()


class Visitors:
    """Finds the sessions that requests to other applications name.

    Args:
        tell: Lets a fact about a request out.
    """

    def __init__(
        self,
        manager: Manager,
        legacy: Legacy,
        *,
        bearer: Bearer,
        proxies: Proxies,
        rules: SessionRules,
        tell: Callable[[Fact, Exchange], None],
    ) -> None:
        self._manager, self._legacy, self._rules = manager, legacy, rules
        self._bearer, self._proxies, self._tell = bearer, proxies, tell

    async def visit(self, scope: Scope) -> Visit | None:
        """Return which session an HTTP or WebSocket request names; None if it names none.

        Its use is recorded, and the scope shows who the session's user is (M23). An endpoint behind takes all that
        from the scope.

        Raises:
            BadInput: It names two different ones.
            RateLimited: The session has sent too much already.
            StoreUnavailable, IssuerUnavailable: It cannot be said.
        """
        head = head_of(scope)
        if self._rules.dialect:
            head.take_query(scope.get("query_string", b""))
        if not head.session_ids or head.text(b"mcp-protocol-version") in MODERN:
            return None
        exchange = Exchange(scope, _nothing, _nowhere, head, self._proxies.client_of(scope))
        ADDRESS.set(exchange.address)
        if len(head.session_ids) > 1:
            self._tell(Fact.TWO_IDS, exchange)
            raise BadInput(AMBIGUOUS.message)
        try:
            exchange.identity = await self._bearer.identity_of(head.fields.get(b"authorization"))
            session = await self._legacy.load(exchange)
        except (InvalidToken, InsufficientScope, SessionNotFound):
            return Visit(head.session_ids[0])
        scope[FOUND] = Found(self._manager, head.session_ids[0], exchange.principal, session)
        return Visit(exchange.fresh_id or head.session_ids[0], session, exchange.naming())

    def data(self, session: Session) -> SessionData:
        """Return the application's data in a session."""
        return SessionData(self._manager, session)

    def running(self, session: Session) -> Running:
        """Mark a connection as open in a session, as `Manager.running` says."""
        return self._manager.running(session)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


async def _nowhere(message: Message) -> None:
    """Send nothing: the answer is the application's."""
