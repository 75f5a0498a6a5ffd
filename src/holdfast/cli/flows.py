"""`holdfast flow`: look at a flow's file, try it, and look after what has been processed."""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import anyio
import msgspec
import typer

from holdfast.cli import flow_log
from holdfast.cli.flow_run import CredentialsOption, run
from holdfast.cli.output import JsonOption, reported, show
from holdfast.config import load_settings
from holdfast.engine import open_engine
from holdfast.errors import ConfigurationError
from holdfast.flows import Reuse, flow_kinds
from holdfast.flows.adapters import Credentials
from holdfast.flows.checking import Migration, findings, migrated
from holdfast.flows.model import Definition, WrongFlow, json_schema, load_flow
from holdfast.flows.model.read import read_text
from holdfast.flows.runtime import deployed
from holdfast.flows.serving.credentials import load_credentials
from holdfast.flows.sessions.scopes import Finding

SUGGESTED = "suggested"
FileArgument = Annotated[str, typer.Argument(help="The flow's file.")]

flow = typer.Typer(help="Integration flows.", no_args_is_help=True)
flow.command()(run)
flow_log.add_to(flow)


@flow.callback()
def about() -> None:
    """Integration flows."""


@flow.command()
@reported
def schema() -> None:
    """Print the JSON Schema of a flow's file, for editors."""
    print(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode())


@flow.command()
@reported
def check(
    files: Annotated[list[str], typer.Argument(help="Files of flows.")],
    load: Annotated[
        bool, typer.Option("--load", help="Also load what a deployment does: functions, certificates, WSDLs.")
    ] = False,
    credentials: CredentialsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong with flows, and what they will not do as their authors may think. Nothing of them is run.

    Exits 1 if something was found, 2 if a flow cannot be run.
    """
    known = load_credentials(credentials or load_settings().flows.credentials) if load else None
    rows = [row for file in files for row in checked(file, known)]
    if as_json or not rows:
        show(rows, as_json=as_json, empty=f"{', '.join(files)}: nothing was found")
    for row in [] if as_json else rows:
        print(f"{row['place']}: {row['level']}: {row['code']}: {row['text']}\n  next: {row['next']}")
    if rows:
        raise typer.Exit(2 if any(row["level"] == "error" for row in rows) else 1)


def checked(file: str, credentials: Credentials | None = None) -> list[Mapping[str, Any]]:
    """Return what is to be said of a flow's file, in its order; with credentials, also what its deployment says."""
    try:
        definition = load_flow(file)
        found = [_row(file, finding, strict=definition.flow.strict) for finding in findings(definition)]
    except WrongFlow as exc:
        return [_row(file, finding, strict=True, wrong=True) for finding in exc.findings]
    if credentials is not None and not any(row["level"] == "error" for row in found):
        found += anyio.run(_not_deployed, definition, credentials)
    return found


async def _not_deployed(definition: Definition, credentials: Credentials) -> list[Mapping[str, Any]]:
    """Return why a flow cannot be deployed."""
    file = definition.source.file
    try:
        async with (
            open_engine("memory://", kinds=flow_kinds()) as engine,
            deployed(definition, engine.manager, credentials=credentials),
        ):
            return []
    except WrongFlow as exc:
        return [_row(file, finding, strict=True, wrong=True) for finding in exc.findings]
    except ConfigurationError as exc:
        return [_row(file, Finding(exc.code, str(exc), exc.hint), strict=True, wrong=True)]


def _row(file: str, finding: Finding, *, strict: bool, wrong: bool = False) -> Mapping[str, Any]:
    place, text = finding.place, finding.text
    if not place:  # a deployment says it with its text
        place, _, text = text.partition(": ")
    line = place.rpartition(":")[2]
    return {
        "place": place,
        "file": file,
        "line": int(line) if line.isdecimal() else None,
        "level": "error" if wrong or (strict and finding.serious) else "warning",
        "code": finding.code,
        "text": text,
        "next": finding.remedy,
    }


@flow.command()
@reported
def migrate(
    file: FileArgument,
    setting: Annotated[
        str, typer.Option(help=f"{', '.join(Reuse)}, or {SUGGESTED}: what the flow's shape suggests.")
    ] = Reuse.NONE.value,
    write: Annotated[bool, typer.Option("--write", help="Write it into the file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Give a flow of the old form, which says nothing of sessions, the setting; every other byte of it stays.

    Prints the new text, and on stderr which setting the flow's shape suggests and why.
    """
    made = migrated(read_text(file), file, None if setting == SUGGESTED else Reuse.named(setting))
    if write and made.changed:
        _replace(Path(file), made.text)
    said = {
        "file": file,
        "setting": made.setting.value,
        "changed": made.changed,
        "suggested": made.suggestion.setting.value,
        "reason": made.suggestion.reason,
        "places": list(made.places),
    }
    if as_json:
        show([said], as_json=True, empty="")
        return
    if not write:
        sys.stdout.buffer.write(made.text.encode())
    print(_in_words(file, made), file=sys.stdout if write else sys.stderr)


def _in_words(file: str, made: Migration) -> str:
    done = f"is now {made.setting.value}" if made.changed else f"was {made.setting.value} already"
    why = f"{made.suggestion.reason}{' (' if made.places else ''}{', '.join(made.places)}{')' if made.places else ''}"
    return f"{file}: http_session_reuse {done}; the flow's shape suggests {made.suggestion.setting.value}: {why}"


def _replace(file: Path, text: str) -> None:
    """Write a file so that it is either the old or the new one, whatever happens."""
    file = file.resolve()
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        with os.fdopen(handle, "wb") as new:
            new.write(text.encode())
        shutil.copymode(file, name)
        Path(name).replace(file)
    except OSError as exc:
        raise ConfigurationError(f"{file}: the flow cannot be written ({exc.strerror})") from exc
