"""Real processes: the simulator in one, a worker that is killed in another, and this one, which goes on (A3, A5)."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from adt import victim
from holdfast.adt.desk import Caller
from holdfast.adt.embedded import Embedded, open_embedded
from holdfast.errors import LockLostError

ME = Caller("me")
PATIENCE_S = 15


def start(*arguments: str) -> subprocess.Popen[str]:
    tests = str(Path(__file__).parents[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "PYTHONPATH": tests},
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(10)
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture
def system() -> Iterator[str]:
    """A simulated system in a process of its own; its URL."""
    process = start("-m", "holdfast.simulator", "--port", "0")
    try:
        yield line_of(process).split(" listening on ")[1].split()[0]
    finally:
        end(process)


class Admin:
    """The administrator's view of the system."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def rows(self, view: str) -> Any:
        return (await self._client.get(f"/_sim/{view}")).json()

    async def fault(self, **rule: Any) -> None:
        await self._client.post("/_sim/faults", json=rule)

    async def until(self, view: str, count: int) -> None:
        """Wait until a view has this many rows."""
        with anyio.fail_after(PATIENCE_S):
            while len(await self.rows(view)) != count:
                await anyio.sleep(0.05)


@pytest.fixture
async def admin(system: str) -> AsyncIterator[Admin]:
    async with httpx2.AsyncClient(base_url=system) as client:
        yield Admin(client)


async def killed(store: Path, system: str, stage: str, admin: Admin, hold_limit: float = 900.0) -> dict[str, str]:
    """Run a worker up to a stage and kill it with SIGKILL; return what its agent had been told."""
    if stage == "writing":
        await admin.fault(effect="delay", method="PUT", seconds=1)
    process = start(str(Path(victim.__file__)), str(store), system, stage, str(hold_limit))
    try:
        told: dict[str, str] = json.loads(await anyio.to_thread.run_sync(line_of, process))
        if stage == "writing":
            with anyio.fail_after(PATIENCE_S):
                while (await admin.rows("faults")) != []:  # the PUT has arrived and is being worked on
                    await anyio.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        end(process)
    return told


def worker(store: Path, system: str, hold_limit: float = 900.0) -> Any:
    return open_embedded(victim.settings(str(store), system, hold_limit))


async def finish(opened: Embedded, told: dict[str, str], text: str) -> None:
    """Go on where the killed worker's agent was."""
    abap = opened.abap
    answer = await abap.update(ME, "class", victim.NAME, text, **told)
    assert answer["outcome"] == "applied"
    assert (await abap.unlock(ME, "class", victim.NAME, **told))["success"]
    active = await abap.activate(ME, "class", victim.NAME, session_id=told["session_id"])
    assert active["success"], active


@pytest.mark.parametrize("stage", ["locked", "writing"])
async def test_after_sigkill_another_process_goes_on_with_the_same_session_and_handle(
    stage: str, system: str, admin: Admin, tmp_path: Path
) -> None:
    # A5
    told = await killed(tmp_path / "holdfast.db", system, stage, admin)
    assert len(await admin.rows("sm12")) == 1
    async with worker(tmp_path / "holdfast.db", system) as opened:
        with anyio.fail_after(PATIENCE_S):
            await finish(opened, told, victim.TEXT)
        await admin.until("sm04", 0)
        await admin.until("sm12", 0)
        read = await opened.abap.read(ME, "class", victim.NAME, version="active", session_id=told["session_id"])
        assert "nonce killed" in read["source_code"]
        assert (await admin.rows("counters"))["puts_by_nonce"] == {"killed": 1}


@pytest.mark.parametrize("stage", ["locked", "writing"])
async def test_after_sigkill_without_use_the_lock_goes_at_the_hold_limit(
    stage: str, system: str, admin: Admin, tmp_path: Path
) -> None:
    # A3, A5
    told = await killed(tmp_path / "holdfast.db", system, stage, admin, hold_limit=2.0)
    async with worker(tmp_path / "holdfast.db", system, hold_limit=2.0) as opened:
        await admin.until("sm12", 0)
        await admin.until("sm04", 0)
        with pytest.raises(LockLostError):
            await opened.abap.update(ME, "class", victim.NAME, victim.TEXT, **told)


async def test_a_connection_that_is_really_cut_is_found_out(system: str, admin: Admin, tmp_path: Path) -> None:
    # A6, over TCP
    async with worker(tmp_path / "holdfast.db", system) as opened:
        abap = opened.abap
        session_id = (await abap.get_session(ME))["session_id"]
        await abap.create(ME, "class", victim.NAME, session_id=session_id)
        await admin.fault(effect="cut_after", action="LOCK")
        handle = (await abap.lock(ME, "class", victim.NAME, session_id=session_id))["lock_handle"]
        await admin.fault(effect="cut_after", method="PUT")
        told = {"session_id": session_id, "lock_handle": handle}
        await finish(opened, told, victim.TEXT)
        await admin.until("sm04", 0)
        assert (await admin.rows("counters"))["puts_by_nonce"] == {"killed": 1}
        await abap.close_session(ME, session_id)
        await admin.until("sm05", 0)


async def test_a_wrong_url_is_said_with_what_to_do(tmp_path: Path) -> None:
    async with worker(tmp_path / "holdfast.db", "http://127.0.0.1:9") as opened:
        with pytest.raises(Exception, match="cannot be reached") as error:
            await opened.abap.get_session(ME)
        assert getattr(error.value, "code", "") == "backend_unavailable"


@pytest.mark.parametrize("strict", ["false", "true"])
async def test_the_complete_example_runs_as_a_program_against_a_configured_system(
    strict: str, system: str, admin: Admin, tmp_path: Path
) -> None:
    # A12: it ends without exception, nothing locked, in strict too, and can run twice
    example = (Path(__file__).parent / "complete_example.txt").read_text()
    program = f"from holdfast.adt.handlers import *\n{example}\nprint(activate_result['messages'])"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")},
        "HOLDFAST_SAP_URL": system,
        "HOLDFAST_SAP_USER": "DEVELOPER",
        "HOLDFAST_SAP_PASSWORD": "Holdfast1",
        "HOLDFAST_STORE": f"sqlite:///{tmp_path / 'program.db'}",
        "HOLDFAST_STRICT": strict,
    }
    for _ in range(2):
        done = await anyio.run_process(
            [sys.executable, "-W", "error", "-c", program], env=environment, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"error" in done.stdout
        assert done.stderr == b""
        assert (await admin.rows("sm04"), await admin.rows("sm12"), await admin.rows("sm05")) == ([], [], [])
