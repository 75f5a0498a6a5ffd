"""Composes the ABAP face on an engine: what programs, servers and the handlers open.

Without any configuration store and system are both in memory, gone at exit, and GetSession's message says so. With
systems configured (`HOLDFAST_SAP_URL`, …, or `[systems.NAME]` in a file) these are used, and the configured store, by
default SQLite in the user's data folder.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple

import httpx2

from holdfast.adt.door import DOOR
from holdfast.adt.kinds import kinds
from holdfast.adt.service import Abap
from holdfast.backend.errands import open_errands
from holdfast.backend.system import Systems, TransportFor, open_systems
from holdfast.config import Settings, SystemSettings, load_settings, shown_url, store_url
from holdfast.core.events import Sink
from holdfast.core.kinds import Kind
from holdfast.engine import Engine, open_engine
from holdfast.errors import ConfigurationError
from holdfast.simulator import DEMO_USERS, Simulator

SIMULATED: Final = "simulator"
NOTE: Final = (
    "This is a simulated ABAP system in memory, for learning and testing: it is gone when the program ends. "
    "Set HOLDFAST_SAP_URL to work on a real one."
)


@asynccontextmanager
async def open_abap(
    engine: Engine, systems: Systems, *, sleep: Callable[[float], Awaitable[None]] | None = None
) -> AsyncIterator[Abap]:
    """Run the ABAP face on an engine that was opened with `adt.kinds.kinds` for the same systems.

    At the end, back-end work that is on its way is waited for; each request is bounded by its system's time-out.
    """
    settings = engine.settings
    async with open_errands() as errands:
        yield Abap(
            engine.manager,
            systems,
            errands,
            hold_limit=settings.lock_hold_limit,
            strict=settings.strict,
            form=settings.session_state,
            sleep=sleep,
        )


class Embedded(NamedTuple):
    """An engine and the ABAP face on it."""

    engine: Engine
    abap: Abap


@asynccontextmanager
async def open_embedded(
    settings: Settings | None = None,
    *,
    simulator: Simulator | None = None,
    more_kinds: Sequence[Kind] = (),
    clock: Callable[[], float] = time.time,
    sink: Sink | None = None,
    keeper: bool = True,
) -> AsyncIterator[Embedded]:
    """Open engine, systems and face in one: what a program needs that uses the handlers by itself.

    Args:
        settings: What is configured; read from file and environment if left out.
        simulator: Used instead of a fresh one when no system is configured.

    Raises:
        ConfigurationError: A setting is missing or wrong.
    """
    settings = settings or load_settings()
    transport_for: TransportFor | None = None
    async with AsyncExitStack() as stack:
        note = ""
        if settings.systems:
            url = store_url(settings)
        else:
            system = simulator or Simulator(clock=clock)
            stack.callback(system.close)
            settings, transport_for, note = simulated(settings), in_process(system), NOTE
            url = (settings.store if simulator else _no_store_of_its_own(settings)) or "memory://"
        systems = await stack.enter_async_context(
            open_systems(settings, DOOR, transport_for=transport_for, clock=clock, note=note)
        )
        engine = await stack.enter_async_context(
            open_engine(
                url,
                kinds=(*kinds(systems, settings), *more_kinds),
                settings=settings,
                clock=clock,
                sink=sink,
                keeper=keeper,
            )
        )
        yield Embedded(engine, await stack.enter_async_context(open_abap(engine, systems)))


def _no_store_of_its_own(settings: Settings) -> str:
    """Refuse a store that would outlive the simulated system in this process: the two never live differently long."""
    if settings.store not in ("", "memory://"):
        raise ConfigurationError(
            f"the store {shown_url(settings.store)} is configured, but no SAP system",
            hint="Set HOLDFAST_SAP_URL; for a simulated system that lasts, start one with `holdfast sim`.",
        )
    return settings.store


def simulated(settings: Settings) -> Settings:
    """Return the settings with the simulator as their only system."""
    [user, *_], [password, *_] = zip(*DEMO_USERS.items(), strict=True)
    system = SystemSettings(url=f"http://{SIMULATED}.localhost", user=user, password=password)
    return settings.model_copy(update={"systems": {SIMULATED: system}, "default_system": SIMULATED})


def in_process(simulator: Simulator) -> TransportFor:
    """Return a maker of transports that reach a simulator in this process."""

    def make(_: str, __: SystemSettings) -> httpx2.AsyncBaseTransport:
        return httpx2.ASGITransport(app=simulator.app)

    return make
