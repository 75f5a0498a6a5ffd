"""The modern era over two processes on Redis, behind a proxy that picks one at random, with workers that are killed."""

import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from e2e.cluster import Cluster, cluster
from e2e.mcp_world import META, MODERN, call, request
from e2e.modern_server import LEASE_S
from holdfast.core.sealing import new_key_text
from holdfast.core.tuning import Tuning
from servers.redis import redis_server

SERVER = Path(__file__).with_name("modern_server.py")
PATIENCE = 60.0
HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
EXTENSIONS = {"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}}
DECLARED = {**META, "io.modelcontextprotocol/clientCapabilities": EXTENSIONS}


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    with redis_server() as server:
        yield server.url


class Client:
    """Sends modern requests to the proxy, or to one worker."""

    def __init__(self, workers: Cluster, http: httpx2.AsyncClient) -> None:
        self.workers, self.http = workers, http

    async def send(self, body: dict[str, Any], number: int | None = None) -> Any:
        answer = await self.http.post(self._url(number), **sent(body))
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def _url(self, number: int | None) -> str:
        base = self.workers.url if number is None else f"http://127.0.0.1:{self.workers.ports[number]}"
        return f"{base}/mcp"

    async def text(self, body: dict[str, Any], number: int | None = None) -> str:
        result = await self.send(body, number)
        return str(result["content"][0]["text"])

    async def task(self, task_id: str, number: int | None = None) -> Any:
        return await self.send(request("tasks/get", {"taskId": task_id}), number)

    @asynccontextmanager
    async def listening(self, number: int, **asked: Any) -> AsyncIterator[list[Any]]:
        """Hold a listen stream at a worker; what it tells grows in the list."""
        heard: list[Any] = []
        acknowledged = anyio.Event()

        async def read() -> None:
            body = request("subscriptions/listen", {"notifications": asked}, f"l{number}")
            async with self.http.stream("POST", self._url(number), timeout=None, **sent(body)) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        heard.append(json.loads(line[6:]))
                        acknowledged.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            with anyio.fail_after(PATIENCE):
                await acknowledged.wait()
            yield heard
            tasks.cancel_scope.cancel()


def sent(body: dict[str, Any]) -> dict[str, Any]:
    params = body["params"]
    named = params.get("name") or params.get("taskId")
    headers = {**HEADERS, "mcp-protocol-version": MODERN, "mcp-method": body["method"]}
    if named:
        headers["mcp-name"] = named
    return {"json": {**body, "params": {**params, "_meta": DECLARED}}, "headers": headers}


@asynccontextmanager
async def clients(store: str, tmp_path: Path) -> AsyncIterator[Client]:
    keys = new_key_text()

    def command(port: int) -> list[str]:
        return [sys.executable, str(SERVER), str(port), store, keys]

    env = {**os.environ, "HOLDFAST_NAMESPACE": f"t{time.monotonic_ns()}"}
    async with cluster(command, env=env) as workers, httpx2.AsyncClient(timeout=20.0) as http:
        yield Client(workers, http)


async def until(condition: Any) -> None:
    with anyio.fail_after(PATIENCE):
        while not condition():
            await anyio.sleep(0.02)


async def test_a_change_at_any_process_reaches_every_listen_stream_once(redis: str, tmp_path: Path) -> None:
    # M19
    changes = 20
    async with clients(redis, tmp_path) as client:
        asked = {"toolsListChanged": True, "resourceSubscriptions": ["shop://1"]}
        async with client.listening(0, **asked) as first, client.listening(1, **asked) as second:
            tellers = set()
            for number in range(changes):
                tellers.add(await client.text(call("change", uri="shop://1")))
                count = 1 + 2 * (number + 1)
                await until(lambda count=count: min(len(first), len(second)) >= count)
            assert len(tellers) == 2
            for stream, name in ((first, "l0"), (second, "l1")):
                assert len(stream) == 1 + 2 * changes
                assert [one["params"].get("uri") for one in stream[1:]] == ["shop://1", None] * changes
                assert {one["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] for one in stream} == {name}


async def test_what_is_behind_a_handle_survives_the_worker_that_opened_it(redis: str, tmp_path: Path) -> None:
    # M20
    async with clients(redis, tmp_path) as client:
        basket = await client.text(call("open_basket", customer="Ann"), 0)
        await client.send(call("add_item", basket=basket, item="tea"), 0)
        await client.workers.kill(0)
        found = await client.send(call("add_item", basket=basket, item="milk"))
        assert found["structuredContent"]["items"] == ["tea", "milk"]
        assert len(set(found["structuredContent"]["workers"])) == 2
        await client.workers.kill(1)
        await client.workers.start(0)
        found = await client.send(call("add_item", basket=basket, item="jam"))
        assert found["structuredContent"]["items"] == ["tea", "milk", "jam"]
        assert len(set(found["structuredContent"]["workers"])) == 3


async def test_a_state_sealed_by_one_worker_is_opened_by_another_once(redis: str, tmp_path: Path) -> None:
    # M19
    async with clients(redis, tmp_path) as client:
        asks = await client.send(call("name"), 0)
        assert asks["resultType"] == "input_required"
        answer = {"name": {"action": "accept", "content": {"name": "Ann"}}}
        body = call("name")
        body["params"] |= {"inputResponses": answer, "requestState": asks["requestState"]}
        assert await client.text(body, 1) == f"Ann asked by {client.workers.pid(0)}"
        for number in (0, 1):
            again = await client.http.post(client._url(number), **sent(body))
            assert (again.status_code, again.json()["error"]["message"]) == (400, "Invalid or expired requestState")


async def test_a_task_outlives_the_other_workers_and_its_result_any_worker(redis: str, tmp_path: Path) -> None:
    # M19
    async with clients(redis, tmp_path) as client:
        task_id = (await client.send(call("work", seconds=1.0), 0))["taskId"]
        assert (await client.task(task_id, 1))["status"] == "working"
        await client.workers.kill(1)
        await client.workers.start(1)
        with anyio.fail_after(PATIENCE):
            while (found := await client.task(task_id, 1))["status"] == "working":
                await anyio.sleep(0.05)
        assert found["result"]["content"][0]["text"] == f"done by {client.workers.pid(0)}"
        await client.workers.kill(0)
        await client.workers.kill(1)
        await client.workers.start(0)
        assert (await client.task(task_id))["result"] == found["result"]


@pytest.mark.parametrize("name", ["work", "work_again"])
async def test_a_task_whose_worker_is_killed_fails_or_is_run_again_in_time(
    redis: str, tmp_path: Path, name: str
) -> None:
    # M19
    async with clients(redis, tmp_path) as client:
        seconds = 60.0 if name == "work" else 2.0
        task_id = (await client.send(call(name, seconds=seconds), 0))["taskId"]
        async with client.listening(1, taskIds=[task_id]) as heard:
            await client.workers.kill(0)
            killed = time.monotonic()
            await until(lambda: any(one["params"].get("status") in ("failed", "completed") for one in heard))
            took = time.monotonic() - killed
            last = heard[-1]["params"]
            assert last["taskId"] == task_id
        in_time = LEASE_S + Tuning().keeper_turn + 2.0  # what a busy machine takes
        if name == "work":
            assert last["status"] == "failed"
            assert "not known" in last["error"]["message"]
            assert took <= in_time
        else:
            assert last["result"]["content"][0]["text"] == f"done by {client.workers.pid(1)}"
            assert took <= in_time + seconds
        assert (await client.task(task_id, 1))["status"] == last["status"]
