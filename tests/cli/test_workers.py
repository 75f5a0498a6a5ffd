"""The process that keeps workers running: when it replaces them, gives up, and loses patience."""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from typer.testing import CliRunner

from holdfast.cli import command_line, workers
from holdfast.cli.workers import Workers

PATIENCE_S = 15.0


def workers_of(script: str, *, count: int = 2, patience: float = PATIENCE_S) -> Workers:
    """Workers that run a shell script."""
    return Workers(["/bin/sh", "-c", script], dict(os.environ), socket_fd=2, count=count, patience=patience)


async def run(kept: Workers, ready: Callable[[], None]) -> int:
    with anyio.fail_after(PATIENCE_S):
        return await kept.run(ready)


def told_to_stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


async def test_all_workers_serve_before_that_is_said_and_sigterm_ends_them(tmp_path: Path) -> None:  # M18
    started = f"echo $$ >>{tmp_path}/started; echo up; read wait"
    assert await run(workers_of(f"trap 'exit 0' TERM; {started}", count=3), told_to_stop) == 0
    assert len((tmp_path / "started").read_text().split()) == 3


async def test_a_worker_that_cannot_start_is_the_only_one_that_tries() -> None:
    said: list[str] = []
    assert await run(workers_of("exit 3"), lambda: said.append("ready")) == 3
    assert said == []


async def test_a_worker_that_dies_is_replaced_later_and_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "SHORTEST_PAUSE_S", 0.01)
    script = (
        f"echo $$ >>{tmp_path}/started; echo up; "
        f"if [ $(wc -l <{tmp_path}/started) -lt 4 ]; then exit 1; fi; kill -TERM $PPID; read wait"
    )
    assert await run(workers_of(script, count=1), lambda: None) == 0
    assert len((tmp_path / "started").read_text().split()) == 4
    assert [record.getMessage().rpartition(" in ")[2] for record in caplog.records] == ["0.02 s", "0.04 s", "0.08 s"]


async def test_a_worker_for_which_the_machine_has_no_room_is_tried_again_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "SHORTEST_PAUSE_S", 0.01)
    script = (
        f"echo $$ >>{tmp_path}/started; echo up; trap 'exit 0' TERM; "
        f"case $(wc -l <{tmp_path}/started) in 2) exit 1;; 3) kill -TERM $PPID;; esac; read wait"
    )
    opened, open_process = [], anyio.open_process

    async def no_third(*args: Any, **more: Any) -> Process:
        opened.append(args)
        if len(opened) == 3:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return await open_process(*args, **more)

    monkeypatch.setattr(anyio, "open_process", no_third)
    assert await run(workers_of(script), lambda: None) == 0
    assert len((tmp_path / "started").read_text().split()) == 3
    assert "a worker could not be started (Cannot allocate memory)" in caplog.text


async def test_a_worker_that_does_not_end_is_killed_and_the_exit_code_tells() -> None:
    stubborn = "trap '' TERM; echo up; while read wait; do :; done; while :; do sleep 1; done"
    assert await run(workers_of(stubborn, patience=0.2), told_to_stop) == 1


async def test_told_to_stop_while_a_worker_starts_it_ends_without_having_served() -> None:
    said: list[str] = []
    kept = workers_of(f"kill -TERM {os.getpid()}; read wait")
    assert await run(kept, lambda: said.append("ready")) == 0
    assert said == []


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "a simulated system in memory are refused"),
        ({"HOLDFAST_SAP_URL": "http://sap", "HOLDFAST_STORE": "memory://"}, "a store in memory are refused"),
    ],
)
def test_several_workers_whose_memory_would_differ_are_refused(
    environment: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # E22
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ran = CliRunner().invoke(command_line(), ["serve", "--workers", "2"])
    assert (ran.exit_code, words in ran.stderr) == (2, True)
