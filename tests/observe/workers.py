"""Workers on one store whose sessions are observed, on an event loop whose hours pass in no time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec

from core.outage import Switch, switched
from core.virtual_time import VirtualLoop
from holdfast.core.keeper import Keeper
from holdfast.core.kinds import Kind
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.core.session import Session
from holdfast.mcp.kinds import KINDS, SESSION, STREAM
from holdfast.observe import Observer, Stats, stats
from holdfast.observe.census import ACTIVE
from holdfast.observe.ledger import Ledger
from holdfast.stores.memory import memory_store
from observe.meters import Shown

VIRTUAL = ("asyncio", {"loop_factory": VirtualLoop})
KEYS = KeyRing.parse(new_key_text())
BEGIN = 1_750_003_200.0  # a full hour


def clock() -> float:
    """Return Unix seconds that pass as the event loop's do; the loop begins at a full hour."""
    return BEGIN + anyio.current_time()


class Worker:
    """One process: manager, keeper, and what observes."""

    def __init__(self, store: Store, number: int, kinds: tuple[Kind, ...]) -> None:
        self.shown = Shown()
        self.observer = Observer(self.shown)
        self.manager = Manager(store, KEYS, kinds, worker=f"w{number}", clock=clock, sink=self.observer)
        self.keeper = Keeper(self.manager)
        self.scope = anyio.CancelScope()

    async def run(self) -> None:
        with self.scope:
            await self.observer.attend(self.manager.store, tuple(self.manager.kinds), clock)

    async def open(self, count: int = 1) -> list[Session]:
        return [await self.manager.open(SESSION, client=f"c{number}") for number in range(count)]

    async def connect(self, session: Session) -> Session:
        return await self.manager.open(STREAM, parent=session, named=False)

    async def end(self, *sessions: Session) -> None:
        """End sessions and let a keeper close them."""
        for session in sessions:
            await self.manager.end(session, Reason.CLIENT)
        while await self.keeper.turn():
            pass

    def kill(self) -> None:
        """End it as SIGKILL does: what it had gathered is lost."""
        self.observer._ledger._pending.clear()
        self.observer._census._changed.clear()
        self.observer._analytics._sums.clear()
        self.scope.cancel()

    @property
    def gauge(self) -> float:
        return self.shown.gauges["mcp.session.active_count"]


class Workers:
    """A store, workers, and a switch that puts the store out of reach."""

    def __init__(self, *, shared: bool, kinds: tuple[Kind, ...]) -> None:
        store, self.switch = switched(memory_store())
        self.store = msgspec.structs.replace(store, shared=shared)
        self.all: list[Worker] = []
        self._kinds = kinds
        self.tasks = anyio.create_task_group()

    def add(self) -> Worker:
        worker = Worker(self.store, len(self.all), self._kinds)
        self.all.append(worker)
        self.tasks.start_soon(worker.run)
        return worker

    async def counter(self, kind: str = SESSION) -> int:
        """Return what the store's counter of a kind says."""
        return (await self.store.counters.read([ACTIVE + kind], now=clock()))[0]

    async def stats(self, window: float) -> Stats:
        return await stats(self.store, window=window, now=clock())


@asynccontextmanager
async def workers(count: int = 2, *, shared: bool = True, kinds: tuple[Kind, ...] = KINDS) -> AsyncIterator[Workers]:
    """Run observed workers on a store until the block ends."""
    made = Workers(shared=shared, kinds=kinds)
    async with made.tasks:
        for _ in range(count):
            made.add()
        await anyio.sleep(20)  # counted at their start
        yield made
        made.tasks.cancel_scope.cancel()


__all__ = ["VIRTUAL", "Ledger", "Switch", "Worker", "Workers", "clock", "workers"]
