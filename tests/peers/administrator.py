"""An administrator at a terminal: `holdfast logons` as a process of its own, against a site that runs."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio

ADMIN_TOKEN = "administrators-have-this-token-0123456789"
PATIENCE_S = 60.0


async def logons(folder: Path, *arguments: str, server: str = "", **env: str) -> Any:
    """Run a command that answers in JSON, over the API of a site or, without one, on the store that `env` names."""
    there = ["--server", server] if server else []
    command = [sys.executable, "-m", "holdfast", "logons", *arguments, "--json", *there]
    homes = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOLDFAST_ADMIN_TOKEN": ADMIN_TOKEN}
    with anyio.fail_after(PATIENCE_S):
        ran = await anyio.run_process(command, env={**os.environ, **homes, **env}, cwd=folder, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    lines = [json.loads(line) for line in ran.stdout.decode().splitlines()]
    return lines if arguments[0] == "list" else lines[0]
