"""What 10,000 open streams cost one server process, and how soon a message reaches one of them.

    python bench/mcp_streams.py
    python bench/mcp_streams.py --streams 2000 --store redis

Each stream belongs to a session of its own and is a connection of its own; the clients are another process. Memory is
what the server has grown by, per stream, sessions not counted. A push is a `tools/call` that sends one message on the
stream of its session: its delay is the time from the request to the message. Idle is a time in which nothing is sent
but comments, every 15 s on each stream: what processor time that takes, and the longest silence that a client saw.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import uvloop
from mcp_echo import LEGACY, Connection, cpu_seconds, header_of, post
from mcp_resume import CLIENT, call, get, worker

from holdfast.core.sealing import new_key_text
from servers.redis import redis_server

AT_ONCE = 50
UNLIMITED = json.dumps({"mcp": {"per_client": 10**9}})


class Listener(asyncio.Protocol):
    """One open stream; it keeps nothing of what comes but when."""

    def __init__(self) -> None:
        self.begun = asyncio.get_running_loop().create_future()
        self.heard = time.perf_counter()
        self.silence = 0.0
        self.waiting: asyncio.Future[float] | None = None
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self.silence, self.heard = max(self.silence, now - self.heard), now
        if not self.begun.done() and b"id: " in data:
            self.begun.set_result(None)
        if self.waiting is not None and not self.waiting.done() and b"notifications/n" in data:
            self.waiting.set_result(now)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Server:
    """The server under test, and the clients' side of it."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid
        self.names: list[dict[str, str]] = []
        self.streams: list[Listener] = []

    async def open_sessions(self, number: int) -> None:
        connections = [await self._connection() for _ in range(AT_ONCE)]
        left = iter(range(number))

        async def work(connection: Connection) -> None:
            for _ in left:
                await self._open_session(connection)

        await asyncio.gather(*map(work, connections))
        for connection in connections:
            connection.transport.close()

    async def open_streams(self) -> float:
        """Open a stream for each session; return how many a second."""
        began = time.perf_counter()
        left, names = iter(self.names), []

        async def work() -> None:
            for named in left:
                self.streams.append(await self._open_stream(named))
                names.append(named)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        self.names = names  # in the order of their streams
        return len(names) / (time.perf_counter() - began)

    async def pushes(self, number: int) -> list[float]:
        """Send messages on streams at random; return their delays in milliseconds."""
        connection = await self._connection()
        delays = []
        for _ in range(number):
            place = random.randrange(len(self.streams))
            stream = self.streams[place]
            stream.waiting = asyncio.get_running_loop().create_future()
            began = time.perf_counter()
            await connection.once(call(self.port, "push", 1, self.names[place]))
            delays.append(1000 * (await asyncio.wait_for(stream.waiting, 30) - began))
        return sorted(delays)

    async def idle(self, seconds: float) -> tuple[float, float]:
        """Wait; return the share of a core that the server used, and the longest silence on any stream."""
        now, used = time.perf_counter(), cpu_seconds(self.pid)
        for stream in self.streams:
            stream.silence, stream.heard = 0.0, now
        await asyncio.sleep(seconds)
        end = time.perf_counter()
        silence = max(max(stream.silence, end - stream.heard) for stream in self.streams)
        return (cpu_seconds(self.pid) - used) / (end - now), silence

    def resident(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def _connection(self) -> Connection:
        return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self.port))[1]

    async def _open_session(self, connection: Connection) -> None:
        request = post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}, self.port)
        session = str(header_of(await connection.once(request), "mcp-session-id"))
        self.names.append({"Mcp_Session_Id": session, "MCP_Protocol_Version": LEGACY})

    async def _open_stream(self, named: dict[str, str]) -> Listener:
        _, stream = await asyncio.get_running_loop().create_connection(Listener, "127.0.0.1", self.port)
        stream.transport.write(get(self.port, named))
        await asyncio.wait_for(stream.begun, 60)
        return stream


async def measured(port: int, pid: int, given: argparse.Namespace) -> None:
    server = Server(port, pid)
    await server.open_sessions(given.streams)
    before = server.resident()
    rate = await server.open_streams()
    kib = (server.resident() - before) / len(server.streams) / 1024
    share, silence = await server.idle(given.seconds)
    delays = await server.pushes(given.pushes)
    row = {
        "streams": sum(not stream.lost for stream in server.streams),
        "opened_per_s": round(rate),
        "kib_per_stream": round(kib, 1),
        "push_p50_ms": round(delays[len(delays) // 2], 2),
        "push_p99_ms": round(delays[int(len(delays) * 0.99)], 2),
        "idle_core_share": round(share, 3),
        "longest_silence_s": round(silence, 1),
        "mib_in_all": round(server.resident() / 2**20),
    }
    print(json.dumps({"store": given.store, **row}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--pushes", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0, help="of idling")
    parser.add_argument("--store", choices=("memory", "redis"), default="memory")
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server inherits it
    with ExitStack() as stack:
        url = stack.enter_context(redis_server()).url if given.store == "redis" else "memory://"
        names = {"STORE": url, "KEYS": new_key_text(), "RATE_LIMIT_PER_SESSION": "0", "KINDS": UNLIMITED}
        env = {f"HOLDFAST_{name}": value for name, value in names.items()}
        uvloop.run(measured(*stack.enter_context(worker(env)), given))


if __name__ == "__main__":
    main()
