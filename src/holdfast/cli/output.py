"""How commands print: rows for people, one JSON object per line for programs, errors with code and next step."""

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, ParamSpec

import msgspec
import typer

from holdfast.core.events import visible
from holdfast.errors import BadInput, ConfigurationError, HoldfastError, StoreUnavailable

P = ParamSpec("P")

StoreOption = Annotated[str | None, typer.Option("--store", help="Store URL; default: the configured one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
ANY_ID: Final = {"ignore_unknown_options": True}  # of a command that takes an id: one in 64 begins with a dash

EXIT_CODES = {BadInput: 2, ConfigurationError: 2, StoreUnavailable: 3}


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a HoldfastError into a message on stderr and an exit code: 2 for wrong input, 3 for the store, else 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except HoldfastError as error:
            print(f"error: {error.code}: {error}\n  next: {error.hint}", file=sys.stderr)
            code = next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)
            raise typer.Exit(code) from error

    return run


def show(rows: Iterable[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows: as JSON lines, or as columns under their names; `empty` if there is nothing to print."""
    listed = list(rows)
    if as_json:
        for row in listed:
            print(visible(msgspec.json.encode(row).decode()))
    elif not listed:
        print(empty)
    else:
        table = [list(listed[0]), *([_text(value) for value in row.values()] for row in listed)]
        widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
        for line in table:
            print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    return "-" if value in (None, "") else visible(str(value))
