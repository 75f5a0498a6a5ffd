"""Fixtures every test may use."""

import pytest

pytest.register_assert_rewrite("holdfast.testing.contract")  # its assertions explain themselves as a test's do


@pytest.fixture
def anyio_backend() -> str:
    """The product's event loop is asyncio; anyio is its vocabulary."""
    return "asyncio"
