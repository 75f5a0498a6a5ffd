"""The command line: each command parses, calls and prints; decisions are made elsewhere."""

import logging
import sys
from importlib import import_module
from typing import Annotated, Final

import typer

from holdfast._version import __version__

COMMANDS: Final = {  # and the modules they are in
    "demo": "demo",
    "serve": "serve",
    "sim": "sim",
    "sessions": "sessions",
    "locks": "sessions",
    "keys": "keys",
    "store": "store",
    "users": "users",
    "logons": "logons",
    "flow": "flows",
}


def command_line(named: str = "") -> typer.Typer:
    """Return the command line: with the command that is named alone, as importing all of them takes a second.

    Args:
        named: One of `COMMANDS`; whatever else it is, all are there.
    """
    app = typer.Typer(
        help="Holdfast: stateful sessions for stateless protocols.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(options)
    for name in [named] if named in COMMANDS else COMMANDS:
        command = getattr(import_module(f"holdfast.cli.{COMMANDS[name]}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def options(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every fact about sessions to stderr.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s")
    if verbose:
        logging.getLogger("holdfast").setLevel(logging.DEBUG)
    elif context.invoked_subcommand != "serve":  # what a command does by order needs no warning beside its answer
        logging.getLogger("holdfast.events").setLevel(logging.ERROR)


def main() -> None:
    """Run the command that the arguments name."""
    command_line(next((text for text in sys.argv[1:] if not text.startswith("-")), ""))()
