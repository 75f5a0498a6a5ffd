"""`holdfast sessions tail` and `stats`: what sessions do now, and how they were used."""

import os
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Final

import anyio
import msgspec
import typer

from holdfast.cli.output import JsonOption, StoreOption, reported, show
from holdfast.cli.shared import shared_store
from holdfast.config import Settings, load_settings
from holdfast.core.events import Event, as_line, visible
from holdfast.errors import BadInput
from holdfast.observe import Stats, stats
from holdfast.observe.broadcast import Batch, follow

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


@reported
def tail(
    store: StoreOption = None,
    kind: Annotated[str | None, typer.Option(help="Only sessions of this kind: mcp, for example.")] = None,
    count: Annotated[int, typer.Option(min=0, help="End after so many; 0: never.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Follow what happens to the sessions of all workers, until Ctrl-C. Ids are cut. Exits 3 if the store is away."""
    with suppress(KeyboardInterrupt):
        anyio.run(_tail, load_settings(store=store), kind, count, as_json)


@reported
def show_stats(
    store: StoreOption = None,
    window: Annotated[str, typer.Option(help="How far back: 90m, 24h, 7d; up to 31d.")] = "1h",
    as_json: JsonOption = False,
) -> None:
    """Show how MCP sessions were used, hour by hour, by all workers; with --json, one object."""
    seen = anyio.run(_stats, load_settings(store=store), seconds_of(window))
    if as_json:
        print(msgspec.json.encode(seen).decode())
        return
    figures = {name: value for name, value in msgspec.structs.asdict(seen).items() if name in SHOWN}
    for name, value in figures.items():
        print(f"{name:18} {'-' if value is None else value}{' (estimated)' if _is_estimate(name, seen) else ''}")
    print()
    show(map(msgspec.structs.asdict, seen.connection_patterns), as_json=False, empty="")


SHOWN: Final = ("since", "until", "total_sessions", "active_sessions", "average_duration", "peak_concurrent")


def seconds_of(span: str) -> float:
    """Return the seconds of a span such as 90m or 24h; raise BadInput for what is none."""
    parts = SPAN.fullmatch(span)
    if parts is None:
        raise BadInput(f"{span!r} is no span of time", hint="Give a number and s, m, h or d: 24h.")
    return float(parts[1]) * UNITS[parts[2]]


def line_of(event: Event) -> str:
    """Return a fact as a line for people: when, what, of which session, and what else is known."""
    at = datetime.fromtimestamp(event.at, UTC).strftime("%H:%M:%S.%f")[:-3]
    known = (
        ("of", event.owner),
        ("from", event.address),
        ("reason", event.reason.value if event.reason else ""),
        ("after", "" if event.lived is None else f"{event.lived:.1f} s"),
        ("", event.detail),
    )
    more = " ".join(f"{name} {value}".strip() for name, value in known if value)
    return visible(f"{at}  {event.fact.value:14} {event.kind:10} {event.mark:8}  {more}".rstrip())


async def _tail(settings: Settings, kind: str | None, count: int, as_json: bool) -> None:
    left = count or float("inf")
    async with shared_store(settings) as store:
        with anyio.CancelScope() as scope:

            async def take(batch: Batch) -> None:
                nonlocal left
                for event in batch.events:
                    if left and kind in (None, event.kind):
                        left = left - 1 if _printed(as_line(event) if as_json else line_of(event)) else 0
                if batch.left_out:
                    print(f"{batch.left_out} more are not shown", file=sys.stderr, flush=True)
                if not left:
                    scope.cancel()

            await follow(store.channel, take)


def _printed(line: str) -> bool:
    """Print a line; False if whoever read them has gone."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is written there at exit
        return False
    return True


async def _stats(settings: Settings, window: float) -> Stats:
    async with shared_store(settings) as store:
        return await stats(store, window=window)


def _is_estimate(name: str, seen: Stats) -> bool:
    return name == "active_sessions" and seen.active_estimated
