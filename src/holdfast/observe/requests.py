"""Requests as measurements, around any ASGI application: how many, of which era, how answered, how long they took."""

import time
from typing import Final

from holdfast._asgi import ASGIApp, Message, Receive, Scope, Send
from holdfast.mcp.protocol import MODERN
from holdfast.observe.measures import REQUEST_TIME, REQUESTS
from holdfast.observe.metrics import Metrics

METHODS: Final = frozenset({"GET", "POST", "DELETE"})
OTHER: Final = "other"
MODERN_REVISIONS: Final = frozenset(version.encode() for version in MODERN)


class Requests:
    """Counts the requests of an application, and times those that are answered at once: POST."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            era = era_of(scope)
            method = scope["method"] if scope["method"] in METHODS else OTHER
            self._metrics.add(REQUESTS, (method, era, str(status or 500)))
            if method == "POST":
                self._metrics.time(REQUEST_TIME, time.perf_counter() - began, (era,))


def era_of(scope: Scope) -> str:
    """Return the era of a request, by the revision it names."""
    for name, value in scope["headers"]:
        if name == b"mcp-protocol-version":
            return "modern" if value in MODERN_REVISIONS else "legacy"
    return "legacy"
