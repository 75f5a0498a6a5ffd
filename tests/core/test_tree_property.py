"""Any order of opening, attaching, expiring, ending and dying, on every store, leaves trees whole and nothing outside.

A program of random steps is played by workers that may lose their store at any call, which is how a process looks that
was killed there. After every step all rows are looked at; in the end everything runs out and is closed.
"""

from collections import Counter
from contextlib import suppress
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.world import World, manager_on
from holdfast.core.duty import Duty
from holdfast.core.keeper import Keeper
from holdfast.core.kinds import Clocks, Kind
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Record, State
from holdfast.core.ports import Store
from holdfast.core.session import Session
from holdfast.errors import BadInput, HoldfastError, StoreUnavailable
from stores.stores import Place
from stores.test_alike import check

EXAMPLES = {"memory": 400, "sqlite": 25, "redis": 25, "cluster": 12, "postgres": 15}
PATIENCE_S = 60.0

number = st.integers(0, 11)
doom = st.one_of(st.none(), st.tuples(st.integers(0, 12), st.booleans()))
opening = st.tuples(st.just("open"), st.sampled_from(["security", "http", "sticky", "backend", "lock"]), number)
steps = st.one_of(
    opening,
    opening,
    opening,
    st.tuples(st.just("attach"), number, number),
    st.tuples(st.just("expire"), st.sampled_from([1.0, 20.0, 60.0, 101.0])),
    st.tuples(st.just("end"), number, st.sampled_from(Reason), doom),
    st.tuples(st.just("refuse"), number),
    st.tuples(st.just("write"), number),
    st.tuples(st.just("turn"), doom),
    st.tuples(st.just("sweep"), doom),
)
programs = st.lists(steps, min_size=8, max_size=24)


class Outside(World):
    """An outside that knows what hangs below what, and is strict about the order of closing."""

    def __init__(self) -> None:
        super().__init__()
        self.below: dict[str, str] = {}
        self.closed: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def close(self, duty: Duty) -> None:
        record = duty.session.record
        label, ends_children = record.label, record.kind == "backend"
        left = {name for name, above in self.below.items() if above == label} & self.open
        if left and not (ends_children and left <= self.refuses):
            self.wrong.append(f"{label} was closed before {sorted(left)}")
        try:
            await super().close(duty)
        except AssertionError as exc:
            self.wrong.append(str(exc))
        gone = {label} | (left if ends_children else set())
        self.open -= gone
        self.closed.update(gone)

    def kinds(self) -> list[Kind]:
        return [
            *(kind for kind in super().kinds() if kind.name != "http"),
            Kind(name="http", clocks=Clocks(idle=100.0, absolute=1000.0, touch_interval=10.0)),
            Kind(name="sticky", clocks=Clocks(idle=100.0), closer=self.close, outside=True),
        ]


class Doomed:
    """A port that works for some calls more, then for none; the last one may have had its effect."""

    def __init__(self, port: Any, fate: list[int], answered: bool) -> None:
        self._port, self._fate, self._answered = port, fate, answered

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **more: Any) -> Any:
            self._fate[0] -= 1
            if self._fate[0] >= 0:
                return await getattr(self._port, name)(*args, **more)
            if self._fate[0] == -1 and self._answered:
                await getattr(self._port, name)(*args, **more)
            raise StoreUnavailable("the worker was killed")

        return call


class Play:
    """One program on one store."""

    def __init__(self, store: Store) -> None:
        self.store, self.world = store, Outside()
        self.manager = manager_on(store, self.world, "witness")
        self.sessions: list[Session] = []
        self.seen: dict[bytes, Record] = {}
        self.gone: set[bytes] = set()
        self.workers = 0

    def worker(self, fate: tuple[int, bool] | None = None) -> Manager:
        """Return a manager of another process; with a fate, of one that dies after so many calls of its store."""
        self.workers += 1
        store, name = self.store, f"worker-{self.workers}"
        if fate is not None:
            left = [fate[0]]
            ports = {port: Doomed(getattr(store, port), left, fate[1]) for port in ("sessions", "leases", "channel")}
            store = msgspec.structs.replace(store, **ports)
        return manager_on(store, self.world, name)

    async def step(self, sort: str, *values: Any) -> None:
        with suppress(HoldfastError):
            await getattr(self, sort)(*values)

    def some(self, place: int) -> Session:
        if not self.sessions:
            raise BadInput("there is none yet")
        return self.sessions[-1 - place % len(self.sessions)]

    async def open(self, kind: str, place: int) -> None:
        parent = None if kind == "security" or not self.sessions else self.some(place)
        if parent is not None and kind in ("http", "sticky") and parent.record.kind != "security":
            parent = None
        label = f"{kind}-{len(self.sessions)}" if kind in ("sticky", "backend", "lock") else ""
        above = self.seen[parent.key].ref if parent is not None and parent.key in self.seen else None
        if parent is not None and above is None:
            return
        session = await self.manager.open(kind, parent=above, label=label, named=kind in ("security", "http"))
        self.sessions.append(session)
        if label:
            self.world.open.add(label)
            self.world.below[label] = parent.record.label if parent is not None else ""

    async def attach(self, place: int, target: int) -> None:
        session = await self.fresh(place)
        if session.id is not None:
            old = session.id
            await self.manager.rotate(session, parent=await self.fresh(target))
            with pytest.raises(HoldfastError):
                await self.manager.load(old, kind=session.record.kind)

    async def fresh(self, place: int) -> Session:
        """Return a session as it is now."""
        known = self.some(place)
        session = await self.manager.get(self.seen[known.key].ref if known.key in self.seen else known.ref)
        session.id = known.id
        return session

    async def expire(self, seconds: float) -> None:
        self.world.now += seconds

    async def end(self, place: int, reason: Reason, fate: tuple[int, bool] | None) -> None:
        known = self.some(place)
        await self.worker(fate).end(self.seen.get(known.key, known.record).ref, reason)

    async def refuse(self, place: int) -> None:
        """Let something outside refuse to be closed, or no more."""
        self.world.refuses ^= {self.some(place).record.label} - {""}

    async def write(self, place: int) -> None:
        """Write to a session as it was when it was opened: if it has changed or ended since, that must not work."""
        known, row = self.some(place), self.seen.get(self.some(place).key)
        dead = row is None or row.state is not State.LIVE or row.version != known.record.version
        stale = Session(known.record, {"late": True})
        await self.manager.save(stale)
        assert not dead, "a late write was taken"
        known.record = stale.record

    async def turn(self, fate: tuple[int, bool] | None) -> None:
        await Keeper(self.worker(fate)).turn()

    async def sweep(self, fate: tuple[int, bool] | None) -> None:
        await Keeper(self.worker(fate)).sweep()

    async def look(self) -> None:
        """Look at all rows."""
        rows = {row.key: row for row in await self.store.sessions.find("all", b"", count=9_999)}
        check(list(rows.values()))
        for key, row in rows.items():
            before = self.seen.get(key)
            assert key not in self.gone, "a node is back that was gone"
            assert row.state is not State.LIVE or before is None or before.state is State.LIVE, "a revival"
            if row.state is not State.LIVE:
                assert await self.store.sessions.load(row.ref, now=self.world.now) is None
        self.gone |= self.seen.keys() - rows.keys()
        self.seen = rows
        labels = {row.label for row in rows.values()}
        assert self.world.open <= labels, "what is open outside has no row"
        assert self.world.wrong == []

    async def run_out(self) -> None:
        """Let everything run out; nothing may be left, in the store or outside."""
        self.world.refuses.clear()
        self.world.now += 50_000.0
        for _ in range(60):
            self.world.now += 200.0
            await self.sweep(None)
            await self.turn(None)
            await self.look()
            if not self.seen:
                break
        assert (self.seen, self.world.open) == ({}, set())
        outside = {session.record.label for session in self.sessions} - {""}
        assert outside == set(self.world.closed)


async def play(place: Place, program: list[tuple[Any, ...]]) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with place.open() as store:
            await empty(store)
            game = Play(store)
            for step in program:
                await game.step(*step)
                await game.look()
            await game.run_out()


async def empty(store: Store) -> None:
    """Remove what a program that failed has left."""
    while rows := await store.sessions.find("all", b"", count=9_999):
        await store.sessions.delete([row.ref for row in rows])


async def test_what_does_not_end_its_children_outside_waits_for_them(place: Place) -> None:  # E14
    async with place.open() as store:
        game = Play(store)
        manager, world = game.manager, game.world
        logon = await manager.open("security")
        above = await manager.open("sticky", parent=logon, label="above", named=False)
        between = await manager.open("http", parent=above)
        below = await manager.open("backend", parent=between, label="below", named=False)
        await manager.open("lock", parent=below, label="leaf", named=False)
        world.open, world.below = {"above", "below", "leaf"}, {"below": "above", "leaf": "below"}
        world.refuses = {"below", "leaf"}
        await manager.end(logon, Reason.LOGOUT)
        await game.turn(None)
        assert (world.open, world.wrong) == ({"above", "below", "leaf"}, [])
        world.refuses = {"leaf"}
        world.now += 1.0
        await game.turn(None)
        assert (world.open, world.wrong) == (set(), [])
        assert world.order == ["below", "above"]
        assert await store.sessions.find("all", b"") == []


def test_any_order_of_events_leaves_trees_whole_and_nothing_outside(
    place: Place,
) -> None:  # E9, E14, E15, E17, E18, R27
    @settings(
        max_examples=EXAMPLES[place.sort], derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(programs)
    def played(program: list[tuple[Any, ...]]) -> None:
        anyio.run(play, place, program)

    played()
