"""`holdfast keys`: make what seals cookies, tokens and lock handles."""

from typing import Annotated

import typer

from holdfast.cli.output import show
from holdfast.core.sealing import new_key_text

keys = typer.Typer(help="Sealing keys.", no_args_is_help=True)


@keys.command("new")
def new(as_json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False) -> None:
    """Print a fresh key for HOLDFAST_KEYS: the first key seals; older ones behind it still open."""
    key = new_key_text()
    if as_json:
        show([{"key": key}], as_json=True, empty="")
    else:
        print(key)


@keys.callback()
def about() -> None:
    """Sealing keys."""
