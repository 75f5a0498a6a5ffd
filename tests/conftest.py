"""Fixtures every test may use, and the rule that in CI nothing is skipped."""

import os
import signal

import pytest

pytest.register_assert_rewrite("holdfast.testing.contract")  # its assertions explain themselves as a test's do
pytest_plugins = ["stores.stores"]  # `place`: every store, for tests of any level

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background; what we start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    """The product's event loop is asyncio; anyio is its vocabulary."""
    return "asyncio"


MAY_NOT_INSTALL = "`make setup` may not install"  # in the reason of tests whose Debian packages could not be had


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in CI that has skipped something, but for what root and Debian's packages are needed and denied."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if os.environ.get("CI") and any(MAY_NOT_INSTALL not in str(report.longrepr) for report in skipped):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
