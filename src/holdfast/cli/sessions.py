"""`holdfast sessions` and `holdfast locks`: look at the tree, end what should not be there."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

import anyio
import msgspec
import typer

from holdfast.app import open_holdfast
from holdfast.cli.drawing import as_row, draw
from holdfast.cli.output import ANY_ID, JsonOption, StoreOption, reported, show
from holdfast.cli.shared import all_records, plain_engine
from holdfast.cli.watching import show_stats, tail
from holdfast.config import Settings, load_settings, store_url
from holdfast.core.events import visible
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Record
from holdfast.core.sealing import Unreadable
from holdfast.errors import BadInput, ConfigurationError, NotFound
from holdfast.flows.monitoring.pages import PAGE
from holdfast.mcp.kinds import SESSION, STREAM
from holdfast.mcp.showing import shown
from holdfast.stores import file_of

CLOSING_WAIT_S = 20.0

sessions = typer.Typer(help="Look at sessions and end them.", no_args_is_help=True)
sessions.command("tail")(tail)
sessions.command("stats")(show_stats)
locks = typer.Typer(help="Look at locks and release them.", no_args_is_help=True)

NodeArgument = Annotated[str, typer.Argument(help="The node's key, or the first characters of its key or id.")]


@sessions.command("list")
@reported
def list_sessions(
    store: StoreOption = None,
    owner: Annotated[str | None, typer.Option(help="Only this principal's.")] = None,
    tree: Annotated[bool, typer.Option("--tree", help="Draw the tree.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List all sessions, whatever their kind and state. Exits 3 if the store is out of reach.

    What the store has besides, the log of flows' messages, is listed by `holdfast flow log`.
    """
    records, now = anyio.run(all_records, load_settings(store=store)), time.time()
    chosen = [record for record in records if owner in (None, record.owner) and record.kind != PAGE]
    if tree and not as_json:
        print(*(draw(chosen, now) or ["no sessions"]), sep="\n")
    else:
        connections = streams(records)
        rows = (as_row(record, now, connections[record.key]) for record in chosen)
        show(rows, as_json=as_json, empty="no sessions")


@sessions.command("show", context_settings=ANY_ID)
@reported
def show_session(node: NodeArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show one session and what hangs below it. Exits 2 if there is none, or several, of that name."""
    settings = load_settings(store=store)
    records, now = anyio.run(all_records, settings), time.time()
    record = _the_one(records, node)
    details = _details(record, now) | anyio.run(_opened, record, settings, streams(records)[record.key])
    if as_json:
        print(visible(msgspec.json.encode(details).decode()))
        return
    for name, value in details.items():
        print(f"{name:12} {'-' if value in (None, '') else visible(str(value))}")
    below = [r for r in records if r.tree == record.tree]
    print("", *draw(below, now), sep="\n")


@sessions.command("end", context_settings=ANY_ID)
@reported
def end_session(node: NodeArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """End a session and everything below it, and wait until it is closed outside. Exits 1 if that takes too long."""
    _end(node, store, as_json=as_json)


@locks.command("list")
@reported
def list_locks(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List all locks, the stranded ones included, with what identifies them in SM12."""
    records, now = anyio.run(all_records, load_settings(store=store)), time.time()
    rows = (_lock_row(record, now) for record in records if record.holds)
    show(rows, as_json=as_json, empty="no locks")


@locks.command("release", context_settings=ANY_ID)
@reported
def release_lock(node: NodeArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Release a lock at the back end, and wait until it is. Exits 1 if that takes too long."""
    _end(node, store, as_json=as_json, locks_only=True)


def _end(node: str, store: str | None, *, as_json: bool, locks_only: bool = False) -> None:
    closed, record = anyio.run(_end_one, node, load_settings(store=store), locks_only)
    row = {"key": record.hex, "kind": record.kind, "label": record.label, "closed": closed}
    show([row], as_json=as_json, empty="")
    if not closed:
        raise typer.Exit(1)


def streams(records: list[Record]) -> Counter[bytes | None]:
    """Return how many streams each session has."""
    return Counter(record.parent for record in records if record.kind == STREAM)


async def _opened(record: Record, settings: Settings, connections: int) -> dict[str, Any]:
    """Return what a session was made and used, and its data: of MCP sessions, to whoever has the key."""
    content: dict[str, Any] = {}
    if record.kind == SESSION and _has_key(settings):
        with suppress(ConfigurationError, Unreadable):
            async with plain_engine(settings) as engine:
                content = engine.manager.codec.open(record)
    known = shown(record, content, connections)
    return {name: known[name] for name in ("created", "last_accessed", "connections", *(("data",) if content else ()))}


async def _end_one(node: str, settings: Settings, locks_only: bool) -> tuple[bool, Record]:
    """Mark the node and wait until it is closed."""
    records = [record for record in await all_records(settings) if record.holds or not locks_only]
    record = _the_one(records, node)
    async with _manager(settings) as manager:
        await manager.end(record.ref, Reason.ADMIN)
        return await manager.gone(record.ref, timeout=CLOSING_WAIT_S), record


def _has_key(settings: Settings) -> bool:
    """Say whether there is a key to open data with; none is to be made for it."""
    file = file_of(store_url(settings))
    return bool(settings.keys.get_secret_value()) or (file is not None and file.with_suffix(".key").exists())


@asynccontextmanager
async def _manager(settings: Settings) -> AsyncIterator[Manager]:
    """Open the configured store, whatever else is configured here.

    Where the systems are, this process does what any worker does, so that no server need run.
    """
    if settings.systems:
        async with open_holdfast(settings) as holdfast:
            yield holdfast.engine.manager
    else:
        async with plain_engine(settings) as engine:
            yield engine.manager


def _the_one(records: list[Record], node: str) -> Record:
    if not node:
        raise BadInput("no session is named", hint="Give its key, or the first characters of its key or id.")
    found = [
        record
        for record in records
        if record.key.hex().startswith(node)
        or record.mark.startswith(node)
        or (record.mark and node.startswith(record.mark))
    ]
    if not found:
        raise NotFound(f"there is no session {node[:8]!r}", hint="`holdfast sessions list` shows what there is.")
    if len(found) > 1:
        raise BadInput(f"{node[:8]!r} names {len(found)} sessions", hint="Give more characters of the key.")
    return found[0]


def _details(record: Record, now: float) -> dict[str, Any]:
    more = {"reason": record.reason, "due_in": None if record.due_at is None else round(record.due_at - now)}
    return {
        **as_row(record, now),
        "key": record.key.hex(),
        **more,
        "attempts": record.attempts,
        "bytes": len(record.payload),
    }


def _lock_row(record: Record, now: float) -> dict[str, Any]:
    return {
        "key": record.hex,
        "state": record.state.value,
        "lock": record.label,
        "owner": record.owner,
        "age": round(now - record.created_at),
    }
