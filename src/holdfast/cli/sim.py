"""`holdfast sim`: an ABAP system to run the server against."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.output import reported
from holdfast.config import data_folder
from holdfast.errors import ConfigurationError
from holdfast.simulator import PROFILES, Simulator, Switches, serve


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
    serve(Simulator(profile, store=path, switches=Switches(delay_s=delay_ms / 1000)), host=host, port=port)
