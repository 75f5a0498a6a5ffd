"""`holdfast serve` and `holdfast sim`: the server, and an ABAP system to run it against."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from holdfast.app import MCP_PATH, Application
from holdfast.cli.output import reported
from holdfast.config import Settings, data_folder, load_settings
from holdfast.errors import ConfigurationError
from holdfast.simulator import PROFILES, Simulator, Switches
from holdfast.simulator import serve as serve_simulator

GRACE_S = 10


@reported
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one; default 8765.")] = None,
    store: Annotated[str | None, typer.Option(help="Store URL; default: SQLite in the user's data folder.")] = None,
) -> None:
    """Serve ABAP over MCP. Exits 2 if a setting is wrong, 3 if the store is out of reach, 1 if the port is taken."""
    settings = load_settings(host=host, port=port, store=store)
    refuse_open_door(settings)
    if not settings.systems:
        print("no ABAP system is configured: a simulated one and all sessions are in memory, gone at exit")
    application = Application(settings)
    config = uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE_S,
    )
    try:
        Announcing(config).run()
    except SystemExit as stopped:  # the server could not start, and has said so
        raise application.failure or typer.Exit(1) from stopped


@reported
def sim(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 50000,
    store: Annotated[Path | None, typer.Option(help="SQLite file of the objects; default: in the data folder.")] = None,
    memory: Annotated[bool, typer.Option("--memory", help="Keep the objects in memory.")] = False,
    profile: Annotated[str, typer.Option(help=f"Release: {', '.join(PROFILES)}.")] = "7.58",
    delay_ms: Annotated[float, typer.Option(help="How long each request takes, in milliseconds.")] = 0.0,
) -> None:
    """Run the ABAP simulator: a system to learn and test with, never one to rely on."""
    if profile not in PROFILES:
        raise ConfigurationError(f"there is no profile {profile!r}", hint=f"Use one of {', '.join(PROFILES)}.")
    path = None if memory else store or data_folder() / "simulator.db"
    serve_simulator(Simulator(profile, store=path, switches=Switches(delay_s=delay_ms / 1000)), host=host, port=port)


def refuse_open_door(settings: Settings) -> None:
    """Refuse to listen where others can reach it while nobody has to say who they are."""
    if settings.token.get_secret_value() or _is_loopback(settings.host):
        return
    raise ConfigurationError(
        f"listening on {settings.host} without authentication is refused: anyone who reaches it could change objects",
        hint="Set HOLDFAST_TOKEN to a long random text, or listen on 127.0.0.1.",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Announcing(uvicorn.Server):
    """uvicorn's server; prints one line with the URL once it listens."""

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen, then say where."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            print(f"Holdfast listening on http://{name}:{port}{MCP_PATH}", flush=True)
