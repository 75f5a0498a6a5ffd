"""Fixtures every test may use."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The product's event loop is asyncio; anyio is its vocabulary."""
    return "asyncio"
