"""One session at two processes at once: nothing lost, a frozen worker beaten, a store that goes away (O6, O8, O10)."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import httpx2
import pytest

from e2e.cluster import Cluster, cluster
from e2e.odata_tab import ONE, Tab
from e2e.pair import Pair
from holdfast.core.sealing import new_key_text
from servers.redis import RedisServer, redis_server

pytestmark = [pytest.mark.servers, pytest.mark.slow]  # each test starts two processes

SERVER = Path(__file__).with_name("odata_staff_server.py")
PATIENCE_S = 90.0
LEASE_S = 2.0
IN_TIME_S = 2.0 + 3.0  # store_timeout, and what a busy machine takes


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
async def workers(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Cluster]:
    env = {**os.environ, "HOLDFAST_KEYS": new_key_text(), "HOLDFAST_LEASE_TTL": str(LEASE_S)}
    command = [sys.executable, str(SERVER)]
    with anyio.fail_after(PATIENCE_S):
        async with cluster(
            lambda port: [*command, str(port), redis.url, str(tmp_path / "orders.db")], env=env
        ) as workers:
            yield workers


@pytest.fixture
async def ada(workers: Cluster, redis: RedisServer) -> Tab:
    """Somebody who edits the first order."""
    tab = Tab(Pair(workers.ports, redis.url), "ada")
    await tab.begin(ONE, "begun")
    return tab


async def test_of_twenty_changes_at_both_processes_none_is_lost(ada: Tab) -> None:
    # O8: each change sees all before it, and its answer tells them in their order
    logs: list[list[str]] = []

    async def change(number: int) -> None:
        answer = await ada.send("PATCH", ONE, {"Note": str(number)}, at=number)
        assert answer.status_code == 200, answer.text
        logs.append(answer.json()["Log"])

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(change, number)
    whole = max(logs, key=len)
    assert (whole[0], sorted(whole[1:], key=int)) == ("begun", [str(number) for number in range(20)])
    assert sorted(logs, key=len) == [whole[: length + 2] for length in range(20)]
    saved = await ada.send("POST", f"{ONE}/Demo.Save", {})
    assert (saved.status_code, saved.json()["Log"]) == (200, whole)


async def test_a_discard_at_the_other_process_ends_what_comes_after_it(ada: Tab) -> None:
    # O3, O8
    answers: list[httpx2.Response] = []

    async def change(number: int) -> None:
        answers.append(await ada.send("PATCH", ONE, {"Note": str(number)}, at=number))

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(change, number)
        discarded = await ada.send("POST", "Discard", None, at=1)
    assert (discarded.status_code, "sap-contextid" in discarded.headers) == (204, False)
    lost = [answer for answer in answers if answer.headers.get("sap-err-id") == "ICMENOSESSION"]
    assert {answer.status_code for answer in lost} <= {400}
    assert {answer.status_code for answer in answers if answer not in lost} <= {200}
    for at in (0, 1):
        outside = await Tab(ada.pair, "ada").send("GET", ONE, at=at)
        assert (outside.json()["Note"], outside.json()["Log"]) == ("note 1", [])
    assert (await Tab(ada.pair, "ada").send("GET", ONE)).status_code == 200


async def test_a_worker_that_froze_in_a_change_writes_nothing_when_it_thaws(
    ada: Tab, workers: Cluster, tmp_path: Path
) -> None:
    # O8, O10: the other takes over once the lease has run out
    late: list[httpx2.Response] = []

    async def frozen() -> None:
        late.append(await ada.send("PATCH", ONE, {"Note": "wait"}, at=0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(frozen)
        while not (tmp_path / "orders.entered").exists():
            await anyio.sleep(0.02)
        os.kill(workers.pid(0), signal.SIGSTOP)
        try:
            over = await ada.send("PATCH", ONE, {"Note": "taken over"}, at=1)
            assert (over.status_code, over.json()["Log"]) == (200, ["begun", "taken over"])
            (tmp_path / "orders.go").touch()
        finally:
            os.kill(workers.pid(0), signal.SIGCONT)
    [answer] = late
    assert answer.status_code >= 400, answer.text
    assert answer.headers["sap-contextid"] == ada.id  # the session is there, whatever became of the request
    for at in (0, 1):
        seen = (await ada.send("GET", ONE, at=at)).json()
        assert (seen["Note"], seen["Log"]) == ("taken over", ["begun", "taken over"])
    saved = await ada.send("POST", f"{ONE}/Demo.Save", {}, at=0)
    assert (saved.status_code, saved.json()["Log"]) == (200, ["begun", "taken over"])


@pytest.mark.parametrize("how", ["stopped", "hanging"])
async def test_a_store_that_is_away_is_no_lost_session(ada: Tab, redis: RedisServer, how: str) -> None:
    # O6: 503 with id and time-out, so that OpenUI5 keeps the session; and nothing of it is lost
    redis.stop() if how == "stopped" else redis.pause()
    for method, path, body in (
        ("GET", ONE, None),
        ("PATCH", ONE, {"Note": "unheard"}),
        ("POST", f"{ONE}/Demo.Save", {}),
        ("HEAD", "", None),
        ("POST", "Discard", None),
    ):
        begun = anyio.current_time()
        answer = await ada.send(method, path, body)
        assert anyio.current_time() - begun < IN_TIME_S
        assert answer.status_code == 503, answer.text
        assert (answer.headers["sap-contextid"], answer.headers["sap-http-session-timeout"]) == (ada.id, "300")
        assert int(answer.headers["retry-after"]) > 0
        assert "sap-err-id" not in answer.headers
        if method != "HEAD":
            assert answer.json()["error"]["code"] == "store_unavailable"
    outside = await Tab(ada.pair, "ada").send("GET", ONE)
    assert "sap-contextid" not in outside.headers
    redis.start() if how == "stopped" else redis.resume()
    for at in (0, 1):
        while (seen := await ada.send("GET", ONE, at=at)).status_code == 503:
            await anyio.sleep(0.1)
        assert (seen.status_code, seen.json()["Note"], seen.headers["sap-contextid"]) == (200, "begun", ada.id)
    saved = await ada.send("POST", f"{ONE}/Demo.Save", {})
    assert (saved.status_code, saved.json()["Note"], saved.json()["Log"]) == (200, "begun", ["begun"])
