"""`holdfast flow`: look at a flow's file, try it, and look after what has been processed."""

import msgspec
import typer

from holdfast.cli.output import reported
from holdfast.flows.model import json_schema

flow = typer.Typer(help="Integration flows.", no_args_is_help=True)


@flow.callback()
def about() -> None:
    """Integration flows."""


@flow.command()
@reported
def schema() -> None:
    """Print the JSON Schema of a flow's file, for editors."""
    print(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode())
