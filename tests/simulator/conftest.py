"""Fixtures: simulated systems with a clock that stands still, and a client that is logged on."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast.simulator import Switches
from simulator.wire import Build, Caller, Hourglass, System


@pytest.fixture
async def build() -> AsyncIterator[Build]:
    """Make a system with this profile and these switches."""
    made: list[System] = []

    def make(profile: str = "7.58", *, store: Any = None, **switches: Any) -> System:
        made.append(System(profile, Hourglass(), Switches(**switches), store=store))
        return made[-1]

    yield make
    for system in made:
        await system.http.aclose()
        system.sim.close()


@pytest.fixture
async def system(build: Build) -> System:
    """A system as it is by default."""
    return build()


@pytest.fixture
async def caller(system: System) -> Caller:
    """A client of that system, logged on as DEVELOPER."""
    return await system.caller()
