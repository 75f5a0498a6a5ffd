"""The example of a TypeScript client whose session goes on (M27), on the official SDK, against two processes."""

import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from e2e.cluster import Cluster, cluster
from e2e.mcp_drivers import NODE
from e2e.test_steady_client import SERVER, ended

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[2] / "examples" / "clients" / "steady_client.ts"
PATIENCE_S = 90.0


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[Cluster]:
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    with anyio.fail_after(PATIENCE_S):
        async with cluster(lambda port: [sys.executable, str(SERVER), str(port), store]) as workers:
            yield workers


class Steady:
    """The client's process."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, BufferedByteReceiveStream(process.stdout)

    async def do(self, command: str, **more: Any) -> Any:
        await self._stdin.send(json.dumps({"command": command, **more}).encode() + b"\n")
        answer = json.loads(await self._stdout.receive_until(b"\n", 65_536))
        assert "error" not in answer, answer
        return answer["value"]

    async def call(self, name: str, text: str) -> str:
        return str(await self.do("call", name=name, args={"text": text}))

    async def until_heard(self, what: str) -> None:
        while what not in await self.do("heard"):
            await self.call("note", what)


@asynccontextmanager
async def steady(workers: Cluster, folder: Path, silence: int = 30_000) -> AsyncIterator[Steady]:
    """Run the example as its users would: in a folder of its own, with the SDK beside it."""
    shutil.copy(EXAMPLE, folder)
    shutil.copy(HERE / "steady.mjs", folder)
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(HERE / "node_modules")
    command = [str(NODE), "steady.mjs", f"{workers.url}/mcp", "session.json", str(silence)]
    async with await anyio.open_process(command, cwd=folder, stderr=None) as process:
        try:
            yield Steady(process)
        finally:
            process.kill()


async def test_a_session_goes_on_over_killed_servers_and_into_the_next_run(workers: Cluster, tmp_path: Path) -> None:
    async with steady(workers, tmp_path) as client:
        assert await client.call("echo", "grüß dich") == "grüß dich"
        session_id = await client.do("session")
        for victim in (0, 1):
            await workers.kill(victim)
            assert await client.call("echo", "x") == "x"
            await workers.start(victim)
        await client.until_heard("own stream")
        await client.do("close")
    assert (tmp_path / "session.json").stat().st_mode & 0o077 == 0
    async with steady(workers, tmp_path) as client:
        assert await client.call("echo", "again") == "again"
        assert await client.do("session") == session_id
        await client.until_heard("the next run's own stream")
        await client.do("leave")
    assert not (tmp_path / "session.json").exists()


async def test_an_answer_that_breaks_off_is_taken_up(workers: Cluster, tmp_path: Path) -> None:
    async with steady(workers, tmp_path) as client, anyio.create_task_group() as tasks:
        await client.call("echo", "x")

        async def cut() -> None:
            await anyio.sleep(0.4)  # the call takes a second
            await workers.cut()

        tasks.start_soon(cut)
        assert await client.call("slowly", "done") == "done"
        assert await client.do("heard") == [f"step {number}" for number in range(10)]


async def test_an_expired_session_is_replaced_and_the_request_asked_again(workers: Cluster, tmp_path: Path) -> None:
    async with steady(workers, tmp_path) as client:
        await client.call("echo", "x")
        first = await client.do("session")
        await ended(workers, first)
        assert await client.call("echo", "again") == "again"
        assert await client.do("session") not in (None, first)


async def test_a_stream_that_falls_silent_is_taken_up_at_another_server(workers: Cluster, tmp_path: Path) -> None:
    async with steady(workers, tmp_path, silence=1500) as client:
        await client.until_heard("before")
        frozen = [workers.pid(number) for number in (0, 1)]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            while "fell silent" not in str(await client.do("troubles")):
                await anyio.sleep(0.1)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        await client.until_heard("after")
