"""Run parts of the checks, each with a time budget: printed at the end, and failing at double.

python scripts/parts.py lint unit stores adt-peers mcp-peers logon-peers odata-peers flow-peers e2e attacks chaos docs

Of thousands of tests, with processes that are killed and machines of any speed below them, a few may fail by chance.
Up to `MOST_UNSTABLE` of a command run once more, alone; the part passes if they do, and the end names each of them: an
unstable test is a fault to be found, not one that nobody sees.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTEST = ["pytest", "-q", "-rsfE", "--tb=short"]  # skipped and failed ones are listed with their reasons
TWO = ["-n", "2", "--dist", "loadfile"]  # two at once, each file in one of them

DECIDING = [  # what is decided in pure code: the core, choreographies, what becomes of cookies and sessions
    "holdfast.core",
    *(f"holdfast.backend.{module}" for module in ("cookies", "jar", "keepalive", "locks", "signs")),
    "holdfast.odata.choreography",
    *(f"holdfast.flows.sessions.{module}" for module in ("cookies", "kept", "scopes")),
]
DECIDING_TESTS = [
    "tests/core",
    "tests/stores/test_memory.py",
    "tests/backend",
    "tests/odata/test_choreography.py",
    "tests/flows/sessions",
]
COVERED = ["--cov-branch", "--cov-report=term-missing:skip-covered", "--cov-fail-under=100"]

CACHE = ROOT / ".pytest_cache" / "parts"
TESTS_FAILED = 1  # what pytest exits with, unlike for errors of its own
MOST_UNSTABLE = 5

APART = ["tests/stores", "tests/peers", "tests/e2e", "tests/attacks", "tests/docs"]  # parts of their own


class Part(NamedTuple):
    """Commands that run one after the other, and the minutes they may take together."""

    minutes: float
    commands: list[list[str]]


PARTS = {
    "lint": Part(2, [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"], ["lint-imports"]]),
    "unit": Part(
        12,
        [
            [*PYTEST, *DECIDING_TESTS, *(f"--cov={each}" for each in DECIDING), *COVERED],
            [*PYTEST, "-n", "2", *(f"--ignore={path}" for path in [*APART, *DECIDING_TESTS]), "tests"],
        ],
    ),
    "stores": Part(5, [[*PYTEST, *TWO, "tests/stores"]]),
    "adt-peers": Part(3, [[*PYTEST, "tests/peers/adt"]]),
    "mcp-peers": Part(5, [[*PYTEST, *TWO, "tests/peers/mcp"]]),
    "logon-peers": Part(4, [[*PYTEST, *TWO, "tests/peers/oidc", "tests/peers/saml"]]),
    "odata-peers": Part(4, [[*PYTEST, *TWO, "tests/peers/odata"]]),
    "flow-peers": Part(4, [[*PYTEST, *TWO, "tests/peers/flows"]]),
    "e2e": Part(20, [[*PYTEST, *TWO, "--ignore=tests/e2e/test_chaos.py", "tests/e2e"]]),
    "attacks": Part(10, [[*PYTEST, *TWO, "tests/attacks"]]),
    "chaos": Part(4, [[*PYTEST, "tests/e2e/test_chaos.py"]]),
    "docs": Part(2, [[*PYTEST, "tests/docs"]]),
}


class Outcome(NamedTuple):
    """Whether a part passed, in how many seconds, and the tests that did only when they ran alone."""

    ok: bool
    seconds: float
    unstable: list[str]


def run(part: Part) -> Outcome:
    """Run a part's commands until one fails."""
    began, unstable = time.monotonic(), []
    for command in part.commands:
        code, failed = _run(command)
        if code == TESTS_FAILED and 0 < len(failed) <= MOST_UNSTABLE:
            print("== once more, alone:", *failed, flush=True)
            code, _ = _run([*PYTEST, *failed])
            unstable += failed
        if code != 0:
            return Outcome(False, time.monotonic() - began, unstable)
    return Outcome(True, time.monotonic() - began, unstable)


def _run(command: list[str]) -> tuple[int, list[str]]:
    """Run a command; return its exit code and, if it is pytest, the tests that failed."""
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    shutil.rmtree(CACHE, ignore_errors=True)
    cached = ["-o", f"cache_dir={CACHE}"] if command[0] == "pytest" else []
    code = subprocess.run([*command, *cached], cwd=ROOT, env=env, check=False).returncode
    last = CACHE / "v" / "cache" / "lastfailed"
    return code, list(json.loads(last.read_text())) if last.exists() else []


def main(names: list[str]) -> int:
    """Run the named parts; the exit code is 1 if one failed or took more than double its budget."""
    rows, failed = [], False
    for name in names:
        print(f"== {name}", flush=True)
        outcome = run(PARTS[name])
        budget = PARTS[name].minutes * 60
        late = outcome.seconds > 2 * budget
        failed |= late or not outcome.ok
        said = "FAILED" if not outcome.ok else "TOO SLOW" if late else "ok"
        rows.append(f"{name:11} {outcome.seconds:6.0f} s of {budget:4.0f} s  {said}")
        rows += [f"{'':11} unstable: {test}" for test in outcome.unstable]
    print("\n== time budgets", *rows, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
