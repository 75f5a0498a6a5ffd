"""Metrics of two processes behind a proxy: counts add up, the gauge is everybody's, and SIGKILL is made up for.

The pages are read over HTTP, StatsD's datagrams from a socket.
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest

from e2e.cluster import Cluster, cluster, free_port
from e2e.mcp_world import initialize
from e2e.wire import JSON_HEADERS
from holdfast.core.sealing import new_key_text
from holdfast.observe import stats
from holdfast.stores import open_store
from observe.meters import Receiver, receiver
from observe.test_prometheus import parsed
from servers.redis import redis_server

SERVER = Path(__file__).with_name("echo_server.py")
PATIENCE_S = 60.0
PORTS = 8


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'sessions.db'}"
        return
    with redis_server() as server:
        yield server.url


class Observed:
    """The workers, their pages, and a client."""

    def __init__(self, workers: Cluster, first_port: int, statsd: Receiver, http: httpx2.AsyncClient) -> None:
        self.workers, self._first, self.statsd, self._http = workers, first_port, statsd, http

    async def open(self, count: int) -> list[str]:
        """Open sessions at workers chosen at random; return their ids."""
        answers = [
            await self._http.post(f"{self.workers.url}/mcp", json=initialize(), headers=JSON_HEADERS)
            for _ in range(count)
        ]
        return [answer.headers["mcp-session-id"] for answer in answers]

    async def end(self, *sessions: str) -> None:
        for session in sessions:
            ended = await self._http.delete(f"{self.workers.url}/mcp", headers={"mcp-session-id": session})
            assert ended.status_code == 204

    async def pages(self) -> list[dict[str, float]]:
        """Read the pages that there are."""
        found = []
        for port in range(self._first, self._first + PORTS):
            try:
                found.append(parsed((await self._http.get(f"http://127.0.0.1:{port}/metrics")).text))
            except httpx2.TransportError:
                continue
        return found

    async def total(self, name: str) -> float:
        return sum(page[name] for page in await self.pages())

    async def until_active(self, number: int, workers: int = 2) -> None:
        """Wait until every worker shows so many sessions."""
        seen: list[float] = []
        with anyio.move_on_after(PATIENCE_S):
            while seen != [number] * workers:
                await anyio.sleep(0.2)
                seen = [page["mcp_session_active_count"] for page in await self.pages()]
        assert seen == [number] * workers


@asynccontextmanager
async def observed(store: str) -> AsyncIterator[Observed]:
    """Run two workers that are measured."""
    first_port = free_port()
    with receiver() as statsd:
        metrics = [f"prometheus://127.0.0.1:{first_port}", f"dogstatsd://127.0.0.1:{statsd.port}"]
        env = {**os.environ, "HOLDFAST_KEYS": new_key_text(), "HOLDFAST_METRICS": json.dumps(metrics)}
        async with (
            cluster(lambda port: [sys.executable, str(SERVER), str(port), store], env=env) as workers,
            httpx2.AsyncClient(timeout=PATIENCE_S) as http,
        ):
            yield Observed(workers, first_port, statsd, http)


async def test_what_two_workers_count_adds_up_and_what_a_killed_one_lost_is_counted_again(store: str) -> None:
    # M24, M25
    async with observed(store) as made:
        await made.until_active(0)
        sessions = await made.open(12)
        assert min(made.workers.served) > 0
        await made.end(*sessions[:5])
        await made.until_active(7)
        assert await made.total("mcp_session_created_total") == 12
        pages = await made.pages()
        assert all(0 < page["mcp_session_created_total"] < 12 for page in pages)  # each its own
        with anyio.fail_after(PATIENCE_S):
            while made.statsd.total("mcp.session.ended") < 5:
                await anyio.sleep(0.1)
        assert made.statsd.total("mcp.session.created") == 12
        async with open_store(store) as opened:
            seen = await stats(opened)
        assert (seen.total_sessions, seen.active_sessions) == (12, 7)
        assert 7 <= seen.peak_concurrent <= 12

        await made.open(8)
        await made.workers.kill(0)  # with what it had not written yet
        await made.workers.start(0)
        await made.until_active(15)
        await made.open(1)
        await made.until_active(16)
