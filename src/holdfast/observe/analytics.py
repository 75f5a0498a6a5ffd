"""How sessions were used, over any window of the last 31 days (M25): five counters for each hour.

A window begins with a full hour and ends now, so it is up to an hour longer than asked for; the answer says since when.
Opening, ending and connecting add to counters of the hour they happen in. *Active* is asked of the sessions themselves:
of up to 2,000, which are as good as drawn by lot since their keys are random; of more it is an estimate, give or take
2 %. *Peak concurrent* is the most that any worker knew of: its own sessions at every instant, and those of others as
they were up to two seconds before.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from holdfast.core.events import Event, Fact
from holdfast.core.model import State
from holdfast.core.policy import expires_at
from holdfast.core.ports import Counters, Store, each
from holdfast.errors import BadInput
from holdfast.mcp.kinds import SESSION, STREAM
from holdfast.observe.census import ACTIVE
from holdfast.observe.ledger import Ledger

HOUR_S: Final = 3600.0
KEPT_S: Final = 31 * 86_400.0
ACTIVE_S: Final = 300.0  # who was used so lately is active
SAMPLE: Final = 2_000
TURN_S: Final = 1.0  # for which one worker may raise a peak
PARTS: Final = ("opened", "ended", "lived", "connections", "peak")


class Hour(msgspec.Struct, frozen=True):
    """One hour: how many sessions and connections were opened in it, and the most sessions at a time."""

    begins: str
    sessions: int
    connections: int
    peak_concurrent: int


class Stats(msgspec.Struct, frozen=True):
    """The use of sessions in a window. Instants are ISO 8601, UTC; durations are seconds.

    `average_duration` is of the sessions that ended in the window, from their opening to their end; None without any.
    """

    since: str
    until: str
    resolution: float
    total_sessions: int
    active_sessions: int
    active_estimated: bool
    average_duration: float | None
    peak_concurrent: int
    connection_patterns: list[Hour]


class Analytics:
    """Counts the sessions of a kind, and the connections of another, by the hour."""

    def __init__(self, ledger: Ledger, *, kind: str = SESSION, connection: str = STREAM) -> None:
        self._ledger, self._kind, self._connection = ledger, kind, connection
        self._sums: dict[tuple[int, str], int] = {}  # by hour and part
        self._peak = (0, 0)  # hour, and what its counter is known to have reached

    def emit(self, event: Event) -> None:
        """Count what opens and ends."""
        opened = event.fact is Fact.OPENED
        if event.kind == self._connection and opened:
            self._add("connections", 1, event.at)
        elif event.kind == self._kind and opened:
            self._add("opened", 1, event.at)
        elif event.kind == self._kind and event.lived is not None:
            self._add("ended", 1, event.at)
            self._add("lived", round(event.lived * 1000), event.at)

    async def reach(self, counters: Counters, number: int, now: float) -> bool:
        """Raise this hour's peak if so many are more; False if it is another worker's turn, to be tried again."""
        hour = _hour(now)
        if number <= (self._peak[1] if self._peak[0] == hour else 0):
            return True
        if not await counters.once("observe.peak", now=now, ttl=TURN_S):
            return False
        name = _name(self._kind, hour, "peak")
        [known] = await counters.read([name], now=now)
        if number > known:
            known = await counters.add(name, number - known, now=now, ttl=KEPT_S)
        self._peak = (hour, known)
        return True

    def settle(self) -> None:
        """Hand what was counted to the ledger."""
        sums, self._sums = self._sums, {}
        for (hour, part), amount in sums.items():
            self._ledger.add(_name(self._kind, hour, part), amount, ttl=KEPT_S)

    def _add(self, part: str, amount: int, at: float) -> None:
        place = (int(at // HOUR_S), part)
        self._sums[place] = self._sums.get(place, 0) + amount


async def stats(store: Store, *, window: float = HOUR_S, now: float | None = None, kind: str = SESSION) -> Stats:
    """Return how sessions were used in the last `window` seconds, by all workers; the last second may be missing.

    Raises:
        BadInput: The window is not between 0 and 31 days.
        StoreUnavailable: The store is out of reach.
    """
    if not 0 < window <= KEPT_S:
        raise BadInput(f"a window of {window / 86_400:g} days is not between 0 and {KEPT_S / 86_400:g}")
    now = time.time() if now is None else now
    hours = range(_hour(now - window), _hour(now) + 1)
    names = [_name(kind, hour, part) for hour in hours for part in PARTS]
    values = [value for page in _pages(names) for value in await store.counters.read(page, now=now)]
    rows = [dict(zip(PARTS, values[at : at + len(PARTS)], strict=True)) for at in range(0, len(values), len(PARTS))]
    ended = sum(row["ended"] for row in rows)
    active, estimated = await _active(store, kind, now)
    return Stats(
        since=_iso(hours[0] * HOUR_S),
        until=_iso(now),
        resolution=HOUR_S,
        total_sessions=sum(row["opened"] for row in rows),
        active_sessions=active,
        active_estimated=estimated,
        average_duration=sum(row["lived"] for row in rows) / ended / 1000 if ended else None,
        peak_concurrent=max(row["peak"] for row in rows),
        connection_patterns=[
            Hour(_iso(hour * HOUR_S), row["opened"], row["connections"], row["peak"])
            for hour, row in zip(hours, rows, strict=True)
        ],
    )


async def _active(store: Store, kind: str, now: float) -> tuple[int, bool]:
    """Return how many sessions were used in the last five minutes, and whether that is an estimate."""
    seen = used = 0
    async for record in each(store.sessions, "kind", kind):
        seen += 1
        if record.state is State.LIVE and record.used_at > now - ACTIVE_S and expires_at(record) > now:
            used += 1
        if seen == SAMPLE:
            [number] = await store.counters.read([ACTIVE + kind], now=now)
            return round(max(number, seen) * used / seen), number > seen
    return used, False


def _pages(names: list[str], size: int = 500) -> Iterator[list[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]


def _hour(at: float) -> int:
    return int(at // HOUR_S)


def _name(kind: str, hour: int, part: str) -> str:
    return f"observe.{kind}.{hour}.{part}"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
