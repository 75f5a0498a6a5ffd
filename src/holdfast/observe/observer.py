"""Everything that is observed of sessions, as one sink: metrics, how many there are, analytics, and live facts.

    observer = Observer(StatsD())
    app = holdfast.mcp.asgi(server, session_metrics=observer)

The engine lets it do its work beside its own: once a second it writes what it has counted to the store, and hands the
meters how many sessions there are.
"""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from typing import Final, Never
from urllib.parse import SplitResult, urlsplit

import anyio

from holdfast._asgi import ASGIApp
from holdfast.config import Settings
from holdfast.core.events import Event
from holdfast.core.ports import Store
from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.mcp.kinds import SESSION
from holdfast.observe.analytics import Analytics
from holdfast.observe.broadcast import Broadcast
from holdfast.observe.census import COUNT_AT_START_S, COUNT_EVERY_S, COUNTED, Census
from holdfast.observe.ledger import Ledger
from holdfast.observe.measures import STORE_AWAY, STORE_TIME, Meter
from holdfast.observe.metrics import Metrics
from holdfast.observe.prometheus import Prometheus
from holdfast.observe.requests import Requests
from holdfast.observe.statsd import PORT as STATSD_PORT
from holdfast.observe.statsd import StatsD
from holdfast.web.guard import Guard

TURN_S: Final = 1.0
PROMETHEUS_PORT: Final = 9464
LAST_S: Final = 2.0  # in which an engine that goes down writes what it has counted
USUAL: Final = ("dogstatsd://127.0.0.1:8125",)  # where the source sends its metrics
HINT: Final = (
    "Use statsd://host:port, dogstatsd://host:port, prometheus://host:port, prometheus: for the server's own port, "
    "or opentelemetry:"
)


class Observer:
    """A sink that measures and counts; it works while an engine runs with it."""

    def __init__(self, *meters: Meter) -> None:
        self.metrics = Metrics(*meters)
        self._ledger = Ledger()
        self._census, self._analytics = Census(self._ledger), Analytics(self._ledger)
        self._broadcast = Broadcast()

    def emit(self, event: Event) -> None:
        """Take one fact."""
        self.metrics.emit(event)
        self._census.emit(event)
        self._analytics.emit(event)
        self._broadcast.emit(event)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return an application whose requests are measured; the same one if nobody measures."""
        return Requests(app, self.metrics) if self.metrics.meters else app

    def page(self, guard: Guard) -> ASGIApp | None:
        """Return the page of metrics that is to be served at the server's own port, if there is one."""
        pages = [one for one in self.metrics.meters if isinstance(one, Prometheus) and one.port is None]
        return pages[0].page(guard) if pages else None

    async def attend(self, store: Store, kinds: Collection[str], clock: Callable[[], float]) -> None:
        """See `Attended.attend`."""
        with ExitStack() as stack:
            for meter in self.metrics.meters:
                stack.enter_context(meter.running())
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._broadcast.run, store.channel)
                    if store.shared:  # else the counters go with who was killed
                        tasks.start_soon(self._recount, store, kinds, clock)
                    tasks.start_soon(self._count, store, kinds, clock)
            finally:
                with anyio.move_on_after(LAST_S, shield=True):
                    await self._turn(store, kinds, clock())

    async def _count(self, store: Store, kinds: Collection[str], clock: Callable[[], float]) -> Never:
        while True:
            await self._turn(store, kinds, clock())
            await anyio.sleep(TURN_S)

    async def _turn(self, store: Store, kinds: Collection[str], now: float) -> None:
        """Write what was counted, learn what others have, and tell the meters."""
        try:
            self._census.settle()
            self._analytics.settle()
            await self._ledger.write(store.counters, now)
            await self._look(store, kinds, now)
            if await self._analytics.reach(store.counters, self._census.most[SESSION], now):
                self._census.most.clear()
        except StoreUnavailable:
            self.metrics.add(STORE_AWAY)
        for kind in kinds:
            self.metrics.active(kind, self._census.now[kind])

    async def _look(self, store: Store, kinds: Collection[str], now: float) -> None:
        began = time.perf_counter()
        await self._census.look(store, kinds, now)
        self.metrics.time(STORE_TIME, time.perf_counter() - began)

    async def _recount(self, store: Store, kinds: Collection[str], clock: Callable[[], float]) -> Never:
        """Count rows at the start and then now and then, if no other worker just has.

        A count that another began before this worker's start need not have seen what was lost just before it; one that
        is refused twice has seen it.
        """
        for _ in range(2):
            if await self._counted(f"{COUNTED}.at_start", COUNT_AT_START_S, store, kinds, clock):
                break
            await anyio.sleep(COUNT_AT_START_S)
        while True:
            await anyio.sleep(COUNT_EVERY_S / 4)
            await self._counted(COUNTED, COUNT_EVERY_S, store, kinds, clock)

    async def _counted(
        self, name: str, apart: float, store: Store, kinds: Collection[str], clock: Callable[[], float]
    ) -> bool:
        """Count rows if nobody has for so long; say whether it was done."""
        with suppress(StoreUnavailable):  # counted later
            if await store.counters.once(name, now=clock(), ttl=apart):
                await self._census.recount(store, kinds, clock)
                return True
        return False


def observing(settings: Settings, *, wanted: bool = False, page: bool = False) -> Observer:
    """Return what observes sessions by these settings; if metrics are `wanted` and none is named, StatsD gets them.

    `page` says that the caller serves a page of metrics at its own port (`Observer.page`).

    Raises:
        ConfigurationError: A name of where metrics go is none, or a library is missing.
    """
    named: Sequence[str] = settings.metrics or (USUAL if wanted else ())
    meters = [meter_of(url, settings) for url in named]
    if not page and any(isinstance(meter, Prometheus) and meter.port is None for meter in meters):
        raise ConfigurationError(
            "this application serves no page of metrics at its own port",
            hint="Give the page a port: prometheus://127.0.0.1:9464.",
        )
    return Observer(*meters)


def meter_of(url: str, settings: Settings) -> Meter:
    """Return the meter that a URL names."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "127.0.0.1", parts.port
    except ValueError as exc:
        raise ConfigurationError(f"metrics: {url!r} is no URL ({exc})", hint=HINT) from exc
    _refuse_more(parts)
    match parts.scheme:
        case "statsd" | "dogstatsd":
            return StatsD(host, STATSD_PORT if port is None else port, tags=parts.scheme == "dogstatsd")
        case "prometheus":
            token = settings.metrics_token.get_secret_value()
            if parts.netloc:
                return Prometheus(host, PROMETHEUS_PORT if port is None else port, token=token)
            return Prometheus(token=token or _token(settings))
        case "opentelemetry":
            from holdfast.observe.otel import OpenTelemetry  # noqa: PLC0415 - imports much that few need

            return OpenTelemetry()
        case _:
            raise ConfigurationError(f"metrics cannot go to {url!r}", hint=HINT)


def _refuse_more(parts: SplitResult) -> None:
    if parts.path or parts.query or parts.fragment or parts.username:
        raise ConfigurationError(f"metrics: {parts.geturl()!r} is more than a scheme, a host and a port", hint=HINT)


def _token(settings: Settings) -> str:
    """Return what whoever reads the page at the server's own port has to send: what its clients do."""
    if settings.oauth.issuer and not settings.token.get_secret_value():
        raise ConfigurationError(
            "the page of metrics would be open to everybody: its readers have no OAuth tokens",
            hint="Set HOLDFAST_METRICS_TOKEN, or give the page a port of its own: prometheus://127.0.0.1:9464",
        )
    return settings.token.get_secret_value()
