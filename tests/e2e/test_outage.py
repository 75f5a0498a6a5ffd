"""Two server processes whose store goes away under them and comes back: stopped, or hanging (E26)."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from e2e.cluster import Cluster, cluster
from e2e.mcp_world import META, MODERN, call, initialize, notification, request
from holdfast.core.sealing import new_key_text
from holdfast.stores.postgres import postgres_care
from servers.postgres import postgres_server
from servers.redis import redis_server

SERVER = Path(__file__).with_name("outage_server.py")
OUTAGE_S = 10.0
IN_TIME_S = 2.0 + 1.5  # store_timeout, and what a busy machine takes
PATIENCE = 90.0
HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


@contextmanager
def store_server(sort: str) -> Iterator[Any]:
    """A store of our own: nobody else's is taken away."""
    with redis_server() if sort == "redis" else postgres_server() as server:
        if sort == "postgres":
            anyio.run(_migrate, server.url)
        yield server


async def _migrate(url: str) -> None:
    async with postgres_care(url, namespace="holdfast", timeout=10.0) as care:
        await care.migrate()


class Stream:
    """A stream that is read in the background."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.status = 0
        self.ended = False

    async def read(self, client: httpx2.AsyncClient, method: str, **options: Any) -> None:
        async with client.stream(method, "/mcp", timeout=None, **options) as answer:
            self.status = answer.status_code
            async for line in answer.aiter_lines():
                self.lines.append(line)
        self.ended = True

    @property
    def ids(self) -> list[str]:
        return [line[4:] for line in self.lines if line.startswith("id: ")]

    @property
    def messages(self) -> list[Any]:
        return [json.loads(line[6:]) for line in self.lines if line.startswith("data: {")]

    @property
    def steps(self) -> list[int]:
        return [m["params"]["progress"] for m in self.messages if m.get("method") == "notifications/progress"]

    async def until(self, condition: Any) -> None:
        while not condition(self):
            await anyio.sleep(0.02)


class Client:
    """A legacy client that sends raw requests."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http, self.named = http, dict(HEADERS)

    async def open(self) -> None:
        answer = await self.http.post("/mcp", json=initialize(), headers=self.named)
        assert answer.status_code == 200, answer.text
        self.named |= {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
        assert (await self.send("POST", notification("notifications/initialized"))).status_code == 202

    async def send(self, method: str, body: Any = None) -> httpx2.Response:
        content = None if body is None else json.dumps(body)
        return await self.http.request(method, "/mcp", content=content, headers=self.named, timeout=30.0)

    async def refused(self, method: str, body: Any = None) -> None:
        """See that a request gets 503 in time, with what tells a client to come back."""
        began = time.perf_counter()
        answer = await self.send(method, body)
        assert time.perf_counter() - began < IN_TIME_S
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2"), answer.text
        assert answer.json()["error"]["data"]["code"] == "store_unavailable"

    async def served_again(self) -> None:
        while (answer := await self.send("POST", request("ping"))).status_code != 200:
            assert answer.status_code == 503, "the session must not be gone"
            await anyio.sleep(0.2)


async def still_served_without_a_store(http: httpx2.AsyncClient) -> None:
    body = call("count", steps=0)
    body["params"]["_meta"] = META
    headers = {**HEADERS, "mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "count"}
    assert (await http.post("/mcp", json=body, headers=headers)).status_code == 200


@pytest.mark.parametrize("how", ["stop", "pause"])
@pytest.mark.parametrize("sort", ["redis", "postgres"])
def test_a_store_that_goes_away_and_comes_back_costs_nobody_a_session_or_an_event(sort: str, how: str) -> None:
    with store_server(sort) as store:
        anyio.run(_through_the_outage, store, how)


async def _through_the_outage(store: Any, how: str) -> None:
    keys = new_key_text()
    with anyio.fail_after(PATIENCE):
        async with (
            cluster(lambda port: [sys.executable, str(SERVER), str(port), store.url, keys]) as workers,
            httpx2.AsyncClient(base_url=workers.url) as http,
            anyio.create_task_group() as tasks,
        ):
            client, other = Client(http), Client(http)
            await client.open()
            await other.open()
            own, counted = Stream(), Stream()
            only = {**client.named, "accept": "text/event-stream"}
            tasks.start_soon(lambda: own.read(http, "GET", headers=only))
            body = json.dumps(call("count", 7, token=1, steps=80))
            tasks.start_soon(lambda: counted.read(http, "POST", content=body, headers=client.named))
            await own.until(lambda seen: seen.status == 200)
            await counted.until(lambda seen: len(seen.steps) >= 3)
            await _outage(store, how, workers, client, other)
            assert not own.ended
            assert not counted.ended
            await client.served_again()
            await other.served_again()
            await counted.until(lambda seen: len(seen.steps) >= 60)
            await _comes_back_for(http, client, counted)
            assert (await client.send("DELETE")).status_code == 204
            await own.until(lambda seen: seen.ended)
            assert (await client.send("POST", request("ping"))).status_code == 404


async def _outage(store: Any, how: str, workers: Cluster, client: Client, other: Client) -> None:
    """Take the store away for ten seconds, ask for everything meanwhile, and give it back."""
    await anyio.to_thread.run_sync(store.stop if how == "stop" else store.pause)
    gone_at = time.perf_counter()
    for method, body in (("POST", request("ping")), ("GET", None), ("POST", call("count", steps=1))):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.refused, method, body)
            tasks.start_soon(other.refused, method, body)
    await other.refused("DELETE")
    await still_served_without_a_store(client.http)
    await anyio.sleep(max(gone_at + OUTAGE_S - time.perf_counter(), 0.0))
    await anyio.to_thread.run_sync(store.start if how == "stop" else store.resume)
    assert all(served > 0 for served in workers.served)


async def _comes_back_for(http: httpx2.AsyncClient, client: Client, counted: Stream) -> None:
    """Resume the stream from its first event, at either worker: everything is there once, in its order.

    The newest connection has the stream, so the first one ends (M14).
    """
    resumed = Stream()
    await resumed.read(
        http, "GET", headers={**client.named, "accept": "text/event-stream", "last-event-id": counted.ids[0]}
    )
    await counted.until(lambda seen: seen.ended)
    assert resumed.steps == list(range(1, 81))
    assert "result" in resumed.messages[-1]
    assert counted.steps == resumed.steps[: len(counted.steps)]
    assert resumed.ids[:60] == counted.ids[1:61]
