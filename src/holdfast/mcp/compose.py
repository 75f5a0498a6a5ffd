"""An MCP server as one ASGI application: engine, dispatcher and endpoint put together.

    app = holdfast.mcp.asgi(server, store="sqlite:///sessions.db")     # uvicorn module:app

The engine opens with the ASGI lifespan. Where a server or a test runs none, it opens with the first request and
closes with the event loop.
"""

import asyncio
import gc
import inspect
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, Final, Literal

from holdfast._asgi import Receive, Scope, Send
from holdfast.config import Settings, load_settings
from holdfast.core.events import Sink
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing
from holdfast.engine import open_engine
from holdfast.errors import ConfigurationError
from holdfast.identity.facts import TokenVerifier
from holdfast.mcp.decision import Place
from holdfast.mcp.dispatch import AsTask, Dispatcher
from holdfast.mcp.endpoint import McpEndpoint
from holdfast.mcp.kinds import KINDS
from holdfast.mcp.modern import Answers
from holdfast.mcp.native import NativeDispatcher, ServerInfo
from holdfast.mcp.old_sse import MESSAGES
from holdfast.mcp.options import Chosen
from holdfast.mcp.options import chosen as options_chosen
from holdfast.mcp.rules import SessionEvents, rules_of
from holdfast.mcp.sessions import Sessions
from holdfast.mcp.tool import Tool
from holdfast.web.address import Proxies
from holdfast.web.guard import Guard
from holdfast.web.logon import Logon
from holdfast.web.opened import Opened
from holdfast.web.rates import Rates
from holdfast.web.reply import reply

logger = logging.getLogger(__name__)

YOUNG_OBJECTS: Final = 50_000


def asgi(
    server: object,
    *,
    store: str | Store = "memory://",
    keys: KeyRing | str | None = None,
    settings: Settings | None = None,
    token: str | None = None,
    principal: str = "",
    verifier: TokenVerifier | None = None,
    tool_scopes: Mapping[str, Collection[str]] | None = None,
    path: str = "/mcp",
    sse_path: str | None = None,
    name: str = "holdfast",
    instructions: str = "",
    answers: Answers = "auto",
    stateless: bool = False,
    sink: Sink | None = None,
    calm_gc: bool = True,
    dialect: Literal["", "fast-mcp"] | None = None,
    preset: Literal["", "fast-mcp"] | None = None,
    session_events: SessionEvents | None = None,
    tasks: Mapping[str, AsTask] | None = None,
    state_once: Collection[str] = (),
    **options: Any,
) -> "McpApp":
    """Return an ASGI application that serves an MCP server.

    Args:
        server: An SDK `MCPServer` or low-level `Server`, a FastMCP 4 server, or a sequence of `Tool`.
        store: Where the sessions are kept, a URL or a store that is open; with any other than `memory://`, every
            process with the same store serves every session.
        keys: Seal what is stored; needed for a store that several machines share.
        settings: Everything else; read from file and environment if left out.
        token: The bearer token clients must send; `settings.token` if left out, empty for none.
        principal: A name for who sends the token; left out, eight digits of its SHA-256.
        verifier: Says who sends a token, instead of `token` and of what the settings or the server itself have.
        tool_scopes: What a token must allow for calls of a tool, by its name; `[oauth] tool_scopes` if left out.
        path: Where the endpoint is.
        sse_path: Where the 2024-11-05 transport is served beside it, such as `/sse`; left out, nowhere.
        name: What the server calls itself, with tools of ours.
        instructions: What a model reads before it uses the server, with tools of ours.
        answers: See `McpEndpoint`.
        stateless: See `McpEndpoint`.
        sink: Takes the facts the engine tells.
        dialect: `fast-mcp` speaks the dialect of that server beside the protocol; `settings.dialect` if left out.
        preset: `fast-mcp` gives its times and limits; `settings.preset` if left out.
        session_events: Whether streams tell of their session's life; `settings.session_events` if left out.
        options: The options of that server under their own names, such as `session_timeout=1800`: see the manual.
        calm_gc: Take what exists at start out of garbage collection, and collect less often (`calm_garbage_collector`).
        tasks: Which tools run as tasks for clients that declare the extension, and how (modern era).
        state_once: The tools that take each `requestState` only once.

    Raises:
        ConfigurationError: The server is none that can be served, or a setting or option is wrong.
    """
    options |= {"dialect": dialect, "preset": preset, "session_events": session_events}
    chosen = options_chosen(settings or load_settings(), options, sink, beside=inspect.signature(asgi).parameters)
    return McpApp(
        dispatcher_for(server, name=name, instructions=instructions),
        chosen,
        store=store if chosen.store is None else chosen.store,
        keys=keys,
        logon=_logon(
            server,
            chosen.settings,
            path,
            token=token,
            principal=principal,
            verifier=verifier,
            tool_scopes=tool_scopes,
        ),
        places=_places(path, sse_path),
        answers=answers,
        stateless=stateless,
        calm_gc=calm_gc,
        tasks=tasks,
        state_once=state_once,
    )


def dispatcher_for(server: object, *, name: str = "holdfast", instructions: str = "") -> Dispatcher:
    """Return the dispatcher that serves this: our own tools, or a server of the SDK or FastMCP."""
    if isinstance(server, Sequence) and all(isinstance(tool, Tool) for tool in server):
        return NativeDispatcher(list(server), ServerInfo(name=name), instructions)
    from holdfast.mcp.sdk import SdkDispatcher  # noqa: PLC0415 - the SDK takes a second to import

    return SdkDispatcher(server)


def _logon(
    server: object,
    settings: Settings,
    path: str,
    *,
    token: str | None,
    principal: str,
    verifier: TokenVerifier | None,
    tool_scopes: Mapping[str, Collection[str]] | None,
) -> Logon:
    """Return how requests log on: as was chosen, else as the server itself would have it."""
    chosen = settings.token.get_secret_value() if token is None else token
    if not (chosen or verifier or settings.oauth.issuer or isinstance(server, Sequence)):
        from holdfast.mcp.sdk_logon import own_logon  # noqa: PLC0415 - the SDK takes a second to import

        own = own_logon(server, path)
        if own is not None:
            verifier, oauth = own
            settings = settings.model_copy(update={"oauth": oauth})
    return Logon(settings, token=chosen, principal=principal, verifier=verifier, tool_scopes=tool_scopes)


class McpApp:
    """One endpoint on an engine of its own."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        chosen: Chosen,
        *,
        store: str | Store,
        keys: KeyRing | str | None,
        logon: Logon,
        places: Mapping[str, Place],
        answers: Answers,
        stateless: bool,
        calm_gc: bool,
        tasks: Mapping[str, AsTask] | None,
        state_once: Collection[str],
    ) -> None:
        self._dispatcher, self._settings, self._store, self._keys = dispatcher, chosen.settings, store, keys
        self._chosen = chosen
        self._logon = logon
        self._places, self._answers, self._stateless = places, answers, stateless
        self._calm_gc = calm_gc
        self._tasks, self._state_once = tasks, state_once
        self._opened = Opened(self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            place = self._places.get(_path_within(scope))
            if place is None and self._logon.resource is not None and self._logon.resource.is_at(scope["path"]):
                await self._logon.resource.answer(scope, send)
                return
            if place is None:
                await reply(send, 404)
                return
            await (self._opened.value or await self._opened.get())(scope, receive, send, place=place)

    @property
    def sessions(self) -> Sessions:
        """The sessions of legacy clients, to send events to; there while the server runs (M30)."""
        if self._opened.value is None:
            raise ConfigurationError("the server is not running", hint="Use `sessions` from within its lifespan.")
        return self._opened.value.sessions

    async def endpoint(self) -> McpEndpoint:
        """Return the endpoint; it is opened now if nobody runs the lifespan."""
        return await self._opened.get()

    def running(self) -> AbstractAsyncContextManager[McpEndpoint]:
        """Open engine and endpoint until the block ends."""
        return self._opened.running()

    async def aclose(self) -> None:
        """Close what was opened without a lifespan."""
        await self._opened.aclose()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[McpEndpoint]:
        chosen = self._chosen
        async with (
            open_engine(
                self._store, kinds=KINDS, keys=self._keys, settings=self._settings, sink=chosen.sink, ids=chosen.ids
            ) as engine,
            self._logon.open(clock=engine.manager.clock) as bearer,
        ):
            endpoint = McpEndpoint(
                engine.manager,
                self._dispatcher,
                guard=Guard(self._settings.allowed_origins, self._settings.allowed_hosts),
                bearer=bearer,
                proxies=Proxies(self._settings.trusted_proxies),
                rates=Rates(engine.store.counters, self._settings, clock=engine.manager.clock),
                answers=self._answers,
                stateless=self._stateless,
                max_body_bytes=self._settings.max_body_bytes,
                keep_alive=self._settings.keep_alive,
                tasks=self._tasks,
                state_once=self._state_once,
                rules=rules_of(self._settings, chosen.logger),
                tool_scopes=self._logon.tool_scopes,
            )
            async with endpoint.running():
                if self._calm_gc:
                    calm_garbage_collector()
                with told_to_stop(endpoint.stop):
                    yield endpoint

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as exc:
            if self._opened.value is None:
                logger.exception("the MCP server could not start or stop")
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            raise
        await send({"type": "lifespan.shutdown.complete"})


def _path_within(scope: Scope) -> str:
    """Return the path below where the application is mounted, without a slash at its end."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).rstrip("/")


def _places(path: str, sse_path: str | None) -> Mapping[str, Place]:
    """Return what is at which path."""
    places = {path.rstrip("/"): Place.ENDPOINT}
    if sse_path is not None:
        old = {sse_path.rstrip("/"): Place.OLD_STREAM, f"{sse_path.rstrip('/')}{MESSAGES}": Place.OLD_MESSAGES}
        if places.keys() & old.keys():
            raise ConfigurationError(f"sse_path={sse_path!r} is in the way of path={path!r}")
        places |= old
    return places


def calm_garbage_collector() -> None:
    """Spare the garbage collector what lives as long as the process.

    Modules, schemas and compiled readers are taken out of every collection (`gc.freeze`), and a collection of young
    objects starts after 50,000 instead of 700. Without this the 99th percentile of answer times is that of full
    collections, which walk all objects (figures in `measured.md`: 50 ms instead of 2).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)


@contextmanager
def told_to_stop(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at SIGTERM and SIGINT, before whoever handles these signals.

    An ASGI server waits for open connections before it ends the lifespan; streams would stay open for ever if nobody
    told them. Outside the main thread, where no signal arrives, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)
        previous: Any = before[signal.Signals(number)]
        if callable(previous):
            previous(number, frame)

    chained = [number for number, previous in before.items() if callable(previous)]
    for number in chained:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in chained:
            if signal.getsignal(number) is handle:
                signal.signal(number, before[number])
