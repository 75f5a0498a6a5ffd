"""The world of the core's tests, one per test."""

from collections.abc import AsyncIterator

import pytest

from core.outage import Switch, switched
from core.world import World, world_on_memory
from holdfast.core.keeper import Keeper
from holdfast.core.manager import Manager


@pytest.fixture
async def started() -> AsyncIterator[tuple[World, Manager, Keeper]]:
    async with world_on_memory() as parts:
        yield parts


@pytest.fixture
def world(started: tuple[World, Manager, Keeper]) -> World:
    return started[0]


@pytest.fixture
def manager(started: tuple[World, Manager, Keeper]) -> Manager:
    return started[1]


@pytest.fixture
def keeper(started: tuple[World, Manager, Keeper]) -> Keeper:
    return started[2]


@pytest.fixture
def switch(manager: Manager) -> Switch:
    """The manager's store is behind a switch."""
    manager.store, made = switched(manager.store)
    return made
