"""`holdfast sessions` over the sessions of an MCP server: list, show, end, tail, stats; ids cut, no secret shown."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from typer.testing import CliRunner

from e2e.mcp_world import echo, handshake
from e2e.wire import Wire
from holdfast.cli import command_line
from holdfast.cli.watching import line_of, seconds_of
from holdfast.config import Settings
from holdfast.core.events import Event, Fact
from holdfast.core.model import Reason
from holdfast.core.session import Session
from holdfast.errors import BadInput
from holdfast.mcp import asgi
from holdfast.mcp.kinds import SESSION
from holdfast.mcp.showing import HIDDEN, shown

PATIENCE_S = 60.0
pytestmark = pytest.mark.slow


class Served:
    """A server with its sessions in a file, and commands that look at them."""

    def __init__(self, folder: Path) -> None:
        self.store = f"sqlite:///{folder}/sessions.db"
        self.app = asgi([echo], store=self.store, settings=Settings(), calm_gc=False)
        self.wire = Wire(self.app)
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        self.env |= {"HOLDFAST_STORE": self.store, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "holdfast", "sessions", *arguments]

    async def run(self, *arguments: str, code: int = 0, **env: str) -> str:
        """Run a command and return what it said, on stderr if it failed."""
        with anyio.fail_after(PATIENCE_S):
            ran = await anyio.run_process(self.command(*arguments), env={**self.env, **env}, check=False)
        assert ran.returncode == code, ran.stderr.decode()
        return (ran.stderr if code else ran.stdout).decode()

    async def rows(self, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (await self.run(*arguments, "--json")).splitlines()]

    @asynccontextmanager
    async def tail(self, *arguments: str) -> AsyncIterator[Process]:
        """Follow in a process of its own; it is asked to be heard before the block begins."""
        async with (
            self.app.running() if self.app._opened.value is None else _nothing(),
            await anyio.open_process(self.command("tail", *arguments), env=self.env) as process,
        ):
            try:
                with anyio.fail_after(PATIENCE_S):
                    while not self._followed():
                        await anyio.sleep(0.05)
                yield process
            finally:
                if process.returncode is None:
                    process.kill()

    def _followed(self) -> bool:
        observer = self.app._chosen.sink.sinks[0]  # type: ignore[union-attr]
        return bool(observer._broadcast._asked.is_set())


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(tmp_path)
    async with made.app.running():
        yield made


async def lines_of(process: Process, count: int) -> list[str]:
    """Return so many lines of what a process prints."""
    assert process.stdout is not None
    text = ""
    with anyio.fail_after(PATIENCE_S):
        async for piece in TextReceiveStream(process.stdout):
            text += piece
            if text.count("\n") >= count:
                break
    return text.splitlines()


async def test_sessions_are_listed_shown_and_ended(served: Served) -> None:
    # M26
    named = await handshake(served.wire)
    session_id = named["mcp-session-id"]
    endpoint = served.app._opened.value
    assert endpoint is not None
    session = await endpoint._manager.load(session_id, kind=SESSION)
    await endpoint._manager.merge(session, {"basket": ["book"], "api_key": "hunter2", "shop": {"Password": "hunter3"}})
    async with served.wire.open("GET", headers={**named, "accept": "text/event-stream"}) as stream:
        await stream.until(lambda seen: seen.body)
        listed = await served.rows("list")
        [row] = [row for row in listed if row["kind"] == SESSION]
        assert (row["id"], row["connections"], row["state"]) == (session_id[:8], 1, "live")
        assert 0 <= row["used"] <= row["age"] <= PATIENCE_S
        [seen] = await served.rows("show", session_id[:8])
        assert seen["connections"] == 1
        assert seen["created"] <= seen["last_accessed"]
        assert seen["data"]["basket"] == ["book"]
        assert seen["data"]["client"] == {"name": "test", "version": "1"}
        text = await served.run("show", session_id[:8])
    assert "last_accessed" in text
    assert f"mcp {session_id[:8]}" in text
    everything = json.dumps(listed) + json.dumps(seen) + text
    for secret in (session_id, session_id[:12], "hunter2", "hunter3"):
        assert secret not in everything
    [ended] = await served.rows("end", session_id[:8])
    assert ended["closed"] is True
    assert [row for row in await served.rows("list") if row["kind"] == SESSION] == []


async def test_without_the_key_everything_but_the_data_is_shown(served: Served) -> None:
    # M26
    named = await handshake(served.wire)
    seen = json.loads(await served.run("show", named["mcp-session-id"][:8], "--json", HOLDFAST_KEYS="A" * 43))
    assert "data" not in seen
    assert seen["created"].endswith("Z")


async def test_tail_follows_what_happens_in_another_process(served: Served) -> None:
    # M26
    async with served.tail("--kind", "mcp", "--json") as process:
        named = await handshake(served.wire)
        await served.wire.send("DELETE", headers=named)
        facts = [json.loads(line) for line in await lines_of(process, 3)]
        process.send_signal(signal.SIGINT)
        with anyio.fail_after(PATIENCE_S):
            assert await process.wait() == 0
    assert [fact["fact"] for fact in facts] == ["opened", "ended", "closed"]
    assert {fact["mark"] for fact in facts} == {named["mcp-session-id"][:8]}
    assert facts[-1]["reason"] == "client"
    assert facts[-1]["lived"] < PATIENCE_S
    assert named["mcp-session-id"] not in json.dumps(facts)


async def test_tail_ends_after_a_number_of_facts_or_when_nobody_reads(served: Served) -> None:
    # M26
    async with served.tail("--count", "1") as process:
        await handshake(served.wire)
        [line] = await lines_of(process, 1)
        assert "opened" in line
        with anyio.fail_after(PATIENCE_S):
            assert await process.wait() == 0
    reader, writer = os.pipe()
    process = subprocess.Popen(served.command("tail"), env=served.env, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    os.close(reader)
    try:
        with anyio.fail_after(PATIENCE_S):
            while process.poll() is None:
                await handshake(served.wire)
                await anyio.sleep(0.2)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (0, b"")
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


async def test_stats_show_how_sessions_were_used(served: Served) -> None:
    # M25, M26
    named = await handshake(served.wire)
    await handshake(served.wire)
    await served.wire.send("DELETE", headers=named)
    await anyio.sleep(1.5)
    [seen] = await served.rows("stats", "--window", "24h")
    assert (seen["total_sessions"], seen["peak_concurrent"]) == (2, 2)
    assert 1 <= seen["active_sessions"] <= 2
    assert len(seen["connection_patterns"]) == 25
    text = await served.run("stats")
    assert "total_sessions     2" in text
    assert "peak_concurrent" in text.splitlines()[7]


@pytest.mark.parametrize("arguments", ["list", "show x", "end x", "tail", "stats"])
def test_a_store_in_memory_is_refused(arguments: str) -> None:
    # M26
    ran = CliRunner().invoke(command_line(), ["sessions", *arguments.split(), "--store", "memory://"])
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "a store in memory is seen by its own server only" in ran.stderr
    assert "next: " in ran.stderr


@pytest.mark.parametrize("window", ["soon", "32d", "0h"])
def test_a_window_that_is_none_is_refused(window: str, tmp_path: Path) -> None:
    # M25
    ran = CliRunner().invoke(
        command_line(), ["sessions", "stats", "--window", window, "--store", f"sqlite:///{tmp_path}/x"]
    )
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "bad_input" in ran.stderr


@pytest.mark.parametrize(
    ("span", "seconds"), [("90m", 5400.0), ("24h", 86_400.0), ("7d", 604_800.0), ("1.5h", 5400.0), ("5s", 5.0)]
)
def test_a_span_of_time_is_read(span: str, seconds: float) -> None:
    assert seconds_of(span) == seconds


@pytest.mark.parametrize("span", ["", "24", "h", "-1h", "1w", "1h30m", "1e3s", "\u0661h\n"])
def test_what_is_no_span_is_refused(span: str) -> None:
    with pytest.raises(BadInput):
        seconds_of(span)


def test_a_line_for_people_says_what_is_known_and_obeys_no_client() -> None:
    event = Event(
        fact=Fact.CLOSED, at=0.5, kind="mcp", mark="abcdefgh", owner="ann\x1b[2J", address="10.0.0.1",
        reason=Reason.IDLE, lived=3.25, detail="gone",
    )  # fmt: skip
    assert line_of(event) == (
        "00:00:00.500  closed         mcp        abcdefgh  of ann\\u001b[2J from 10.0.0.1 reason idle after 3.2 s gone"
    )


def test_nothing_with_the_name_of_a_secret_is_shown_however_deep() -> None:
    # M26
    from core.samples import record

    content = {
        "fingerprint": {"address": "x"}, "version": "2025-11-25", "accessToken": "a", "list": [{"COOKIES": "b"}],
        "deep": {"er": {"client_secret": "c", "kept": 1}}, "Authorization": "d",
    }  # fmt: skip
    session = Session(record(1, mark="abcdefgh"), content)
    seen = shown(session.record, session.content, 2)
    assert seen["data"] == {
        "version": "2025-11-25",
        "accessToken": HIDDEN,
        "list": [{"COOKIES": HIDDEN}],
        "deep": {"er": {"client_secret": HIDDEN, "kept": 1}},
        "Authorization": HIDDEN,
    }
    assert (seen["session"], seen["connections"]) == ("abcdefgh", 2)
