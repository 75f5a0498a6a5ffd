"""The client of sticky services against two processes of ours behind the random proxy: killed, cut off, left alone."""

import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest

from e2e.cluster import Cluster, cluster
from holdfast.errors import HoldfastError
from holdfast.odata.client import Loss, StickyClient

SERVER = Path(__file__).with_name("orders_server.py")
EXAMPLE = SERVER.parents[2] / "examples" / "odata_client.py"
PATIENCE_S = 60.0
ONE, TWO = "Orders('1')", "Orders('2')"


class World:
    """The processes, their file, and what clients lost."""

    def __init__(self, workers: Cluster, file: Path) -> None:
        self.workers, self.file, self.losses = workers, file, list[Loss]()

    def client(self, **options: float) -> StickyClient:
        return StickyClient(f"{self.workers.url}/svc", on_loss=self.losses.append, **options)

    def rows(self, statement: str) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(self.file)) as rows:
            return list(rows.execute(statement))

    async def until_unlocked(self) -> None:
        while self.rows("select id from locks"):
            await anyio.sleep(0.1)


@asynccontextmanager
async def world(folder: Path, timeout: int) -> AsyncIterator[World]:
    store, file = f"sqlite:///{folder / 'sessions.db'}", folder / "orders.db"
    with anyio.fail_after(PATIENCE_S):
        command = [store, str(file), str(timeout)]
        async with cluster(lambda port: [sys.executable, str(SERVER), str(port), *command]) as workers:
            yield World(workers, file)


async def persistent(client: StickyClient, path: str, note: str) -> None:
    """Change an order until it is certain to be changed."""
    while True:
        try:
            async with client.edit(path) as order:
                order["Note"] = note
        except HoldfastError:  # such as the lock of an edit whose answer was lost, until that times out
            await anyio.sleep(0.1)
        else:
            return


async def test_workers_killed_between_patch_and_save_lose_nothing(tmp_path: Path) -> None:  # O10, O19
    async with world(tmp_path, timeout=120) as place, place.client() as client:
        first, second = await client.edit(ONE), await client.edit(TWO)
        first["Note"], second["Note"] = "one", "two"
        await first.flush()
        await place.workers.kill(0)
        await second.flush()
        await place.workers.start(0)
        await place.workers.kill(1)
        assert (await client.read(ONE))["Note"] == "one"
        await first.save()
        await second.save()
        assert not client.inside
        assert place.rows("select note from orders order by id") == [("one",), ("two",)]
        assert place.rows("select id from locks") == []
        assert place.losses == []


async def test_a_client_keeps_its_session_alive_far_beyond_its_timeout(tmp_path: Path) -> None:  # O17
    async with world(tmp_path, timeout=2) as place, place.client() as client:
        async with client.edit(ONE) as order:
            order["Note"] = "late"
            await order.flush()
            await anyio.sleep(4.5)
        assert place.rows("select note from orders where id = '1'") == [("late",)]
        assert place.losses == []


async def test_a_client_that_is_gone_leaves_no_lock_behind(tmp_path: Path) -> None:
    async with world(tmp_path, timeout=2) as place:
        await place.client().edit(ONE)  # never entered: nothing keeps it alive
        assert place.rows("select id from locks") == [("1",)]
        await place.until_unlocked()


async def test_edits_go_through_while_connections_break_and_no_lock_stays_behind(tmp_path: Path) -> None:  # O16
    async with world(tmp_path, timeout=3) as place, place.client(timeout=5.0) as client:
        await client.service()
        done = anyio.Event()

        async def cutting() -> None:
            for _ in range(8):
                await anyio.sleep(0.25)
                await place.workers.cut()
            done.set()

        async with anyio.create_task_group() as group:
            group.start_soon(cutting)
            number = 0
            while not done.is_set():
                number += 1
                await persistent(client, ONE, f"note {number}")
                assert place.rows("select note from orders where id = '1'") == [(f"note {number}",)]
        await place.until_unlocked()


async def test_a_worker_that_stops_in_the_middle_hands_the_session_over(tmp_path: Path) -> None:
    async with world(tmp_path, timeout=120) as place, place.client() as client:
        async with client.edit(ONE) as order:
            order["Note"] = "handed over"
            await order.flush()
            await place.workers.stop(0)
        assert place.rows("select note from orders where id = '1'") == [("handed over",)]


@pytest.mark.parametrize("step", ["edit", "save"])
async def test_a_service_that_is_down_is_said_to_be_so_and_can_be_asked_again(tmp_path: Path, step: str) -> None:
    async with world(tmp_path, timeout=120) as place, place.client(timeout=5.0) as client:
        order = await client.edit(ONE) if step == "save" else None
        for number in (0, 1):
            await place.workers.kill(number)
        with pytest.raises(HoldfastError):
            await (order.save() if order else client.edit(ONE))
        for number in (0, 1):
            await place.workers.start(number)
        order = order or await client.edit(ONE)
        order["Note"] = "after all"
        await order.save()
        assert place.rows("select note from orders where id = '1'") == [("after all",)]


async def test_the_example_changes_an_entity_and_says_why_if_it_cannot(tmp_path: Path) -> None:
    async with world(tmp_path, timeout=120) as place:

        async def run(*arguments: str) -> tuple[int, str]:
            command = [sys.executable, str(EXAMPLE), f"{place.workers.url}/svc", *arguments]
            done = await anyio.run_process(command, check=False)
            return done.returncode, (done.stdout + done.stderr).decode()

        code, said = await run(ONE, "Note=by example")
        assert (code, "Orders('1') is saved." in said) == (0, True), said
        assert place.rows("select note from orders where id = '1'") == [("by example",)]
        async with place.client() as client, client.edit(ONE):
            code, said = await run(ONE, "Note=again")
        assert (code, "somebody else edits it" in said) == (1, True), said
        assert await run(TWO, "Nota=x") == (
            1,
            "Nota: None -> 'x'\nDemo.Order has no Nota\nCorrect the argument that the message names.\n",
        )
        assert place.rows("select id from locks") == []
