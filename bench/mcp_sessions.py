"""How many sessions of the legacy era an MCP server opens a second, and what an idle one costs in memory.

    python bench/mcp_sessions.py                  # ours and its peers, interleaved, then ours alone up to 100,000
    python bench/mcp_sessions.py --many 20000 --rounds 3

Every server runs on core 0 with its sessions in memory; 16 connections on core 1 send `initialize`, each when the one
before is answered. A row gives the medians of its rounds; `cpu_us` is the processor time of one `initialize`, which
hardly changes when others use the machine too; memory is what the process has grown by, per session, after
each session has been told `notifications/initialized` and the first thousand have not been counted.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import _peers
import mcp_echo
import uvloop
from mcp_echo import LEGACY, LOAD_CORE, Connection, cpu_seconds, header_of, post, running

SERVERS = ("native", "sdk-json", "fastmcp-json", "typescript-json")
CONNECTIONS = 16
BLOCK = 1_000
UNLIMITED = {"HOLDFAST_KINDS__MCP__PER_CLIENT": "1000000000"}  # all sessions here come from one address
CLIENT = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


class Server:
    """A running server and what was seen of it."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self._pid, self.opened = port, pid, 0
        self.rounds: list[tuple[float, float]] = []
        self._at_start = 0

    async def open_sessions(self, number: int) -> tuple[float, float]:
        """Open so many sessions; return how many a second, and the microseconds of processor time of one."""
        loop = asyncio.get_running_loop()
        connections = [
            (await loop.create_connection(Connection, "127.0.0.1", self.port))[1] for _ in range(CONNECTIONS)
        ]
        request = post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}, self.port)
        left = iter(range(number))

        async def initialize(connection: Connection) -> list[str]:
            return [session_in(await connection.once(request)) for _ in left]

        began, used = time.perf_counter(), cpu_seconds(self._pid)
        sessions = await asyncio.gather(*map(initialize, connections))
        took, used = time.perf_counter() - began, cpu_seconds(self._pid) - used
        await asyncio.gather(*map(self._complete, connections, sessions))
        for connection in connections:
            connection.transport.close()
        self.opened += number
        return number / took, 1e6 * used / number

    async def warm_up(self) -> None:
        """Open the first thousand sessions, which are not counted."""
        await self.open_sessions(BLOCK)
        self._at_start, self.opened = self._resident(), 0

    async def _complete(self, connection: Connection, sessions: list[str]) -> None:
        for session in sessions:
            named = {"Mcp_Session_Id": session, "MCP_Protocol_Version": LEGACY}
            await connection.once(post({"jsonrpc": "2.0", "method": "notifications/initialized"}, self.port, **named))

    def kib_per_session(self) -> float:
        """Return the resident memory per session."""
        return (self._resident() - self._at_start) / self.opened / 1024

    def _resident(self) -> int:
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def session_in(answer: bytes) -> str:
    """Return the session that an answer to `initialize` names."""
    session = header_of(answer, "mcp-session-id")
    if session is None:
        raise RuntimeError(f"no session: {answer[:500]!r}")
    return session


def row(name: str, server: Server, rounds: Sequence[tuple[float, float]], **more: Any) -> None:
    """Print one line."""
    rate, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
    figures = {"initialize_per_s": round(rate), "cpu_us": round(cpu), **more}
    memory = {"sessions": server.opened, "kib_per_idle_session": round(server.kib_per_session(), 2)}
    print(json.dumps({"server": name, **figures, **memory}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=1_500, help="per server and round; the SDK keeps 10,000")
    parser.add_argument("--many", type=int, default=100_000, help="up to which ours goes on alone")
    given = parser.parse_args()
    _peers.install()
    os.environ.update(UNLIMITED)
    os.sched_setaffinity(0, {LOAD_CORE})
    with ExitStack() as stack:
        names = [name for name in SERVERS if mcp_echo.installed(name)]
        servers = {name: Server(*stack.enter_context(running(name))) for name in names}
        for server in servers.values():
            uvloop.run(server.warm_up())
        for _ in range(given.rounds):
            for server in servers.values():
                server.rounds.append(uvloop.run(server.open_sessions(given.sessions)))
        middle = {name: statistics.median(rate for rate, _ in server.rounds) for name, server in servers.items()}
        for name, server in servers.items():
            row(name, server, server.rounds, times_the_sdk=round(middle[name] / middle["sdk-json"], 2))
        ours = servers["native"]
        blocks = [uvloop.run(ours.open_sessions(BLOCK)) for _ in range((given.many - ours.opened) // BLOCK)]
        thousands = {"first_thousand_per_s": round(blocks[0][0]), "last_thousand_per_s": round(blocks[-1][0])}
        row("native, alone", ours, blocks, **thousands)


if __name__ == "__main__":
    main()
