"""Servers written with the official SDK or FastMCP 4 behind the dispatcher interface: they run unchanged.

Only the SDK's transport and sessions are replaced. Each request goes through its own seam for a single request
(`Connection.from_envelope` and `ServerRunner`), whose connection is made anew of what our session knows, so that any
worker can serve it. This is the one module that imports the SDK, which takes a second: it is loaded when needed.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, Final

import anyio
import msgspec
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.connection import Connection
from mcp.server.lowlevel.server import Server
from mcp.server.runner import ServerRunner, aclose_shielded
from mcp.server.subscriptions import ListenHandler
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request

from holdfast.errors import ConfigurationError
from holdfast.mcp import jsonrpc
from holdfast.mcp.dispatch import AsTask, Context, NoWayBack, Services
from holdfast.mcp.fastmcp_state import share_state
from holdfast.mcp.jsonrpc import RpcError
from holdfast.mcp.modern import OBJECT
from holdfast.mcp.protocol import DISCOVER, INVALID_PARAMS, LISTEN, MODERN, SERVED
from holdfast.mcp.sdk_shared import share_states, show_errors, tell_changes
from holdfast.mcp.stays_behind import is_fastmcp, say_what_stays_behind

logger = logging.getLogger(__name__)

LIST_PAGES: Final = 100  # a list of tools that never ends is not followed for longer
KIND: Final = "streamable-http"
NOBODY_KNOWN: Final = nullcontext()
NO_PROMPT: Final = ("Unknown prompt: ", "Missing required arguments: ")  # the SDK would say "internal error" to these


def lowlevel_of(server: object) -> Server[Any]:
    """Return the low-level server inside an `MCPServer`, a FastMCP 4 server, or the server itself.

    Raises:
        ConfigurationError: It is none of these.
    """
    for candidate in (server, getattr(server, "_lowlevel_server", None), getattr(server, "_mcp_server", None)):
        if isinstance(candidate, Server):
            return candidate
    raise ConfigurationError(
        f"{type(server).__name__} is no server of the MCP SDK 2.3 or FastMCP 4",
        hint="Pass an MCPServer, a low-level Server, a FastMCP, or a sequence of holdfast tools.",
    )


class SdkDispatcher:
    """Serves an SDK server, one request at a time."""

    def __init__(self, server: object) -> None:
        self._server = lowlevel_of(server)
        self._outer = server
        self._state: Any = None
        entry = self._server.get_request_handler(LISTEN)
        self._listens = entry.handler if entry is not None else None

    @property
    def info(self) -> Mapping[str, Any]:
        """What the server says about itself."""
        return self._server.server_info_stamp

    @property
    def lists(self) -> Sequence[str] | None:
        """All may change, if the server listens with the SDK's own handler; None for a handler of its own."""
        if self._listens is None:
            return ()
        return ("tools", "prompts", "resources") if isinstance(self._listens, ListenHandler) else None

    @property
    def tasks(self) -> Mapping[str, AsTask]:
        """None: the SDK has no way yet to say so."""
        return {}

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        """Run the server's own lifespan, and let every worker hear what changes at this one."""
        async with AsyncExitStack() as stack:
            show_errors()
            share_states(self._server, services.manager.keys)
            say_what_stays_behind(self._outer, self._server, shared=services.manager.store.shared)
            if is_fastmcp(self._outer):
                share_state(self._outer)
            if isinstance(self._listens, ListenHandler):
                stack.callback(tell_changes(self._listens, services.changes))
            outer = getattr(self._outer, "_lifespan_manager", None)  # FastMCP keeps its providers open with this
            if callable(outer):
                await stack.enter_async_context(outer())
            self._state = await stack.enter_async_context(self._server.lifespan(self._server))
            yield

    def stop(self) -> None:
        """End listen streams in the orderly way: with their result."""
        close = getattr(self._listens, "close", None)
        if callable(close):
            close()

    def answer(self, context: Context) -> Awaitable[bytes]:
        """Return an awaitable of the result: the SDK's dispatch always waits."""
        return self._answer(context)

    async def take(self, context: Context) -> None:
        """Hand a notification to the server; what it raises is logged and goes no further."""
        with _known(context) if context.identity.subject else NOBODY_KNOWN:
            async with self._kernel(context) as kernel:
                await kernel.on_notify(_Exchange(context), context.method, _params(context))

    async def input_schema(self, tool: str, context: Context) -> Mapping[str, Any] | None:
        """Return a tool's input schema, from the server's own look-up or from its list of tools."""
        lookup = self._server.get_tool_input_schema
        try:
            return lookup(tool) if lookup is not None else await self._listed_schema(tool, context)
        except Exception:
            # as in the SDK: a list that fails must not break a call that works
            logger.exception("the input schema of %s is not known; its headers are not checked", tool)
            return None

    async def _listed_schema(self, tool: str, context: Context) -> Mapping[str, Any] | None:
        if self._server.get_request_handler("tools/list") is None:
            return None
        meta = _params(context).get("_meta", {})
        params: dict[str, Any] = {"_meta": meta}
        for _ in range(LIST_PAGES):
            result = await self._serve("tools/list", params, context)
            for entry in result.get("tools", ()):
                if entry.get("name") == tool:
                    schema: Mapping[str, Any] | None = entry.get("inputSchema")
                    return schema
            cursor = result.get("nextCursor")
            if not isinstance(cursor, str):
                return None
            params = {"_meta": meta, "cursor": cursor}
        return None

    async def _answer(self, context: Context) -> bytes:
        try:
            return jsonrpc.encoded(await self._serve(context.method, _params(context), context))
        except MCPError as exc:
            raise RpcError(exc.error.code, exc.error.message, exc.error.data) from exc
        except ValidationError as exc:
            raise RpcError(INVALID_PARAMS, f"params of {context.method}: {_places(exc)}") from exc
        except ValueError as exc:
            if context.method == "prompts/get" and str(exc).startswith(NO_PROMPT):
                raise RpcError(INVALID_PARAMS, str(exc)) from exc
            raise

    async def _serve(self, method: str, params: dict[str, Any], context: Context) -> dict[str, Any]:
        with _known(context) if context.identity.subject else NOBODY_KNOWN:
            async with self._kernel(context) as kernel:
                result = await kernel.on_request(_Exchange(context), method, params)
        if method == DISCOVER and result.get("supportedVersions") == list(MODERN):
            result["supportedVersions"] = list(SERVED)  # which revisions are served is the transport's to say
        return result

    def _kernel(self, context: Context) -> "_Kernel":
        connection = Connection.from_envelope(
            context.version, context.client, context.capabilities, outbound=_Aside(context)
        )
        connection.session_id = context.session.id if context.session is not None else None
        return _Kernel(ServerRunner(self._server, connection, self._state))


class _Kernel:
    """The SDK's kernel for one message, closed as its `serve_one` closes it, but leaving nothing behind.

    The kernel keeps its own methods once they are used. That is a circle, by which all objects of a request would wait
    for the garbage collector: pauses of 10 ms and more, in which every client waits.
    """

    __slots__ = ("_runner",)

    def __init__(self, runner: ServerRunner[Any]) -> None:
        self._runner = runner

    async def __aenter__(self) -> ServerRunner[Any]:
        return self._runner

    async def __aexit__(self, *error: object) -> None:
        kept = vars(self._runner)
        kept.pop("on_request", None)
        kept.pop("on_notify", None)
        await aclose_shielded(self._runner.connection)


class _Aside:
    """What the SDK sends outside any request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        with _translated(method):
            return await self._context.line.ask_aside(method, params, (opts or {}).get("timeout"))

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        await self._context.line.tell_aside(method, params)


class _Exchange:
    """What the SDK sends while it serves a request (its `DispatchContext`). What few servers read is made when read."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.can_send_request = can_ask = context.line.can_ask
        self.request_id = context.id
        self.message_metadata = ServerMessageMetadata(
            request_context=Request(context.scope), close_sse_stream=context.line.hang_up, can_send_request=can_ask
        )

    @cached_property
    def transport(self) -> TransportContext:
        headers = Headers(scope=self._context.scope)
        return TransportContext(kind=KIND, can_send_request=self.can_send_request, headers=headers)

    @cached_property
    def cancel_requested(self) -> anyio.Event:
        return anyio.Event()

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        with _translated(method):
            return await self._context.line.ask(method, params, (opts or {}).get("timeout"))

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        await self._context.tell(method, params)

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        await self._context.progress(progress, total, message)


@contextmanager
def _translated(method: str) -> Iterator[None]:
    """Raise the SDK's errors for ours."""
    try:
        yield
    except NoWayBack as exc:
        raise NoBackChannelError(method) from exc
    except RpcError as exc:
        raise MCPError(code=exc.number, message=str(exc), data=exc.data) from exc


@contextmanager
def _known(context: Context) -> Iterator[None]:
    """Let the SDK know who calls, as its own authentication would: it binds `requestState` to that.

    The token is that of the request: servers keep what they cache apart by it. A task that runs on without a request
    has one that no other principal has.
    """
    before = auth_context_var.set(AuthenticatedUser(_access_token(context)))
    try:
        yield
    finally:
        auth_context_var.reset(before)


def _access_token(context: Context) -> AccessToken:
    """Return what the SDK calls the token of a request: who sends it, in the three parts of a principal, and scopes."""
    who = context.identity
    sent = Headers(scope=context.scope).get("authorization", "").partition(" ")[2].strip()
    return AccessToken(
        token=sent or f"principal {who.principal}",
        client_id=who.client or who.principal,
        scopes=sorted(who.scopes),
        expires_at=None if who.expires_at is None else int(who.expires_at),
        subject=who.subject,
        claims={**who.claims, **({"iss": who.issuer} if who.issuer else {})},
    )


def _params(context: Context) -> dict[str, Any]:
    try:
        return OBJECT.decode(context.params)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RpcError(INVALID_PARAMS, f"params of {context.method}: {exc}") from None


def _places(exc: ValidationError) -> str:
    """Return where params are wrong, without the values."""
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors(include_input=False))
