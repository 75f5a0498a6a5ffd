"""Fixtures of the ABAP face."""

from collections.abc import AsyncIterator

import pytest

from adt.world import World, open_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A worker with its keeper over a fresh simulated system."""
    async with open_world() as opened:
        yield opened


@pytest.fixture
async def still() -> AsyncIterator[World]:
    """A worker whose keeper does nothing by itself: tests say when."""
    async with open_world(keeper=False) as opened:
        yield opened
