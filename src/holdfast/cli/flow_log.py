"""`holdfast flow log`, `resend` and `loglevel`: what became of messages, and what is to be done about it."""

import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import msgspec
import typer

from holdfast.cli.flow_outcomes import Outcome, Report, outcome_of
from holdfast.cli.flow_run import CredentialsOption, open_flow
from holdfast.cli.output import ANY_ID, JsonOption, StoreOption, reported, show
from holdfast.cli.shared import plain_engine, shared_store
from holdfast.config import Settings, load_settings
from holdfast.core.events import visible
from holdfast.core.manager import Manager
from holdfast.errors import BadInput, ConfigurationError
from holdfast.flows.adapters import Credentials
from holdfast.flows.content import encoded
from holdfast.flows.model import Definition, load_flow
from holdfast.flows.monitoring import Entry, Levels, Line, Listed, MessageLog, Run, running
from holdfast.flows.monitoring.entries import DEBUG, INFO
from holdfast.flows.senders.timing import seconds_in
from holdfast.flows.serving.compose import matching
from holdfast.flows.serving.credentials import load_credentials

FlowOption = Annotated[str, typer.Option("--flow", help="Of this flow alone.")]
MessageArgument = Annotated[str, typer.Argument(help="The message's id, or its first six characters or more.")]
MORE: Final = "`--after` continues with"


@reported
def log(
    message: Annotated[str | None, typer.Argument(help="A message's id, or its first six characters or more.")] = None,
    flow: FlowOption = "",
    outcome: Annotated[str, typer.Option(help="done, filtered, failed, or running: what is being done now.")] = "",
    since: Annotated[str, typer.Option(help="How long ago at most, such as 30m, 2h or 7d.")] = "",
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    after: Annotated[str, typer.Option(help="Go on where an earlier list ended.")] = "",
    body: Annotated[bool, typer.Option("--body", help="Print the body as it came in, and nothing else.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List messages, the newest first, or show one with what was done and, at level debug, its cookies as hashes."""
    settings = load_settings(store=store)
    if message is None:
        begin = time.time() - _seconds(since) if since else 0.0
        listed = anyio.run(_listed, settings, flow, outcome, begin, after, count)
        show(map(_row, listed.entries), as_json=as_json, empty="no messages")
        if listed.after:
            print(f"{MORE} {listed.after}", file=sys.stderr)
        return
    entry = anyio.run(_one, settings, message, flow)
    if body:
        sys.stdout.buffer.write(encoded(entry.message())[0] or b"")
    elif as_json:
        show([_details(entry)], as_json=True, empty="")
    else:
        print(*_drawn(entry), sep="\n")


@reported
def resend(
    message: MessageArgument,
    flow: FlowOption = "",
    file: Annotated[
        str, typer.Option(help="The flow's file; by default the configured one, or that of last time.")
    ] = "",
    credentials: CredentialsOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Process a message that failed once more, as it came in, and print what the flow makes of it.

    Receivers see the same ids as before, so what they took already they need not take twice. Exits 1 if it fails again.
    """
    settings = load_settings(store=store)
    entry = anyio.run(_one, settings, message, flow)
    definition = _definition(entry, file, settings)
    known = load_credentials(credentials or settings.flows.credentials)
    became = anyio.run(_resent, definition, settings, known, entry.id)
    report = Report(1, as_json=as_json)
    report.take(became)
    report.end(0.0)
    if report.failed:
        raise typer.Exit(1)


@reported
def loglevel(
    flow: Annotated[str, typer.Argument(help="The flow's name.")],
    level: Annotated[str, typer.Argument(help=f"{DEBUG} or {INFO}; without it, only show what is set.")] = "",
    span: Annotated[str, typer.Option("--for", help="How long, such as 30m, 1h or 1d; then it is info again.")] = "1h",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set how much the log has of a flow's messages that start from now on, at every worker, for some time."""
    until = anyio.run(_level, load_settings(store=store), flow, level, _seconds(span))
    on = until > time.time()
    row = {"flow": flow, "level": DEBUG if on else INFO, "until": _instant(until) if on else None}
    show([row], as_json=as_json, empty="")


# -- the store


@asynccontextmanager
async def _manager(settings: Settings) -> AsyncIterator[Manager]:
    async with shared_store(settings):  # says what is wrong with one in memory
        pass
    async with plain_engine(settings) as engine:
        yield engine.manager


async def _listed(settings: Settings, flow: str, outcome: str, since: float, after: str, count: int) -> Listed:
    async with _manager(settings) as manager:
        if outcome == "running":
            return Listed([entry for entry in await running(manager, flow) if entry.last.began_at >= since][:count])
        return await MessageLog(manager).list(flow, outcome, since=since, after=after, count=count)


async def _one(settings: Settings, message: str, flow: str) -> Entry:
    async with _manager(settings) as manager:
        for entry in await running(manager, flow):
            if entry.id == message:
                return entry
        return await MessageLog(manager).get(message, flow)


async def _resent(definition: Definition, settings: Settings, credentials: Credentials, message: str) -> Outcome:
    async with open_flow(definition, settings, credentials) as flow:
        return await outcome_of(message, partial(flow.resend, message))


async def _level(settings: Settings, flow: str, level: str, seconds: float) -> int:
    async with _manager(settings) as manager:
        levels = Levels(manager)
        return await (levels.set(flow, level, seconds) if level else levels.until(flow))


def _definition(entry: Entry, file: str, settings: Settings) -> Definition:
    """Return the flow of a message: from the file that is named, else a configured one, else that of the last time."""
    configured = matching(settings.flows.files) if settings.flows.files and not file else []
    for path in [file] if file else [*configured, entry.file]:
        if path and (file or path in configured or Path(path).is_file()):
            definition = load_flow(path)
            if definition.flow.name == entry.flow:
                return definition
    raise ConfigurationError(
        f"the file of flow {entry.flow!r} is not known here",
        hint=f"Name it with --file; last time it was {entry.file or 'none'}.",
    )


def _seconds(text: str) -> int:
    try:
        return seconds_in(text)
    except ValueError as exc:
        raise BadInput(str(exc)) from None


# -- how it looks


def _row(entry: Entry) -> Mapping[str, Any]:
    run, error = entry.last, entry.error
    return {
        "message": entry.id,
        "flow": entry.flow,
        "outcome": entry.outcome,
        "began": _instant(run.began_at),
        "seconds": None if run.ended_at is None else round(run.ended_at - run.began_at, 3),
        "runs": len(entry.runs),
        "error": f"{error.place}: {error.code}".removeprefix(": ") if error else None,
    }


def _details(entry: Entry) -> Mapping[str, Any]:
    """Return all but the message itself."""
    bare = msgspec.structs.replace(entry, kept=None)
    runs = [{**msgspec.to_builtins(run), "lines": [_line_row(line) for line in run.lines]} for run in entry.runs]
    return {**msgspec.to_builtins(bare), "outcome": entry.outcome, "resendable": _resendable(entry), "runs": runs}


def _line_row(line: Line) -> Mapping[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(line).items() if value not in ("", ())}


def _resendable(entry: Entry) -> bool:
    return entry.kept is not None and entry.outcome == "failed"


def _drawn(entry: Entry) -> Iterator[str]:
    yield f"message {visible(entry.id)} of flow {entry.flow} ({entry.file or 'made in Python'}): {entry.outcome}"
    if entry.outcome == "failed":
        yield f"  next: holdfast flow resend {entry.id}" if _resendable(entry) else f"  not kept: {entry.not_kept}"
    for number, run in enumerate(entry.runs, start=1):
        yield from _drawn_run(number, run)


def _drawn_run(number: int, run: Run) -> Iterator[str]:
    took = f"{run.ended_at - run.began_at:.3f} s" if run.ended_at is not None else "going on"
    yield f"run {number}: {run.outcome}, {_instant(run.began_at)}, {took}, worker {run.worker}, level {run.level}"
    yield from (f"  at {place}: {count}" for place, count in run.counts.items())
    if (error := run.error) is not None:
        yield visible(f"  error: {error.code}: {error.place}{': ' if error.place else ''}{error.text}")
        if error.answer:
            yield visible(f"  answer: {error.answer}")
    half, left_out = len(run.lines) - len(run.lines) // 2, run.count - len(run.lines)
    for place, line in enumerate(run.lines):
        if left_out > 0 and place == half:
            yield f"  … {left_out} lines are not kept"
        yield visible(f"  {line.at:9.3f}  {_line(line)}")


def _line(line: Line) -> str:
    if line.kind == "request":
        return (
            f"{line.place}: {line.text} answered {line.outcome}; sent {_cookies(line.sent)}; set {_cookies(line.set)}"
        )
    return f"{line.place}: {line.kind} {line.outcome} in {line.seconds:.3f} s{': ' if line.text else ''}{line.text}"


def _cookies(shown: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{name} #{digest}" for name, digest in shown) or "no cookie"


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def add_to(group: typer.Typer) -> None:
    """Add the commands to `holdfast flow`."""
    group.command(context_settings=ANY_ID)(log)
    group.command(context_settings=ANY_ID)(resend)
    group.command()(loglevel)
