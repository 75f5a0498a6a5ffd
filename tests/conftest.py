"""Fixtures every test may use, and the rule that in CI nothing is skipped."""

import itertools
import os
import signal
import sys
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

pytest.register_assert_rewrite("holdfast.testing.contract")  # its assertions explain themselves as a test's do
pytest_plugins = [
    "stores.stores",
    "e2e.flows_fixtures",
]  # `place`: every store; `erp`: a receiver; for tests of any level

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background; what we start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    """The product's event loop is asyncio; anyio is its vocabulary."""
    return "asyncio"


EXAMPLES = int(os.environ.get("EXAMPLES", "0"))  # that a property is tried with at most; 0: as many as it asks for


def pytest_itemcollected(item: pytest.Item) -> None:
    """Try properties and state machines with fewer examples than they ask for, in a run that is to be fast."""
    test, case = getattr(item, "function", None), getattr(item, "cls", None)
    if EXAMPLES and isinstance(getattr(case, "settings", None), settings):
        _limit(case, "settings")
    elif EXAMPLES and is_hypothesis_test(test):
        _limit(test, "_hypothesis_internal_use_settings")  # there is no public way to change what a decorator has set


def _limit(holder: Any, name: str) -> None:
    asked: settings = getattr(holder, name, None) or settings()
    setattr(holder, name, settings(asked, max_examples=min(asked.max_examples, EXAMPLES)))


DOT = 50  # tests that passed, in an output nobody watches: what failed must be found in it, not a hundred lines of dots
_passed = itertools.count(1)


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Print a dot for some of the tests that passed, where no terminal is."""
    if report.when != "call" or not report.passed or hasattr(report, "wasxfail") or sys.stdout.isatty():
        return None
    return "passed", "" if next(_passed) % DOT else ".", ""


MAY_NOT_INSTALL = "`make setup` may not install"  # in the reason of tests whose Debian packages could not be had


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in CI that has skipped something, but for what root and Debian's packages are needed and denied."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if os.environ.get("CI") and any(MAY_NOT_INSTALL not in str(report.longrepr) for report in skipped):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
