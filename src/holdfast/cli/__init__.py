"""The command line: each command parses, calls and prints; decisions are made elsewhere."""

import logging
from typing import Annotated

import typer

from holdfast._version import __version__
from holdfast.cli.demo import demo
from holdfast.cli.flows import flow
from holdfast.cli.keys import keys
from holdfast.cli.logons import logons
from holdfast.cli.serve import serve, sim
from holdfast.cli.sessions import locks, sessions
from holdfast.cli.store import store
from holdfast.cli.users import users

app = typer.Typer(
    help="Holdfast: stateful sessions for stateless protocols.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.command()(demo)
app.command()(serve)
app.command()(sim)
app.add_typer(sessions, name="sessions")
app.add_typer(locks, name="locks")
app.add_typer(keys, name="keys")
app.add_typer(store, name="store")
app.add_typer(users, name="users")
app.add_typer(logons, name="logons")
app.add_typer(flow, name="flow")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
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
    app()
