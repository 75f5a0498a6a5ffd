"""The one interface between the transport and what answers requests, and the request as both see it.

Two implementations: `native` runs our own tools, `sdk` an official SDK server or a FastMCP one. The transport does not
know which one runs, and neither knows the transport.
"""

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from copy import copy
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw

from holdfast._asgi import Scope
from holdfast.core.manager import Manager
from holdfast.core.session import Session
from holdfast.identity.facts import NOBODY, Identity
from holdfast.mcp.changes import Changes
from holdfast.mcp.jsonrpc import NO_PARAMS, RequestId
from holdfast.mcp.protocol import LOG_MESSAGE, Era, loud_enough

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class NoWayBack(Exception):
    """The client cannot be asked anything: no session, no stream, or a revision without server requests."""


class Line(Protocol):
    """The way to the client while one of its requests runs."""

    @property
    def can_ask(self) -> bool:
        """Whether the client can be asked something on this answer's stream."""
        ...

    async def tell(self, method: str, params: object) -> None:
        """Send a notification on the answer's stream; forgotten if the answer is no stream."""
        ...

    async def ask(self, method: str, params: object, timeout: float | None) -> dict[str, Any]:
        """Send a request on the answer's stream and return the client's result.

        Raises:
            NoWayBack: The client cannot be asked.
            RpcError: It answered with an error, or not within `timeout` seconds.
        """
        ...

    async def tell_aside(self, method: str, params: object) -> None:
        """Send a notification that belongs to no request, on the session's own stream, wherever that is held."""
        ...

    async def ask_aside(self, method: str, params: object, timeout: float | None) -> dict[str, Any]:
        """Like `ask`, on the session's own stream."""
        ...

    async def hang_up(self) -> None:
        """Close the connection but not the stream: the client comes back for the rest (SEP-1699)."""
        ...


class Context(msgspec.Struct, kw_only=True, eq=False):
    """One request on its way to an answer. Tools get it too.

    Cancellation is anyio's: the tool is cancelled when the client withdraws the request, when the session ends, and
    in the modern era when the client goes away.

    Attributes:
        method: The method of the request or notification.
        id: The client's id of it; None for a notification.
        params: Its params as JSON.
        era: Whether the client has a session.
        version: The protocol revision.
        identity: Who calls and what they may, as the token of this very request says.
        session: The session of the legacy era.
        client: The client's description of itself, None if it gave none; self-reported, so never to be trusted.
        capabilities: What the client says it can do.
        scope: The ASGI scope of the HTTP request.
        line: The way to the client, for what the methods below do not cover.
        input_responses: What the client has answered to what the tool asked for in its last result, by its keys.
        request_state: What the tool wanted back with them.
        in_task: The tool runs for a task, not in the request.
    """

    method: str
    id: RequestId | None
    era: Era
    version: str
    scope: Scope
    line: Line
    params: Raw = NO_PARAMS
    identity: Identity = NOBODY
    session: Session | None = None
    client: Mapping[str, Any] | None = None
    capabilities: Mapping[str, Any] = msgspec.field(default_factory=dict)
    log_level: str | None = None
    progress_token: RequestId | None = None
    input_responses: Mapping[str, Any] = NOTHING
    request_state: Any = None
    in_task: bool = False

    @property
    def principal(self) -> str:
        """The name of who calls, empty without authentication."""
        return self.identity.principal

    def for_task(self, line: Line, token: RequestId) -> "Context":
        """Return the same request on its way to a task: with another line, to which progress is always told."""
        other = copy(self)
        other.line = line
        other.progress_token = token
        other.in_task = True
        return other

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Report progress, if the client asked for it. `progress` must rise from call to call."""
        if self.progress_token is None:
            return
        said = {"progressToken": self.progress_token, "progress": progress, "total": total, "message": message}
        params = {name: value for name, value in said.items() if value is not None}
        await self.line.tell("notifications/progress", params)

    async def log(self, level: str, data: object, *, logger: str | None = None) -> None:
        """Send a log message to the client, if it wants messages of this level."""
        params = {"level": level, "data": data} | ({"logger": logger} if logger else {})
        await self.tell(LOG_MESSAGE, params)

    async def tell(self, method: str, params: object) -> None:
        """Send a notification that belongs to this request."""
        if method == LOG_MESSAGE and isinstance(params, Mapping) and not self._wants(params.get("level")):
            return
        await self.line.tell(method, params)

    def _wants(self, level: object) -> bool:
        """Legacy clients get every message until they set a level; modern ones none unless the request asks."""
        if self.log_level is None:
            return self.era is Era.LEGACY
        return loud_enough(level, self.log_level)


class AsTask(msgspec.Struct, frozen=True, kw_only=True):
    """How a tool runs as a task, for clients that declare the extension.

    Args:
        required: Other clients are refused (-32021); left out, they wait for the result in the call.
        idempotent: If the worker that runs it dies, another one runs it again, up to three times in all; left out,
            the task fails and says so.
        ttl: Seconds for which the task is kept, from its beginning.
        poll: Seconds that clients should leave between two looks.
        prompt: Seconds in which the call itself answers, with the result or with what the tool asks for; only a tool
            that takes longer becomes a task.
    """

    required: bool = False
    idempotent: bool = False
    ttl: float = 3600.0
    poll: float = 1.0
    prompt: float = 0.0


class Services(msgspec.Struct, frozen=True):
    """What the transport lends to a dispatcher: the engine, and the means to tell of changes."""

    manager: Manager
    changes: Changes


class Dispatcher(Protocol):
    """Answers requests. Raises `RpcError` for a JSON-RPC error; any other exception is an internal error."""

    @property
    def info(self) -> Mapping[str, Any]:
        """What the server says about itself (`serverInfo`)."""
        ...

    @property
    def lists(self) -> Sequence[str] | None:
        """Which lists may change: `tools`, `prompts`, `resources`. None: it serves listen streams by itself."""
        ...

    @property
    def tasks(self) -> Mapping[str, AsTask]:
        """The tools that say themselves that they run as tasks."""
        ...

    def running(self, services: Services) -> AbstractAsyncContextManager[None]:
        """Do in this block what must be done while the server is up."""
        ...

    def stop(self) -> None:
        """End what would otherwise run until the client leaves; the server is going down."""
        ...

    def answer(self, context: Context) -> bytes | Awaitable[bytes]:
        """Return the result as JSON, or an awaitable of it.

        What needs no waiting is returned at once: the transport then spares itself all that a running call needs.
        `initialize` is a request like others; its params name the version that was chosen.
        """
        ...

    async def take(self, context: Context) -> None:
        """Take a notification."""
        ...

    async def input_schema(self, tool: str, context: Context) -> Mapping[str, Any] | None:
        """Return the input schema of a tool, so that its mirrored headers can be checked; None if there is none."""
        ...
