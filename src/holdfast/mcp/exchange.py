"""One HTTP request to the endpoint: its head, who sent it, and what answer the client takes."""

import logging

from holdfast._asgi import Receive, Scope, Send
from holdfast.errors import HoldfastError
from holdfast.identity.facts import NOBODY, Identity
from holdfast.mcp import jsonrpc
from holdfast.mcp.answer import JSON_TYPE
from holdfast.mcp.decision import Place, Refusal
from holdfast.mcp.head import Head, accepted
from holdfast.mcp.jsonrpc import RequestId
from holdfast.mcp.outlet import PATIENCE_S, Outlet
from holdfast.web.address import network_of
from holdfast.web.reply import RETRY_AFTER_S, Header, come_back, reply

logger = logging.getLogger(__name__)


class Exchange:
    """A request on its way through the endpoint. `fresh_id` is the new id that its session got meanwhile."""

    __slots__ = (
        "address",
        "fresh_id",
        "head",
        "identity",
        "patience",
        "place",
        "receive",
        "scope",
        "send",
        "takes_json",
        "takes_stream",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, head: Head, address: str = "", identity: Identity = NOBODY
    ) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        self.head, self.address, self.identity = head, address, identity
        self.fresh_id, self.place, self.patience = "", Place.ENDPOINT, PATIENCE_S
        self.takes_json, self.takes_stream = accepted(head.fields.get(b"accept"))

    @property
    def principal(self) -> str:
        """Who sends it, as the request's own token says; empty without authentication."""
        return self.identity.principal

    @property
    def client(self) -> str:
        """What limits count by: the principal, else the address, of which an IPv6 one counts as its network."""
        return self.principal or network_of(self.address)

    def outlet(self) -> Outlet:
        """Return the way out for an answer that is a stream; `patience` is for how many seconds it may be left."""
        return Outlet(self.scope, self.receive, self.send, patience=self.patience)

    def naming(self, session_id: str | None = None) -> tuple[Header, ...]:
        """Return the header that tells the client the id of its session, if that is new."""
        fresh = session_id or self.fresh_id
        return ((b"mcp-session-id", fresh.encode()),) if fresh else ()

    async def refuse(
        self,
        refusal: Refusal,
        *,
        request_id: RequestId | None = None,
        message: str = "",
        data: object = None,
    ) -> None:
        """Answer with a refusal; `message` says it more exactly than the table can."""
        headers: list[Header] = [(b"allow", refusal.allow.encode())] if refusal.allow else []
        headers += come_back(refusal.status)
        if data is None and refusal.code:
            data = {"code": refusal.code}
        body = jsonrpc.error(request_id, refusal.number, message or refusal.message, data)
        await reply(self.send, refusal.status, body, (JSON_TYPE, *headers))

    async def fail(self, error: HoldfastError, *, request_id: RequestId | None = None) -> None:
        """Answer with one of our own errors, which stands outside the protocol's codes: number and status are one."""
        headers = come_back(error.status, getattr(error, "retry_after", RETRY_AFTER_S))
        body = jsonrpc.error(request_id, error.status, str(error), {"code": error.code, "hint": error.hint})
        await reply(self.send, error.status, body, (JSON_TYPE, *headers))
