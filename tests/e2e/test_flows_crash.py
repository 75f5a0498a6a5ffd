"""A worker is killed in the middle of messages: they are in the log as failed, with what was done, and can be resent.

The clock of whoever finds them is a minute ahead, so that nobody waits until a worker counts as gone.
"""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.abc import Process

from e2e.cluster import cluster
from e2e.flows_crash_worker import blocks
from e2e.flows_world import Receiver, until
from e2e.test_flows_serve import KNOWN, TAKEN, at, command, paths, prepared
from holdfast.core.sealing import new_key_text
from holdfast.engine import open_engine
from holdfast.errors import Busy
from holdfast.flows import flow_kinds
from holdfast.flows.monitoring import Entry, MessageLog, running
from holdfast.flows.runtime import DeployedFlow

TESTS = Path(__file__).parent.parent
KEYS = new_key_text()


def later() -> float:
    return time.time() + 60


@asynccontextmanager
async def worker(store: str, erp: Receiver, reuse: str, ids: str) -> AsyncIterator[Process]:
    """Start a worker; it is killed at the end of the block."""
    started = [sys.executable, "-m", "e2e.flows_crash_worker", store, KEYS, erp.url, reuse, ids]
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "HELD": "held"}
    process = await anyio.open_process(started, stdin=subprocess.DEVNULL, stderr=None, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()  # SIGKILL: nothing of it runs any more
        with anyio.CancelScope(shield=True), anyio.fail_after(10):
            await process.aclose()


async def at_work(store: str, count: int) -> list[Entry]:
    """Return the messages that are under way, once so many have their third block and nothing else is."""
    async with open_engine(store, kinds=flow_kinds(), keys=KEYS, keeper=False) as engine:
        with anyio.fail_after(40):
            while True:
                found = await running(engine.manager, "blocks")
                if len(found) == count and all(calls(entry) == 3 for entry in found):
                    return found
                await anyio.sleep(0.05)


def calls(entry: Entry) -> int:
    return [(line.kind, line.outcome) for line in entry.last.lines].count(("call", "done"))


async def found(flow: DeployedFlow, count: int, outcome: str) -> list[Entry]:
    with anyio.fail_after(40):
        while len(entries := (await flow.log.list("blocks", outcome)).entries) < count:
            await anyio.sleep(0.05)
    return entries


async def test_a_message_whose_worker_was_killed_is_in_the_log_is_logged_off_and_can_be_sent_again(
    erp: Receiver, url: str
) -> None:
    # F17
    async with worker(url, erp, "on_exchange", "held-1"):
        [under_way] = await at_work(url, 1)
        assert under_way.outcome == "running"
    assert erp.tell()["ended"] == 0
    async with blocks(url, KEYS, erp.url, "on_exchange", later) as flow:
        [entry] = await found(flow, 1, "failed")
        assert entry.error is not None
        assert (entry.id, entry.error.code, entry.file) == ("held-1", "worker_died", "blocks.yaml")
        assert [line.place for line in entry.last.lines if line.kind == "call"] == ["blocks.yaml:15"] * 3
        assert entry.message().body == {"order": "held-1"}
        await until(lambda: erp.tell()["ended"] == 1)

        answer = await flow.resend("held-1")
        assert answer is not None
        assert (answer.id, answer.properties["blocks"]) == ("held-1", [1, 2, 3, 4, 5])
        [again] = await found(flow, 1, "done")
        assert [run.outcome for run in again.runs] == ["failed", "done"]
        await until(lambda: erp.tell()["ended"] == 2)
        assert (await flow.log.list("blocks", "failed")).entries == []
    assert (erp.authentications, erp.sessions) == (2, 2)


async def test_of_many_messages_at_a_killed_worker_those_that_had_ended_are_not_taken_for_failed(
    erp: Receiver, url: str
) -> None:
    # F17, statement 4
    fast, held = [f"fast-{number}" for number in range(6)], [f"held-{number}" for number in range(6)]
    async with worker(url, erp, "on_integration_flow", ",".join([*fast, *held])):
        await at_work(url, len(held))
    async with blocks(url, KEYS, erp.url, "on_integration_flow", later) as flow:
        assert sorted(entry.id for entry in await found(flow, len(held), "failed")) == held
        assert sorted(entry.id for entry in await found(flow, len(fast), "done")) == fast
    assert erp.sessions == 1


async def test_a_message_sent_again_at_two_workers_at_once_is_processed_once(erp: Receiver, url: str) -> None:
    # F17
    async with worker(url, erp, "on_exchange", "held-1"):
        await at_work(url, 1)
    outcomes: list[str] = []

    async def again(flow: DeployedFlow) -> None:
        try:
            await flow.resend("held-1")
        except Busy:
            outcomes.append("busy")
        else:
            outcomes.append("done")

    async with (
        blocks(url, KEYS, erp.url, "on_exchange", later) as one,
        blocks(url, KEYS, erp.url, "on_exchange", later) as two,
    ):
        await found(one, 1, "failed")
        before = len(erp.cookies)
        async with anyio.create_task_group() as tasks:
            for flow in (one, two):
                tasks.start_soon(again, flow)
        assert sorted(outcomes) == ["busy", "done"]
        assert len([path for path in erp.tell()["requests"][before:] if path["path"] == "/blocks"]) == 5


async def test_a_worker_killed_while_it_sends_again_leaves_the_message_as_failed(erp: Receiver, url: str) -> None:
    # F17
    async with worker(url, erp, "on_exchange", "held-1"):
        await at_work(url, 1)
    async with blocks(url, KEYS, erp.url, "on_exchange", later) as flow:
        await found(flow, 1, "failed")
    async with worker(url, erp, "on_exchange", "again:held-1"):
        await at_work(url, 1)
    async with blocks(url, KEYS, erp.url, "on_exchange", later) as flow:
        with anyio.fail_after(40):
            while (entry := await flow.log.get("held-1", "blocks")).outcome != "failed":
                await anyio.sleep(0.05)
        assert [run.error and run.error.code for run in entry.runs] == ["worker_died"] * 2
        assert len({run.worker for run in entry.runs}) == 2
        assert await flow.resend("held-1") is not None
        await until(lambda: erp.tell()["ended"] == 3)


@pytest.mark.slow
async def test_by_the_clock_on_the_wall_half_a_minute_passes_until_a_killed_workers_message_is_found(
    erp: Receiver, tmp_path: Path
) -> None:
    # F17
    store = f"sqlite:///{tmp_path}/flows.db"
    async with blocks(store, KEYS, erp.url, "on_exchange") as flow:
        async with worker(store, erp, "on_exchange", "held-1"):
            await at_work(store, 1)
        killed_at = time.monotonic()
        await found(flow, 1, "failed")
        await until(lambda: erp.tell()["ended"] == 1)
        assert 20 < time.monotonic() - killed_at < 40


@pytest.mark.slow
async def test_what_a_killed_server_was_at_is_found_by_another_and_sent_again_from_the_command_line(
    erp: Receiver, tmp_path: Path
) -> None:
    # F17
    env = prepared(tmp_path, erp, {"taken.yaml": TAKEN})

    async def holdfast(*arguments: str) -> str:
        with anyio.fail_after(60):
            done = await anyio.run_process([sys.executable, "-m", "holdfast", "flow", *arguments], env=env)
        return done.stdout.decode()

    async with cluster(command, count=2, env=env) as workers, httpx2.AsyncClient() as client:
        headers = {**KNOWN, "x-seconds": "6", "x-order": "7"}
        answer = await client.post(at(workers, 0, "/flows/taken"), headers=headers)
        name = answer.headers["holdfast-message"]
        await until(lambda: paths(erp, "begun") == ["taken"])
        assert name in await holdfast("log", "--outcome", "running")
        await workers.kill(0)
        store, keys = env["HOLDFAST_STORE"], env["HOLDFAST_KEYS"]
        async with open_engine(store, kinds=flow_kinds(), keys=keys, keeper=False) as engine:
            log = MessageLog(engine.manager)
            with anyio.fail_after(45):
                while not (failed := (await log.list("taken", "failed")).entries):
                    await anyio.sleep(0.1)
        assert [(entry.id, entry.error and entry.error.code) for entry in failed] == [(name, "worker_died")]
        assert failed[0].message().headers["x-order"] == "7"
        assert paths(erp, "done") == []
        assert '"user": "anna"' in await holdfast("resend", name)
    assert (paths(erp, "begun"), paths(erp, "done")) == (["taken"] * 2, ["taken"])
    assert f"{name} of flow taken" in (shown := await holdfast("log", name))
    assert ": done\nrun 1: failed" in shown
