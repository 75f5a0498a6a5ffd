"""Fixtures every test may use, and the rule that in CI nothing is skipped."""

import os

import pytest

pytest.register_assert_rewrite("holdfast.testing.contract")  # its assertions explain themselves as a test's do
pytest_plugins = ["stores.stores"]  # `place`: every store, for tests of any level


@pytest.fixture
def anyio_backend() -> str:
    """The product's event loop is asyncio; anyio is its vocabulary."""
    return "asyncio"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in CI that has skipped something: a machine without what a test needs is no reason there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
