"""How soon a client that comes back for a stream at another worker has what it has missed: 1,000 events, on Redis.

    python bench/mcp_resume.py
    python bench/mcp_resume.py --rounds 100 --missed 5000

Two server processes share one Redis. A client opens a stream at the first and leaves; so many events are sent on it;
the client comes back at the second with `Last-Event-ID`, or the other way round. A row gives milliseconds from the
request to the first event and to the last, and how many events were lost or came twice; `own` is the session's own
stream, `answer` that of a call.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import uvloop
from mcp_echo import LEGACY, Connection, header_of, post

from holdfast.core.sealing import new_key_text
from servers.redis import redis_server

SERVER = Path(__file__).parent.parent / "tests" / "e2e" / "streams_server.py"
CLIENT = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
NUMBER = re.compile(rb'"n":(\d+)')
ID = re.compile(rb"^id: (\S+)", re.MULTILINE)
START_S, PATIENCE_S = 20.0, 60.0


@contextmanager
def worker(env: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Run a server until the block ends; yield its port and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, str(SERVER), str(port)], env={**os.environ, **env})
    try:
        until = time.monotonic() + START_S
        while time.monotonic() < until and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


class Stream(asyncio.Protocol):
    """A GET, or a POST that is answered by a stream; it notes when its first and its last event came."""

    def __init__(self, until: bytes, count: int) -> None:
        self._until, self._count, self.data, self._seen = until, count, bytearray(), 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.first = self.last = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        at = max(len(self.data) - len(self._until), 0)
        self.data += data
        self._seen = self.data.count(self._until) if at == 0 else self._seen + self.data.count(self._until, at)
        if self._seen and not self.first:
            self.first = now
        if self._seen >= self._count and not self.done.done():
            self.last = now
            self.done.set_result(None)


async def opened(port: int, request: bytes, until: bytes, count: int = 1) -> tuple[Stream, float]:
    """Send a request over a connection of its own, and wait until so much has come; return when it was sent."""
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(lambda: Stream(until, count), "127.0.0.1", port)
    began = time.perf_counter()
    stream.transport.write(request)
    await asyncio.wait_for(stream.done, PATIENCE_S)
    stream.transport.close()
    return stream, began


def get(port: int, named: dict[str, str], **more: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in {**named, **more}.items()]
    head = ["GET /mcp HTTP/1.1", f"Host: 127.0.0.1:{port}", "Accept: text/event-stream", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n"


def call(port: int, tool: str, count: int, named: dict[str, str], every: float = 0.0) -> bytes:
    params = {"name": tool, "arguments": {"to": count, "every": every, "text": "x" * 100}}
    return post({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}, port, **named)


async def once(kind: str, ports: tuple[int, int], missed: int) -> dict[str, float]:
    """Miss events and come back for them."""
    loop, (here, there) = asyncio.get_running_loop(), ports
    _, connection = await loop.create_connection(Connection, "127.0.0.1", here)
    answer = await connection.once(post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}, here))
    named = {"Mcp_Session_Id": str(header_of(answer, "mcp-session-id")), "MCP_Protocol_Version": LEGACY}
    await connection.once(post({"jsonrpc": "2.0", "method": "notifications/initialized"}, here, **named))
    if kind == "own":
        left, _ = await opened(here, get(here, named), b"id: ")
        await connection.once(call(here, "push", missed, named))
        expected = missed
    else:
        left, _ = await opened(here, call(here, "hang_up", missed, named), b"id: ")
        await asyncio.sleep(missed / 250 + 0.5)  # the call goes on without anybody, and ends
        expected = missed + 1
    cursor = ID.findall(left.data)[0].decode()
    back, began = await opened(
        there, get(there, named, Last_Event_ID=cursor), b"\nid: " if kind == "answer" else b"id: ", expected
    )
    connection.transport.close()
    numbers = [int(found) for found in NUMBER.findall(back.data)]
    ids = ID.findall(back.data)
    return {
        "first": 1000 * (back.first - began),
        "last": 1000 * (back.last - began),
        "lost": len(set(range(missed)) - set(numbers)),
        "twice": len(ids) - len(set(ids)) + (numbers != sorted(numbers)),
    }


async def measured(kind: str, ports: tuple[int, int], rounds: int, missed: int) -> None:
    seen = [await once(kind, ports if place % 2 else ports[::-1], missed) for place in range(rounds + 2)][2:]
    row: dict[str, Any] = {"stream": kind, "missed": missed, "rounds": rounds}
    for name in ("first", "last"):
        times = sorted(one[name] for one in seen)
        p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
        row |= {f"{name}_p50_ms": round(p50, 1), f"{name}_p99_ms": round(p99, 1)}
    print(json.dumps(row | {name: int(sum(one[name] for one in seen)) for name in ("lost", "twice")}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--missed", type=int, default=1000)
    given = parser.parse_args()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        names = {"STORE": redis.url, "KEYS": new_key_text(), "RATE_LIMIT_PER_SESSION": "0"}
        env = {f"HOLDFAST_{name}": value for name, value in names.items()}
        ports = stack.enter_context(worker(env))[0], stack.enter_context(worker(env))[0]
        for kind in ("own", "answer"):
            uvloop.run(measured(kind, ports, given.rounds, given.missed))


if __name__ == "__main__":
    main()
