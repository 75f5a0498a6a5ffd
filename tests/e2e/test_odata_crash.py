"""Workers die in the middle of an edit, two processes on one store behind the random proxy (O10)."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import httpx2
import pytest
import sqlalchemy as sa

from e2e.cluster import Cluster, cluster
from e2e.odata_server import locks, metadata, orders
from holdfast.core.sealing import new_key_text
from odata.server.world import Tab
from servers.redis import redis_server

pytestmark = [pytest.mark.servers, pytest.mark.slow]  # each test starts two processes

SERVER = Path(__file__).with_name("odata_server.py")
PATIENCE_S = 90.0
ROWS = ("1", "2", "3")


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with redis_server() as server:
        yield server.url


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'orders.db'}")
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(orders.insert(), [{"ID": number, "Note": "as it was", "Version": 1} for number in ROWS])
    yield engine
    engine.dispose()


@pytest.fixture
async def workers(store: str, database: sa.Engine) -> AsyncIterator[Cluster]:
    env = {**os.environ, "HOLDFAST_KEYS": new_key_text(), "HOLDFAST_LEASE_TTL": "2"}
    path = str(database.url.database)
    with anyio.fail_after(PATIENCE_S):
        async with cluster(lambda port: [sys.executable, str(SERVER), str(port), store, path], env=env) as workers:
            yield workers


@pytest.fixture
async def http(workers: Cluster) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=workers.url, timeout=40.0) as client:
        yield client


def note(database: sa.Engine, number: str) -> str:
    with database.connect() as connection:
        return str(connection.execute(sa.select(orders.c.Note).where(number == orders.c.ID)).scalar_one())


def locked(database: sa.Engine) -> set[str]:
    with database.connect() as connection:
        return {str(one) for one in connection.execute(sa.select(locks.c.ID)).scalars()}


async def test_save_at_the_other_worker_writes_what_was_patched(
    workers: Cluster, http: httpx2.AsyncClient, database: sa.Engine
) -> None:
    # O10
    tab = Tab(http)
    assert (await tab.send("POST", "Orders('1')/Demo.Edit", {})).status_code == 200
    first = tab.id
    assert (await tab.send("PATCH", "Orders('1')", {"Note": "patched"})).status_code == 200
    await workers.kill(workers.served.index(max(workers.served)))  # who has answered last, as likely as not
    assert note(database, "1") == "as it was"
    seen = await tab.send("GET", "Orders('1')")
    assert (seen.status_code, seen.json()["Note"], tab.id) == (200, "patched", first)
    saved = await tab.send("POST", "Orders('1')/Demo.Save", {})
    assert (saved.status_code, saved.json()["Note"], tab.id) == (200, "patched", None)
    assert note(database, "1") == "patched"
    assert locked(database) == set()


async def test_both_workers_die_and_the_edit_goes_on(
    workers: Cluster, http: httpx2.AsyncClient, database: sa.Engine
) -> None:
    # O10
    tab = Tab(http)
    await tab.send("POST", "Orders('1')/Demo.Edit", {})
    await tab.send("PATCH", "Orders('1')", {"Note": "kept"})
    await workers.kill(0)
    await workers.kill(1)
    await workers.start(0)
    assert (await tab.send("POST", "Orders('1')/Demo.Save", {})).status_code == 200
    assert note(database, "1") == "kept"


async def test_a_tab_works_through_kills_at_any_moment(
    workers: Cluster, http: httpx2.AsyncClient, database: sa.Engine
) -> None:
    # O10: whatever was answered is there; what was not is done again
    tab = Tab(http)

    async def until_answered(method: str, path: str, body: object) -> httpx2.Response:
        while True:
            try:
                answer = await tab.send(method, path, body)
            except (httpx2.HTTPError, KeyError):
                continue
            if answer.status_code != 503:
                return answer

    async def killing() -> None:
        for turn in range(6):
            await workers.kill(turn % 2)
            await anyio.sleep(0.1)
            await workers.start(turn % 2)

    assert (await until_answered("POST", "Orders('2')/Demo.Edit", {})).status_code == 200
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(killing)
        for number in range(40):
            answer = await until_answered("PATCH", "Orders('2')", {"Note": str(number)})
            assert (answer.status_code, answer.json()["Note"]) == (200, str(number)), answer.text
            seen = await until_answered("GET", "Orders('2')", None)
            assert seen.json()["Note"] == str(number)
        tasks.cancel_scope.cancel()
    for number in (0, 1):
        await workers.kill(number)
        await workers.start(number)
    assert (await until_answered("POST", "Orders('2')/Demo.Save", {})).status_code == 200
    assert note(database, "2") == "39"


async def test_twenty_parallel_requests_of_one_tab_lose_nothing_at_two_workers(
    workers: Cluster, http: httpx2.AsyncClient
) -> None:
    # O8
    tab = Tab(http)
    await tab.send("POST", "Orders('3')/Demo.Edit", {})
    answered: list[str] = []

    async def one(number: int) -> None:
        answer = await tab.send("PATCH", "Orders('3')", {"Note": str(number)})
        assert answer.status_code == 200
        answered.append(answer.json()["Note"])

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, number)
    assert sorted(map(int, answered)) == list(range(20))
    assert (await tab.send("GET", "Orders('3')")).json()["Note"] in answered


async def test_the_locks_of_a_dead_worker_are_freed_when_its_session_ends(
    workers: Cluster, http: httpx2.AsyncClient, database: sa.Engine
) -> None:
    # O9, §11.9
    tab = Tab(http)
    await tab.send("POST", "Orders('1')/Demo.Edit", {})
    await workers.kill(0)
    assert locked(database) == {"1"}
    assert (await tab.send("POST", "Discard", {})).status_code == 204
    assert locked(database) == set()
    assert note(database, "1") == "as it was"
