"""Sessions of flows over several workers, restarts, kills and undeployment, on stores that processes share (F13)."""

import json
import sqlite3
import time
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from e2e.flows_world import Receiver, first_line, flow, module_process, until
from holdfast.core.sealing import new_key_text
from holdfast.errors import SessionEnded
from holdfast.flows.sessions.turns import TURN_S

KEYS = new_key_text()
MESSAGES = 8


def worker(store: str, erp: Receiver, reuse: str, *more: str) -> AbstractAsyncContextManager[Process]:
    """Start a worker; it is killed at the end of the block."""
    return module_process("e2e.flows_worker", store, KEYS, erp.url, reuse, str(MESSAGES), *more)


async def line_of(process: Process) -> list[int]:
    """Return the first line that a worker prints."""
    return list(json.loads(await first_line(process)))


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
        with pytest.raises(SessionEnded, match="was undeployed"):
            await orders.get("/whole/a")
        async with flow("on_integration_flow", erp.url, url, keys=KEYS) as anew:
            await anew.get("/whole/a")
    assert erp.sessions == 2


async def test_f13_a_worker_that_still_runs_an_undeployed_flow_opens_no_session(erp: Receiver, url: str) -> None:
    async with (
        flow("on_integration_flow", erp.url, url, keys=KEYS) as here,
        flow("on_integration_flow", erp.url, url, keys=KEYS) as idle,
        flow("on_integration_flow", erp.url, url, keys=KEYS) as there,
    ):
        await idle.deployment.deploy()  # has made no call yet
        for orders in (here, there):
            await orders.get("/whole/a", log_off=f"{erp.url}/logoff")
        assert await there.deployment.undeploy()
        await until(lambda: erp.tell()["ended"] == 1)
        for orders in (here, idle, there):
            with pytest.raises(SessionEnded, match="was undeployed"):
                await orders.get("/whole/b", log_off=f"{erp.url}/logoff")
            assert erp.sessions == 1
        await there.deployment.deploy()
        await there.get("/whole/c", log_off=f"{erp.url}/logoff")
    assert (erp.sessions, erp.authentications) == (2, 2)


async def test_a_worker_that_has_not_yet_heard_of_another_session_goes_on_in_it(erp: Receiver, url: str) -> None:
    # F7: what a worker remembers for a second is the session that another has found gone
    async with (
        flow("on_integration_flow", erp.url, url, keys=KEYS) as here,
        flow("on_integration_flow", erp.url, url, keys=KEYS) as there,
    ):
        for orders in (here, there):
            await orders.get("/whole/a")
        erp.idle_out()
        assert [(await orders.get("/whole/b"))["session"] for orders in (here, there)] == [1, 1]
    assert (erp.sessions, erp.authentications) == (2, 2)


async def test_logons_of_two_workers_at_two_receivers_do_not_wait_for_each_other(erp: Receiver, url: str) -> None:
    async with (
        flow("on_integration_flow", erp.url, url, keys=KEYS) as here,
        flow("on_integration_flow", erp.url, url, keys=KEYS) as there,
    ):
        one, other = here.deployment.node("erp:1"), there.deployment.node("erp:2")
        same, held, waited = there.deployment.node("erp:1"), anyio.Event(), []

        async def wait() -> None:
            async with same.turn("erp:1"):
                waited.append(held.is_set())

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks, one.turn("erp:1"):
                tasks.start_soon(wait)
                async with other.turn("erp:2"):
                    pass
                await anyio.wait_all_tasks_blocked()
                held.set()
    assert waited == [True]


async def test_a_worker_that_was_killed_while_it_logged_on_keeps_others_waiting_for_a_while_only(
    erp: Receiver, url: str
) -> None:
    async with (
        flow("on_integration_flow", erp.url, url, keys=KEYS) as killed,
        flow("on_integration_flow", erp.url, url, keys=KEYS, clock=lambda: time.time() + TURN_S + 1) as later,
        killed.deployment.node("erp:1").turn("erp:1"),
    ):
        with anyio.fail_after(10):
            async with later.deployment.node("erp:1").turn("erp:1"):
                pass


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
