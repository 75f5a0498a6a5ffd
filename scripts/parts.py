"""Run parts of the checks, each with a time budget: printed at the end, and failing at double.

python scripts/parts.py lint unit stores adt-peers mcp-peers logon-peers odata-peers e2e attacks chaos docs
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTEST = ["pytest", "-q", "-rs"]  # skipped tests are listed with their reasons
TWO = ["-n", "2", "--dist", "loadfile"]  # two at once, each file in one of them
COVERED = ["--cov=holdfast.core", "--cov-branch", "--cov-report=term-missing:skip-covered", "--cov-fail-under=100"]


APART = ["core", "stores", "peers", "e2e", "attacks", "docs"]  # parts of their own


class Part(NamedTuple):
    """Commands that run one after the other, and the minutes they may take together."""

    minutes: float
    commands: list[list[str]]


PARTS = {
    "lint": Part(2, [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"], ["lint-imports"]]),
    "unit": Part(
        8,
        [
            [*PYTEST, "tests/core", "tests/stores/test_memory.py", *COVERED],
            [*PYTEST, "-n", "2", *(f"--ignore=tests/{folder}" for folder in APART), "tests"],
        ],
    ),
    "stores": Part(5, [[*PYTEST, *TWO, "tests/stores"]]),
    "adt-peers": Part(3, [[*PYTEST, "tests/peers/adt"]]),
    "mcp-peers": Part(5, [[*PYTEST, *TWO, "tests/peers/mcp"]]),
    "logon-peers": Part(4, [[*PYTEST, *TWO, "tests/peers/oidc", "tests/peers/saml"]]),
    "odata-peers": Part(4, [[*PYTEST, *TWO, "tests/peers/odata"]]),
    "e2e": Part(15, [[*PYTEST, *TWO, "--ignore=tests/e2e/test_chaos.py", "tests/e2e"]]),
    "attacks": Part(10, [[*PYTEST, *TWO, "tests/attacks"]]),
    "chaos": Part(4, [[*PYTEST, "tests/e2e/test_chaos.py"]]),
    "docs": Part(2, [[*PYTEST, "tests/docs"]]),
}


def run(part: Part) -> tuple[bool, float]:
    """Run a part's commands until one fails; return whether all passed and how many seconds they took."""
    began = time.monotonic()
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    ok = all(subprocess.run(command, cwd=ROOT, env=env, check=False).returncode == 0 for command in part.commands)
    return ok, time.monotonic() - began


def main(names: list[str]) -> int:
    """Run the named parts; the exit code is 1 if one failed or took more than double its budget."""
    rows, failed = [], False
    for name in names:
        print(f"== {name}", flush=True)
        ok, seconds = run(PARTS[name])
        budget = PARTS[name].minutes * 60
        late = seconds > 2 * budget
        failed |= late or not ok
        rows.append(
            f"{name:10} {seconds:6.0f} s of {budget:4.0f} s  {'FAILED' if not ok else 'TOO SLOW' if late else 'ok'}"
        )
    print("\n== time budgets", *rows, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
