"""`holdfast store`: what an operator does with a store besides using it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import anyio
import msgspec
import typer

from holdfast.cli.output import JsonOption, StoreOption, reported, show
from holdfast.config import Settings, load_settings, shown_url, store_url
from holdfast.stores import open_care
from holdfast.stores.care import Care

Result = TypeVar("Result")

store = typer.Typer(help="Prepare a store, check it, and count what is in it.", no_args_is_help=True)


@store.command()
@reported
def migrate(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Create or update what the store needs at its server; it may be run at any time. Exits 3 if it is out of reach."""
    settings = load_settings(store=store)
    done = anyio.run(_cared_for, settings, lambda care: care.migrate())
    if as_json:
        show(({"done": step} for step in done), as_json=True, empty="")
    else:
        print(*(done or [f"{_named(settings)}: nothing was left to do"]), sep="\n")


@store.command()
@reported
def check(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Look for what is wrong with the store and its server. Exits 1 if a promise does not hold while it is so."""
    settings = load_settings(store=store)
    findings = anyio.run(_cared_for, settings, lambda care: care.check())
    if as_json or not findings:
        show(map(msgspec.structs.asdict, findings), as_json=as_json, empty=f"{_named(settings)}: all is well")
    for finding in [] if as_json else findings:
        print(f"{'SERIOUS' if finding.serious else 'note'}: {finding.code}: {finding.text}")
        print(*([f"  next: {finding.hint}"] if finding.hint else []), sep="\n")
    if any(finding.serious for finding in findings):
        raise typer.Exit(1)


@store.command()
@reported
def stats(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Count what is in the store, by kind and state, and what it takes; with --json, one object."""
    figures: Mapping[str, int | float | str] = anyio.run(
        _cared_for, load_settings(store=store), lambda care: care.stats()
    )
    rows = [figures] if as_json else [{"figure": name, "value": value} for name, value in figures.items()]
    show(rows, as_json=as_json, empty="")


async def _cared_for(settings: Settings, question: Callable[[Care], Awaitable[Result]]) -> Result:
    async with open_care(store_url(settings), namespace=settings.namespace, timeout=settings.store_timeout) as care:
        return await question(care)


def _named(settings: Settings) -> str:
    return f"{shown_url(store_url(settings))}, namespace {settings.namespace}"
