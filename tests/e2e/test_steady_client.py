"""The example of a Python client whose session goes on (M27), against two server processes behind the random proxy."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from examples.clients.steady_client import AnswerLost, Refused, SteadyClient

from e2e.cluster import Cluster, cluster

SERVER = Path(__file__).with_name("steady_server.py")
PATIENCE_S = 60.0


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[Cluster]:
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    with anyio.fail_after(PATIENCE_S):
        async with cluster(lambda port: [sys.executable, str(SERVER), str(port), store]) as workers:
            yield workers


@asynccontextmanager
async def steady(workers: Cluster, file: Path | None = None, **options: Any) -> AsyncIterator[SteadyClient]:
    client = SteadyClient(f"{workers.url}/mcp", file, **options)
    try:
        yield client
    finally:
        await client.close(end=file is None)


async def ended(workers: Cluster, session_id: str) -> None:
    """End a session as its server's operator could."""
    async with httpx2.AsyncClient() as http:
        headers = {"mcp-session-id": session_id, "mcp-protocol-version": "2025-11-25"}
        assert (await http.delete(f"{workers.url}/mcp", headers=headers)).status_code == 204


def text(result: dict[str, Any]) -> str:
    return str(result["content"][0]["text"])


async def test_a_session_goes_on_while_servers_are_killed_one_after_the_other(workers: Cluster) -> None:
    async with steady(workers) as client:
        assert text(await client.call("echo", {"text": "one"})) == "one"
        session_id = client.session_id
        for victim in (0, 1):
            await workers.kill(victim)
            assert text(await client.call("echo", {"text": "two"})) == "two"
            await workers.start(victim)
        assert client.session_id == session_id


async def test_an_answer_that_breaks_off_is_taken_up_and_nothing_is_heard_twice(workers: Cluster) -> None:
    heard: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        heard.append(message["params"]["data"])
        if message["params"]["data"] == "step 3":
            tasks.start_soon(workers.cut)

    async with steady(workers, heard=hear) as client, anyio.create_task_group() as tasks:
        assert text(await client.call("slowly", {"text": "done"})) == "done"
    assert heard == [f"step {number}" for number in range(10)]


async def test_an_expired_session_is_replaced_and_the_request_asked_again(workers: Cluster) -> None:
    async with steady(workers) as client:
        await client.call("echo", {"text": "x"})
        first = client.session_id
        await ended(workers, first)
        assert text(await client.call("echo", {"text": "again"})) == "again"
        assert client.session_id not in ("", first)


async def test_the_next_run_goes_on_with_the_session_and_its_file_is_its_owners_own(
    workers: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "session"
    async with steady(workers, file) as client:
        await client.call("echo", {"text": "x"})
        session_id = client.session_id
    assert file.stat().st_mode & 0o077 == 0
    async with steady(workers, file) as client:
        await client.call("echo", {"text": "x"})
        assert client.session_id == session_id
        await client.close()
    assert not file.exists()


async def test_a_stream_that_falls_silent_is_taken_up_at_another_server(workers: Cluster) -> None:
    heard: list[str] = []
    news = anyio.Event()

    def hear(message: dict[str, Any]) -> None:
        heard.append(message["params"]["data"])
        news.set()

    async with steady(workers, heard=hear, silence=1.0) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.listen)
        await said(client, news, "before")
        frozen = workers.pid(0)
        os.kill(frozen, signal.SIGSTOP)
        try:
            news = anyio.Event()
            await said(client, news, "after")
        finally:
            os.kill(frozen, signal.SIGCONT)
        tasks.cancel_scope.cancel()
    assert heard[0] == "before"
    assert "after" in heard


async def said(client: SteadyClient, news: anyio.Event, what: str) -> None:
    """Let the server say something until it is heard: what is said while there is no stream may be lost."""
    while not news.is_set():
        try:
            await client.call("note", {"text": what})
        except AnswerLost:
            continue
        with anyio.move_on_after(0.5):
            await news.wait()


async def test_a_refusal_is_told_with_what_the_server_said(workers: Cluster) -> None:
    async with steady(workers) as client:
        with pytest.raises(Refused, match="nothing"):
            await client.call("nothing", {})
