"""A whole ABAP face over the simulator in one process, on a clock that stands still until it is told to move."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from holdfast.adt.desk import Caller
from holdfast.adt.door import DOOR
from holdfast.adt.embedded import SIMULATED, in_process, open_abap, simulated
from holdfast.adt.kinds import kinds
from holdfast.adt.service import Abap
from holdfast.adt.tokens import Tokens
from holdfast.backend.system import Systems, open_systems
from holdfast.config import Settings
from holdfast.core.model import Record
from holdfast.engine import Engine, open_engine
from holdfast.simulator import Rule, Simulator
from holdfast.testing.clock import Clock

ME = Caller("me")
OTHER = Caller("other")
CLASS = "ZCL_NEW"
GOOD = """CLASS zcl_new DEFINITION PUBLIC FINAL CREATE PUBLIC.
  PUBLIC SECTION.
ENDCLASS.

CLASS zcl_new IMPLEMENTATION.
ENDCLASS."""


class RunningClock(Clock):
    """A clock that runs with the real one, and can be moved on: for worlds whose keeper retries by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def __call__(self) -> float:
        return self.now + time.monotonic() - self._began


class World:
    """One worker, one simulated system."""

    def __init__(
        self, sim: Simulator, clock: Clock, engine: Engine, systems: Systems, abap: Abap, *, keeps: bool
    ) -> None:
        self.keeps = keeps
        self.sim, self.clock, self.engine, self.systems, self.abap = sim, clock, engine, systems, abap
        self.manager = engine.manager

    # -- the workflow

    async def session(self, caller: Caller = ME, **more: Any) -> str:
        return (await self.abap.get_session(caller, **more))["session_id"]

    async def created(self, caller: Caller = ME, name: str = CLASS) -> str:
        """Return a session in which a class was created."""
        session_id = await self.session(caller)
        answer = await self.abap.create(caller, "class", name, session_id=session_id)
        assert answer["success"], answer
        return session_id

    async def locked(self, caller: Caller = ME, name: str = CLASS) -> tuple[str, str]:
        """Return a session and the handle of the lock it holds on a new class."""
        session_id = await self.created(caller, name)
        return session_id, await self.lock(session_id, caller, name)

    async def lock(self, session_id: str, caller: Caller = ME, name: str = CLASS) -> str:
        return (await self.abap.lock(caller, "class", name, session_id=session_id))["lock_handle"]

    async def update(self, session_id: str, handle: str, text: str = GOOD, name: str = CLASS) -> Any:
        return await self.abap.update(ME, "class", name, text, lock_handle=handle, session_id=session_id)

    async def unlock(self, session_id: str, handle: str, name: str = CLASS) -> Any:
        return await self.abap.unlock(ME, "class", name, lock_handle=handle, session_id=session_id)

    async def source(self, session_id: str, name: str = CLASS) -> str:
        return (await self.abap.read(ME, "class", name, session_id=session_id))["source_code"]

    # -- looking

    def fault(self, effect: str, **more: Any) -> None:
        self.sim.faults.add(Rule(effect=effect, **more))  # type: ignore[arg-type]

    def switch(self, **changes: Any) -> None:
        self.sim.switch(self.sim.switches.changed(changes))

    def requests(self, since: int = 0) -> list[str]:
        """Return what was sent, as `METHOD last-path-segment`, with the action or the purpose after it."""
        return [_short(request) for request in list(self.sim.journal.requests)[since:]]

    @property
    def sent(self) -> int:
        """How many requests the system has seen."""
        return len(self.sim.journal.requests)

    @property
    def contexts(self) -> int:
        """SM04."""
        self.sim.sweep(self.sim.clock())
        return sum(1 for _ in self.sim.sessions.contexts())

    @property
    def logons(self) -> int:
        """SM05."""
        return sum(1 for _ in self.sim.sessions.sessions())

    @property
    def locks(self) -> list[tuple[str, str]]:
        """SM12: user and object."""
        return [(entry.user, entry.key[1]) for entry in self.sim.locks.entries(self.sim.clock())]

    async def records(self, kind: str) -> list[Record]:
        return [record async for record in self.manager.each("kind", kind)]

    async def ticket(self, handle: str) -> Any:
        return Tokens(self.manager.keys).ticket(handle, owner=ME.owner)

    # -- waiting, never longer than a few seconds

    async def pass_time(self, seconds: float) -> None:
        """Let time pass and do what has become due."""
        self.clock.advance(seconds)
        await self.turns()

    async def turns(self) -> None:
        """Do what is due, until nothing is."""
        with anyio.fail_after(5):
            while await self.engine.keeper.turn():
                pass

    async def quiet(self) -> None:
        """Wait until SAP shows nothing of ours but stateless logons; without a keeper, take its turns."""
        await self.quiet_but(0)

    async def quiet_but(self, locks: int) -> None:
        """Wait until SAP shows nothing of ours but stateless logons and this many locks."""
        with anyio.fail_after(5):
            while self.contexts > locks or len(await self.records("lock")) > locks:
                await (anyio.sleep(0.01) if self.keeps else self.turns())
                await anyio.sleep(0)


def _short(request: dict[str, Any]) -> str:
    query = dict(pair.partition("=")[::2] for pair in request["query"].split("&") if pair)
    word = query.get("_action") or request["purpose"] or ""
    return " ".join(filter(None, (request["method"], request["path"].rpartition("/")[2], word)))


@asynccontextmanager
async def open_world(
    *,
    sim: Simulator | None = None,
    clock: Clock | None = None,
    store: Path | None = None,
    keeper: bool = True,
    quotas: dict[str, Any] | None = None,
    **more: Any,
) -> AsyncIterator[World]:
    """Open a world; `quotas` are settings of the system, `more` are other settings."""
    clock = clock or (RunningClock() if keeper else Clock())
    sim = sim or Simulator(clock=clock)
    settings = simulated(Settings(**more))
    settings.systems[SIMULATED] = settings.systems[SIMULATED].model_copy(update=quotas or {})

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        await anyio.sleep(0)

    async with AsyncExitStack() as stack:
        systems = await stack.enter_async_context(
            open_systems(settings, DOOR, transport_for=in_process(sim), clock=clock)
        )
        engine = await stack.enter_async_context(
            open_engine(
                f"sqlite:///{store}" if store else "memory://",
                kinds=kinds(systems, settings),
                settings=settings,
                clock=clock,
                keeper=keeper,
            )
        )
        abap = await stack.enter_async_context(open_abap(engine, systems, sleep=sleep))
        yield World(sim, clock, engine, systems, abap, keeps=keeper)
