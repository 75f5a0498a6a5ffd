"""Sessions of flows over several workers, restarts, kills and undeployment, on stores that processes share (F13)."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process

from e2e.flows_world import Receiver, flow, running_receiver, until
from holdfast.core.sealing import new_key_text
from stores.stores import Servers, fresh, params

TESTS = Path(__file__).parent.parent
KEYS = new_key_text()
MESSAGES = 8


@pytest.fixture(scope="module")
def process() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def erp(process: Receiver) -> Receiver:
    process.tell("reset")
    return process


@pytest.fixture(params=params("sqlite", "redis"))
def url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Any:
    """A store; of a Redis server one that is empty."""
    store = fresh(request.param, servers, tmp_path).url
    if request.param == "redis":
        from redis import Redis

        with closing(Redis.from_url(store)) as redis:
            redis.flushdb()
    return store


@asynccontextmanager
async def worker(store: str, erp: Receiver, reuse: str, *more: str) -> AsyncIterator[Process]:
    """Start a worker; it is killed at the end of the block."""
    command = [sys.executable, "-m", "e2e.flows_worker", store, KEYS, erp.url, reuse, str(MESSAGES), *more]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    process = await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True), anyio.fail_after(10):
            await process.aclose()


async def line_of(process: Process) -> list[int]:
    """Return the first line that a worker prints."""
    assert process.stdout is not None
    text = b""
    with anyio.fail_after(40):
        while b"\n" not in text:
            text += await process.stdout.receive()
    return list(json.loads(text.partition(b"\n")[0]))


async def test_f13_two_workers_in_parallel_share_one_session_and_a_restart_keeps_it(erp: Receiver, url: str) -> None:
    # statement 4
    async with (
        worker(url, erp, "on_integration_flow") as one,
        worker(url, erp, "on_integration_flow") as two,
    ):
        assert await line_of(one) == await line_of(two) == [0]
    async with worker(url, erp, "on_integration_flow") as later:
        assert await line_of(later) == [0]
    assert (erp.authentications, erp.sessions) == (1, 1)
    assert len(erp.cookies) == 3 * 2 * MESSAGES


async def test_f13_undeploying_logs_off_and_the_next_deployment_begins_anew(erp: Receiver, url: str) -> None:
    async with worker(url, erp, "on_integration_flow") as one:
        assert await line_of(one) == [0]
    async with flow("on_integration_flow", erp.url, url, keys=KEYS) as orders:
        assert await orders.deployment.undeploy()
        await until(lambda: erp.tell()["ended"] == 1)
        assert not await orders.deployment.undeploy()
        await orders.get("/whole/a")
    assert erp.sessions == 2


async def test_the_end_of_a_message_logs_its_session_off(erp: Receiver, url: str) -> None:
    # F1
    async with worker(url, erp, "on_exchange") as one:
        assert await line_of(one) == [*range(MESSAGES)]
    async with flow("on_exchange", erp.url, url, keys=KEYS):  # what the worker has left, any other does
        await until(lambda: erp.tell()["ended"] == MESSAGES)


async def test_sessions_of_messages_are_logged_off_when_their_worker_was_killed(erp: Receiver, url: str) -> None:
    async with worker(url, erp, "on_exchange", "hang") as one:
        await line_of(one)
        await until(lambda: erp.sessions == MESSAGES)
    assert erp.tell()["ended"] == 0
    async with flow("on_exchange", erp.url, url, keys=KEYS, clock=lambda: time.time() + 60):
        await until(lambda: erp.tell()["ended"] >= MESSAGES - 1)  # the answer to one may not have been written any more


async def test_nothing_in_the_store_shows_a_cookie(erp: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "flows.db"
    async with worker(f"sqlite:///{file}", erp, "on_integration_flow") as one:
        await line_of(one)
    [value] = erp.tell()["values"]
    with closing(sqlite3.connect(file)) as database:
        dump = "\n".join(database.iterdump())
    assert "flow" in dump
    for form in (value, value.encode().hex(), value.encode().hex().upper()):
        assert form not in dump
