"""Prometheus: a page of measurements, at the server's own port or at one that each worker has for itself.

Several workers on one port would each show what they counted themselves, now one, now another; so each takes a port of
its own, the first that is free from a number on. Such a page is made in a thread: who reads it holds up no session.
"""

import hmac
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIEnvironment

from holdfast._asgi import ASGIApp, Receive, Scope, Send
from holdfast.errors import ConfigurationError
from holdfast.observe.measures import ALL, Measure, Sort
from holdfast.web.guard import Guard
from holdfast.web.reply import reply

PATH: Final = "/metrics"
PORTS: Final = 256  # that are tried, as many as there may be workers
HEADERS: Final = (b"authorization", b"origin", b"host")
POLL_S: Final = 0.1  # how long the end of the server may go unnoticed
READER_S: Final = 10.0  # in which whoever asks for a page has to take it

log = logging.getLogger(__name__)


class Prometheus:
    """A `Meter` that shows a page.

    Args:
        host: Where to listen, if the page has a port of its own.
        port: The first port to try; None for a page that is served by `page`.
        token: What a reader has to send as a bearer token; empty: nothing.

    Raises:
        ConfigurationError: The library is not installed.
    """

    def __init__(self, host: str = "127.0.0.1", port: int | None = None, *, token: str = "") -> None:
        try:
            import prometheus_client as library  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as exc:
            raise ConfigurationError(
                "prometheus-client is not installed", hint="pip install 'holdfast[metrics]'"
            ) from exc
        self.host, self.port, self._token = host, port, token
        self.bound: int | None = None  # the port that is listened on
        self.registry = library.CollectorRegistry()
        self._asgi = library.make_asgi_app(self.registry)
        self._wsgi = library.make_wsgi_app(self.registry)
        self._made: dict[str, Any] = {measure.name: self._new(library, measure) for measure in ALL}
        self._known: dict[tuple[str, tuple[str, ...]], Any] = {}
        library.ProcessCollector(registry=self.registry)

    def add(self, measure: Measure, amount: int, labels: tuple[str, ...] = ()) -> None:
        """See `Meter.add`."""
        self._of(measure, labels).inc(amount)

    def set(self, measure: Measure, value: float, labels: tuple[str, ...] = ()) -> None:
        """See `Meter.set`."""
        self._of(measure, labels).set(value)

    def time(self, measure: Measure, seconds: float, labels: tuple[str, ...] = ()) -> None:
        """See `Meter.time`."""
        self._of(measure, labels).observe(seconds)

    @contextmanager
    def running(self) -> Iterator[None]:
        """See `Meter.running`: the page's own port is open meanwhile."""
        server = None if self.port is None else self._listening(self.port)
        if server is None:
            yield
            return
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), name="holdfast-metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def page(self, guard: Guard | None = None) -> ASGIApp:
        """Return an ASGI application that serves the page; `guard` judges who may read it from a browser."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            fields = dict(scope["headers"])
            status = self._status(
                guard or Guard(),
                *(fields[name].decode("latin-1") if name in fields else None for name in HEADERS),
                address=(scope.get("server") or ("",))[0],
            )
            if status == 200:
                await self._asgi(scope, receive, send)
            else:
                await reply(send, status, headers=((b"www-authenticate", b"Bearer"),) if status == 401 else ())

        return serve

    def _of(self, measure: Measure, labels: tuple[str, ...]) -> Any:
        known = self._known.get((measure.name, labels))
        if known is None:
            made = self._made[measure.name]
            known = self._known[measure.name, labels] = made.labels(*labels) if labels else made
        return known

    def _new(self, library: Any, measure: Measure) -> Any:
        name = measure.name.replace(".", "_")
        if measure.sort is Sort.TIME:
            return library.Histogram(
                f"{name}_seconds", measure.text, measure.labels, registry=self.registry, buckets=measure.buckets
            )
        make = library.Counter if measure.sort is Sort.COUNT else library.Gauge
        return make(name, measure.text, measure.labels, registry=self.registry)

    def _status(self, guard: Guard, sent: str | None, origin: str | None, host: str | None, *, address: str) -> int:
        """Return with which status a reader is answered."""
        if guard.refusal(origin, host, address):
            return 403
        admitted = not self._token or hmac.compare_digest((sent or "").encode(), f"Bearer {self._token}".encode())
        return 200 if admitted else 401

    def _listening(self, first: int) -> "_Server | None":
        """Return a server on the first port that is free; None, and a line in the log, if there is none."""
        reason = ""
        for port in range(first, first + PORTS) if first else (0,):
            try:
                server = _Server((self.host, port), _Handler)
            except (OSError, OverflowError) as exc:
                reason = str(exc)
                continue
            server.set_app(self._guarded())
            self.bound = server.server_port
            log.info("metrics at http://%s:%d%s", self.host, self.bound, PATH)
            return server
        log.error("metrics: cannot listen on %s, port %d and above: %s", self.host, first, reason)
        return None

    def _guarded(self) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
        def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            sent, origin, host = (environ.get(f"HTTP_{name.decode().upper()}") for name in HEADERS)
            status = self._status(Guard(), sent, origin, host, address=self.host)
            if status == 200 and environ["PATH_INFO"].rstrip("/") != PATH:
                status = 404
            if status == 200:
                page: Iterable[bytes] = self._wsgi(environ, start)
                return page
            challenge = [("WWW-Authenticate", "Bearer")] if status == 401 else []
            start(f"{status} {HTTPStatus(status).phrase}", challenge)
            return []

        return answer


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = READER_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Who reads the page is of no interest."""
