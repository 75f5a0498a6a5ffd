"""`holdfast flow run`: messages from the command line through a flow, with the sessions of the configured store."""

import json
import mimetypes
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import anyio
import msgspec
import typer

from holdfast.cli.flow_outcomes import Outcome, Report, outcome_of
from holdfast.cli.output import JsonOption, StoreOption, reported
from holdfast.cli.progress import Event, shown_progress
from holdfast.config import Settings, load_settings, store_url
from holdfast.core.manager import Manager
from holdfast.core.model import State
from holdfast.engine import open_engine
from holdfast.errors import BadInput
from holdfast.flows import flow_kinds
from holdfast.flows.adapters import Credentials
from holdfast.flows.content import JSON, decoded
from holdfast.flows.model import Definition, load_flow
from holdfast.flows.monitoring import Retention
from holdfast.flows.runtime import DeployedFlow, Message, deployed
from holdfast.flows.runtime.deployed import ignore
from holdfast.flows.serving.credentials import load_credentials
from holdfast.flows.sessions.nodes import EXCHANGE

LOG_OFF_S: Final = 10.0
MAX_BODY_BYTES: Final = 256 * 1024 * 1024
INTERRUPTED: Final = 130
CredentialsOption = Annotated[
    Path | None, typer.Option("--credentials", help="TOML file of credentials; default: the configured one.")
]


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Messages to be processed: `count` equal ones, so many of them at a time."""

    message: Message
    count: int = 1
    parallel: int = 1


@reported
def run(
    file: Annotated[str, typer.Argument(help="The flow's file.")],
    body: Annotated[str | None, typer.Option(help="The message's body.")] = None,
    source: Annotated[str | None, typer.Option("--file", help="File with the body; - for stdin.")] = None,
    headers: Annotated[list[str] | None, typer.Option("--header", "-H", help="Header, as `name: value`.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many such messages; properties.number tells them apart.")] = 1,
    parallel: Annotated[int, typer.Option(min=1, max=1000, help="How many of them at a time.")] = 1,
    credentials: CredentialsOption = None,
    store: StoreOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let FILE's flow process a message, and print what it makes of it.

    The body is what its Content-Type says; without one, JSON if it is a mapping or a list in JSON, else text.
    Exits 1 if a message failed, 2 if flow or settings are wrong, 3 if the store is out of reach, 130 if interrupted.
    """
    settings = load_settings(store=store)
    batch = Batch(message=message_of(body, source, headers or []), count=count, parallel=parallel)
    definition, known = load_flow(file), load_credentials(credentials or settings.flows.credentials)
    report, begun = Report(count, as_json=as_json), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with shown_progress(quiet=quiet) as tell:
            anyio.run(_processed, definition, settings, known, batch, tell, report.take)
    except KeyboardInterrupt:
        print(f"interrupted: {report.outcomes.total()} of {count} messages were processed", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        report.end(time.monotonic() - begun)
    if report.failed:
        raise typer.Exit(1)


async def _processed(
    definition: Definition,
    settings: Settings,
    credentials: Credentials,
    batch: Batch,
    tell: Callable[[Event], None],
    done: Callable[[Outcome], None],
) -> None:
    async with open_flow(definition, settings, credentials, tell) as flow:
        await process_all(flow, batch, done)


@asynccontextmanager
async def open_flow(
    definition: Definition, settings: Settings, credentials: Credentials, tell: Callable[[Event], None] = ignore
) -> AsyncIterator[DeployedFlow]:
    """Deploy a flow on the configured store; what its messages leave is logged off at the end."""
    kinds = flow_kinds()
    names = {kind.name for kind in kinds}
    ours = {name: given for name, given in settings.kinds.items() if name in names}
    settings = settings.model_copy(update={"kinds": ours, "apps": {}})
    async with open_engine(store_url(settings), kinds=kinds, settings=settings) as engine:
        try:
            kept = Retention.of(settings.flows)
            async with deployed(definition, engine.manager, credentials=credentials, tell=tell, retention=kept) as flow:
                yield flow
        finally:
            if any(receiver.log_off for receiver in definition.flow.receivers.values()):
                await _logged_off(engine.manager)


async def process_all(flow: DeployedFlow, batch: Batch, done: Callable[[Outcome], None]) -> None:
    """Process a batch; `done` is told of each message at once."""
    numbers = iter(range(1, batch.count + 1))

    async def work() -> None:
        for number in numbers:  # shared: each takes the next one
            message = batch.message.changed(properties={"number": number}).named(uuid.uuid4().hex)
            done(await outcome_of(message.id, partial(flow.process, message)))

    async with anyio.create_task_group() as tasks:
        for _ in range(min(batch.parallel, batch.count)):
            tasks.start_soon(work)


async def _logged_off(manager: Manager) -> None:
    """Wait until the sessions of messages that have ended are logged off: no other process may do it soon."""
    with anyio.move_on_after(LOG_OFF_S, shield=True):
        async for record in manager.each("kind", EXCHANGE):
            if record.state is State.ENDING:
                await manager.gone(record.ref, timeout=LOG_OFF_S)


# -- what comes in


def message_of(body: str | None, source: str | None, headers: Iterable[str]) -> Message:
    """Return the message that the command line means. Raises BadInput."""
    if body is not None and source is not None:
        raise BadInput("the body is given twice: by --body and by --file")
    given = dict(_header(text) for text in headers)
    content = body.encode() if body is not None else None if source is None else _read(source)
    if content is None:
        return Message(headers=given)
    kind = given.get("content-type") or mimetypes.guess_type(source or "")[0] or _kind(content)
    try:
        return Message(headers={"content-type": kind, **given}, body=decoded(content, kind))
    except ValueError as exc:
        raise BadInput(f"the body is not what its type says, {kind}") from exc


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise BadInput(f"{text!r} is no header, as `name: value`")
    return name.strip().lower(), value.strip()


def _read(source: str) -> bytes:
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as file:
            content = file.read(MAX_BODY_BYTES + 1)
    except OSError as exc:
        raise BadInput(f"the body cannot be read from {source} ({exc.strerror})") from exc
    if len(content) > MAX_BODY_BYTES:
        raise BadInput(f"the body in {source} has more than {MAX_BODY_BYTES:,} bytes")
    return content


def _kind(content: bytes) -> str:
    if content[:1] in (b"{", b"["):
        try:
            json.loads(content)
        except (ValueError, RecursionError):
            return "text/plain; charset=utf-8"
        return JSON
    return "text/plain; charset=utf-8"
