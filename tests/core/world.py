"""A tree over the memory store with an outside world that can be looked at: what is open there, and what fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from holdfast.core.duty import Duty
from holdfast.core.events import Event, Fact
from holdfast.core.keeper import Keeper
from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.manager import Manager
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.core.session import Session
from holdfast.core.tuning import Tuning
from holdfast.stores import open_store

KEYS = KeyRing.parse(new_key_text())


class Crash(BaseException):
    """The worker is gone in this very instant."""


@dataclass
class World:
    """The clock, what was told, and the outside: labels of what is open there."""

    now: float = 1000.0
    events: list[Event] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    closing: set[str] = field(default_factory=set)
    order: list[str] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    crashes: set[str] = field(default_factory=set)
    hangs: set[str] = field(default_factory=set)
    freezes: set[str] = field(default_factory=set)
    woken: anyio.Event = field(default_factory=anyio.Event)
    kept: list[str] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def facts(self) -> list[Fact]:
        return [event.fact for event in self.events]

    async def close(self, duty: Duty) -> None:
        label = duty.session.record.label
        assert label not in self.closing, "two closers of one node at once"
        self.closing.add(label)
        try:
            await anyio.sleep(0)
            if label in self.hangs:
                await anyio.sleep_forever()
            if label in self.refuses:
                raise RuntimeError("secret: the outside says no")
            self.open.discard(label)
            self.order.append(label)
            if label in self.crashes:
                self.crashes.discard(label)
                raise Crash
            if label in self.freezes:
                self.freezes.discard(label)
                self.closing.discard(label)
                await self.woken.wait()
        finally:
            self.closing.discard(label)

    async def keep(self, duty: Duty) -> float | None:
        label = duty.session.record.label
        if label in self.refuses:
            raise RuntimeError("no")
        self.kept.append(label)
        return duty.now + 50.0

    def kinds(self) -> list[Kind]:
        return [
            Kind(name="security", clocks=Clocks(absolute=10_000.0, linger=40.0)),
            Kind(name="logon", clocks=Clocks(absolute=10_000.0, linger=40.0, linger_after=0.0)),
            Kind(
                name="http",
                clocks=Clocks(idle=100.0, absolute=1000.0, touch_interval=10.0),
                limits=Limits(per_client=5),
            ),
            Kind(name="backend", closer=self.close, outside=True, ends_children=True, gone_after=2000.0),
            Kind(name="lock", closer=self.close, upkeep=self.keep, outside=True, holds=True),
        ]


TUNING = Tuning(closer_timeout=0.5, max_payload_bytes=1000)


def manager_on(
    store: Store, world: World, worker: str = "one", kinds: list[Kind] | None = None, tuning: Tuning = TUNING
) -> Manager:
    """Return a manager for the world's kinds."""
    chosen = world.kinds() if kinds is None else kinds
    return Manager(store, KEYS, chosen, worker=worker, clock=world, sink=world, tuning=tuning)


@asynccontextmanager
async def world_on_memory() -> AsyncIterator[tuple[World, Manager, Keeper]]:
    """Open a fresh world."""
    world = World()
    async with open_store("memory://", clock=world) as store:
        manager = manager_on(store, world)
        yield world, manager, Keeper(manager)


async def opened(manager: Manager, **more: object) -> Session:
    """A session of Ann's with something in it."""
    return await manager.open("http", {"cart": 1}, owner="ann", **more)  # type: ignore[arg-type]


async def tree(manager: Manager, world: World, name: str = "") -> tuple[Session, Session, Session]:
    """A session, a back end below it and a lock below that; what they stand for is open outside."""
    session = await manager.open("http", owner="ann")
    backend = await manager.open("backend", parent=session, label=f"B{name}", named=False)
    lock = await manager.open("lock", parent=backend, label=f"L{name}", named=False)
    world.open |= {f"B{name}", f"L{name}"}
    return session, backend, lock


async def empty(manager: Manager) -> bool:
    """Say whether nothing is stored any more."""
    return not await manager.store.sessions.find("all", b"")
