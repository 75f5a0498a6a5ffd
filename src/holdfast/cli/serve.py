"""`holdfast serve`: the server, in one process or in several."""

import ipaddress
import logging
import os
import socket
import sys
from typing import Annotated, Final

import anyio
import typer

from holdfast.app import Application
from holdfast.cli.output import reported
from holdfast.cli.server import Server, announce, bound, end_with_stdin
from holdfast.cli.workers import Workers, worker_command
from holdfast.config import Settings, load_settings, store_url
from holdfast.errors import ConfigurationError

LAST_S: Final = 5.0  # in which a server that has answered everybody closes its store


@reported
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one; default 8765.")] = None,
    store: Annotated[str | None, typer.Option(help="Store URL; default: SQLite in the user's data folder.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that serve the port; default 1.")
    ] = None,
    socket_fd: Annotated[int | None, typer.Option("--socket", hidden=True)] = None,
) -> None:
    """Serve ABAP over MCP and OData, and run flows.

    Exits 2 if a setting is wrong, 3 if the store is out of reach, 1 if the port is taken.
    """
    settings = load_settings(host=host, port=port, store=store, workers=workers)
    refuse_open_door(settings)
    refuse_memory_of_several(settings)
    refuse_page_of_several(settings)
    if socket_fd is not None:
        end_with_stdin()
        serve_alone(settings, socket.socket(fileno=socket_fd))
        return
    if not settings.systems:
        print("no ABAP system is configured: a simulated one and all sessions are in memory, gone at exit")
    with bound_or_exit(settings) as listening:
        if settings.workers > 1:
            raise typer.Exit(anyio.run(serve_together, settings, listening))
        serve_alone(settings, listening)


def serve_alone(settings: Settings, listening: socket.socket) -> None:
    """Serve in this process until told to stop; raise why it could not, typer.Exit if that was said already."""
    application = Application(settings)
    try:
        Server(application, settings, ready=lambda: announce(listening)).run_until_told(listening)
    except SystemExit as stopped:
        raise application.failure or typer.Exit(1) from stopped


async def serve_together(settings: Settings, listening: socket.socket) -> int:
    """Serve in several processes until told to stop, and return the exit code."""
    verbose = logging.getLogger("holdfast").isEnabledFor(logging.DEBUG)
    here = {"HOST": settings.host, "STORE": settings.store, "WORKERS": "1"}
    workers = Workers(
        worker_command(listening.fileno(), verbose=verbose),
        {**os.environ, **{f"HOLDFAST_{name}": value for name, value in here.items()}},
        socket_fd=listening.fileno(),
        count=settings.workers,
        patience=longest_stop(settings),
    )
    return await workers.run(lambda: announce(listening))


def longest_stop(settings: Settings) -> float:
    """Return how many seconds a server may take to go down: running calls, then what is under way at the back ends."""
    back_ends = [system.timeout for system in settings.systems.values()]
    return settings.shutdown_timeout + max(back_ends, default=0.0) + LAST_S


def refuse_open_door(settings: Settings) -> None:
    """Refuse to listen where others can reach it while nobody has to say who they are."""
    if settings.token.get_secret_value() or settings.oauth.issuer or _is_loopback(settings.host):
        return
    raise ConfigurationError(
        f"listening on {settings.host} without authentication is refused: anyone who reaches it could change objects",
        hint="Set HOLDFAST_TOKEN to a long random text, configure [oauth], or listen on 127.0.0.1.",
    )


def refuse_memory_of_several(settings: Settings) -> None:
    """Refuse several workers whose sessions, or whose only system, would be in the memory of each (E22)."""
    if settings.workers == 1 or (settings.systems and not store_url(settings).startswith("memory:")):
        return
    what = "a store in memory" if settings.systems else "a simulated system in memory"
    raise ConfigurationError(
        f"{settings.workers} workers with {what} are refused: each would have one of its own",
        hint="Configure a store that lasts, as sqlite:///file.db, and a system: HOLDFAST_SAP_URL, or `holdfast sim`.",
    )


def refuse_page_of_several(settings: Settings) -> None:
    """Refuse a page of metrics that would show one worker's figures now and another's then (M24)."""
    if settings.workers == 1 or not any(url.rstrip("/") == "prometheus:" for url in settings.metrics):
        return
    raise ConfigurationError(
        f"{settings.workers} workers with one page of metrics are refused: each counts for itself",
        hint="Use prometheus://127.0.0.1:9464: each worker takes the next port that is free.",
    )


def bound_or_exit(settings: Settings) -> socket.socket:
    """Return the socket to listen on, or say why there is none and exit with 1."""
    try:
        return bound(settings.host, settings.port)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        print(f"error: cannot listen on {settings.host}, port {settings.port}: {reason}", file=sys.stderr)
        raise typer.Exit(1) from exc


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
