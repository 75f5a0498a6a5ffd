"""Composes all faces into one server, on one engine: the ABAP tools at the MCP endpoint, the ABAP objects as a sticky
OData service, integration flows with their senders, and the probes beside them.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, NamedTuple

from holdfast._asgi import ASGIApp, Receive, Scope, Send
from holdfast.adt.embedded import open_embedded
from holdfast.adt.service import Abap
from holdfast.config import Settings, data_folder
from holdfast.core.events import Sink
from holdfast.engine import Engine
from holdfast.errors import HoldfastError
from holdfast.flows.kinds import flow_kinds
from holdfast.flows.monitoring import Retention
from holdfast.flows.serving.compose import Flows, open_flows
from holdfast.flows.serving.credentials import load_credentials
from holdfast.flows.serving.endpoint import FlowsEndpoint
from holdfast.mcp import KINDS, McpEndpoint, NativeDispatcher, ServerInfo, calm_garbage_collector, told_to_stop
from holdfast.mcp.rules import rules_of
from holdfast.mcp.tools import INSTRUCTIONS, abap_tools
from holdfast.observe import AuditTrail, Counts, LogLines, Sinks, observing
from holdfast.observe.prometheus import PATH as METRICS_PATH
from holdfast.odata.server import sticky_kind
from holdfast.odata.server.compose import endpoint as odata_endpoint
from holdfast.odata.server.endpoint import Endpoint as ODataEndpoint
from holdfast.odata.server.endpoint import below
from holdfast.services.abap import Objects, abap_service
from holdfast.web.address import Proxies
from holdfast.web.guard import Guard
from holdfast.web.logon import Logon
from holdfast.web.oauth import ProtectedResource
from holdfast.web.probes import LIVE_PATH, READY_PATH, Probes
from holdfast.web.rates import Rates
from holdfast.web.reply import reply
from holdfast.web.security import Logons

MCP_PATH: Final = "/mcp"
NO_KEY: Final = bytes(16)  # no node has it: looking it up asks the store, and no more


class Holdfast(NamedTuple):
    """The opened parts of a server."""

    engine: Engine
    abap: Abap
    mcp: McpEndpoint
    probes: Probes
    counts: Counts
    resource: ProtectedResource | None
    measured: ASGIApp
    metrics: ASGIApp | None
    odata: ODataEndpoint | None
    flows: Flows
    flow_paths: FlowsEndpoint

    def stop(self) -> None:
        """Be unready, refuse new requests and end the streams; running calls and messages go on (M18)."""
        self.probes.stop()
        self.flows.stop()
        self.mcp.stop()


@asynccontextmanager
async def open_holdfast(settings: Settings, *, keeper: bool = True) -> AsyncIterator[Holdfast]:
    """Open engine and faces until the block ends.

    Without a configured system both store and system are in memory; another store is refused then.
    """
    counts, observed = Counts(), observing(settings, page=True)
    guard = Guard(settings.allowed_origins, settings.allowed_hosts)
    objects = Objects()
    service = abap_service(objects)
    kinds = (*KINDS, sticky_kind([service]), *flow_kinds())
    async with (
        _sink(counts, observed) as sink,
        open_embedded(settings, more_kinds=kinds, sink=sink, keeper=keeper) as (engine, abap),
        Logon(settings).open(clock=engine.manager.clock) as bearer,
        _flows(settings, engine) as flows,
    ):
        objects.serve(abap)
        odata = odata_endpoint(service, engine.manager, bearer, settings) if settings.odata_path else None
        proxies = Proxies(settings.trusted_proxies)
        rates = Rates(engine.store.counters, settings, clock=engine.manager.clock)
        endpoint = McpEndpoint(
            engine.manager,
            NativeDispatcher(abap_tools(abap), ServerInfo(name="holdfast", title="Holdfast: ABAP"), INSTRUCTIONS),
            guard=guard,
            bearer=bearer,
            proxies=proxies,
            rates=rates,
            max_body_bytes=settings.max_body_bytes,
            keep_alive=settings.keep_alive,
            rules=rules_of(settings),
            tool_scopes=settings.oauth.tool_scopes,
        )
        probes = Probes(
            lambda: engine.store.sessions.find("key", NO_KEY, count=1), timeout=engine.settings.store_timeout
        )
        measured, metrics = observed.around(endpoint), observed.page(guard)
        paths = FlowsEndpoint(
            flows.paths,
            bearer,
            guard=guard,
            proxies=proxies,
            rates=rates,
            logons=Logons(engine.manager),
            max_body=settings.max_body_bytes,
        )
        yield Holdfast(engine, abap, endpoint, probes, counts, bearer.resource, measured, metrics, odata, flows, paths)


class Application:
    """The server as an ASGI application; it opens with the lifespan, which its server must run.

    `failure` is why it could not open, None if it could.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: Holdfast | None = None
        self.failure: HoldfastError | None = None

    def stop(self) -> None:
        """Refuse new requests and end the streams; running calls go on."""
        if self._opened is not None:
            self._opened.stop()

    @property
    def busy(self) -> bool:
        """Whether messages of flows are under way, which need not belong to a request."""
        return self._opened is not None and self._opened.flows.busy

    def give_up(self) -> None:
        """Cancel the calls that still run; their clients are told that the server has gone down."""
        if self._opened is not None:
            self._opened.mcp.give_up()
            self._opened.flows.give_up()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the lifespan or one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and self._opened is not None:
            await self._answer(self._opened, scope, receive, send)
        elif scope["type"] == "http":
            await reply(send, 503)

    async def _answer(self, opened: Holdfast, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/")
        if path == MCP_PATH:
            await opened.measured(scope, receive, send)
        elif path == LIVE_PATH:
            await opened.probes.live(send)
        elif path == READY_PATH:
            await opened.probes.ready(send)
        elif path == METRICS_PATH and opened.metrics is not None:
            await opened.metrics(scope, receive, send)
        elif opened.resource is not None and opened.resource.is_at(path):
            await opened.resource.answer(scope, send)
        elif opened.odata is not None and (place := below(scope, self._settings.odata_path)) is not None:
            await opened.odata(scope, receive, send, path=place[0], root=place[1])
        elif path.startswith(f"{self._settings.flows.path}/"):
            await opened.flow_paths(scope, receive, send, path=path.removeprefix(self._settings.flows.path))
        else:
            await reply(send, 404)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._serve(receive, send)
        except HoldfastError as error:
            if self._opened is not None:
                raise
            self.failure = error
            await send({"type": "lifespan.startup.failed", "message": f"{error.code}: {error}"})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, receive: Receive, send: Send) -> None:
        async with open_holdfast(self._settings) as holdfast, holdfast.mcp.running():
            calm_garbage_collector()
            with told_to_stop(holdfast.stop):
                self._opened = holdfast
                await send({"type": "lifespan.startup.complete"})
                await receive()


def _flows(settings: Settings, engine: Engine) -> AbstractAsyncContextManager[Flows]:
    credentials = load_credentials(settings.flows.credentials)
    retention = Retention.of(settings.flows)
    return open_flows(settings.flows.files, engine.manager, credentials=credentials, retention=retention)


@asynccontextmanager
async def _sink(counts: Counts, observed: Sink) -> AsyncIterator[Sink]:
    trail = AuditTrail(data_folder() / "audit.jsonl")
    try:
        yield Sinks(LogLines(), trail, counts, observed)
    finally:
        trail.close()
