"""The place of the attacks: two processes on one store behind a proxy that picks at random, and means to look inside.

    async with target(place, tmp_path) as attacked:
        named = await attacked.session()
        assert (await attacked.post(call("echo", text="a"), **named)).status_code == 200

What the servers tell is read from the files in which an operator has it: the audit trail and the logs.
"""

import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2

from e2e.cluster import Cluster, cluster
from e2e.mcp_world import LEGACY, initialize, notification, request
from e2e.wire import JSON_HEADERS, Event
from holdfast.core.manager import Manager
from holdfast.core.model import Record, State
from holdfast.core.policy import expires_at
from holdfast.core.ports import each
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.mcp.kinds import KINDS, SESSION
from stores.stores import Place

SERVER: Final = Path(__file__).with_name("server.py")
STREAM: Final = {"accept": "text/event-stream"}
PATIENCE: Final = 30.0
DIALECT: Final = {"dialect": "fast-mcp"}
UNKNOWN: Final = "A" * 43  # the form of an id, and nobody's
STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def as_headers(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class Target:
    """What is attacked."""

    def __init__(self, workers: Cluster, place: Place, folder: Path, http: httpx2.AsyncClient, key: str) -> None:
        self.workers, self.place, self.folder, self.http, self.key = workers, place, folder, http, key
        self.url = f"{workers.url}/mcp"

    async def send(self, method: str, body: Any = None, *, query: str = "", **headers: str) -> httpx2.Response:
        """Send a request and return the whole answer."""
        named = {**JSON_HEADERS, **as_headers(headers)}
        return await self.http.request(method, self.url + query, json=body, headers=named)

    async def post(self, body: Any, *, query: str = "", **headers: str) -> httpx2.Response:
        """POST a message."""
        return await self.send("POST", body, query=query, **headers)

    async def session(self, **headers: str) -> dict[str, str]:
        """Open a session by `initialize`; return the headers with which it is used."""
        opened = await self.post(initialize(), **headers)
        assert opened.status_code == 200, opened.text
        named = {**headers, "mcp_session_id": opened.headers["mcp-session-id"], "mcp_protocol_version": LEGACY}
        assert (await self.post(notification("notifications/initialized"), **named)).status_code == 202
        return named

    async def used(self, session_id: str, **headers: str) -> int:
        """Use a session as ann, and return the status."""
        named = {"authorization": "Bearer ann.1", **headers}
        return (await self.post(request("ping"), mcp_session_id=session_id, **named)).status_code

    @asynccontextmanager
    async def reading(self, *, query: str = "", **headers: str) -> AsyncIterator["Reader"]:
        """Read a stream in the background."""
        reader = Reader()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reader.read, self.http, self.url + query, {**STREAM, **as_headers(headers)})
            await reader.until(lambda seen: seen.status)
            yield reader
            tasks.cancel_scope.cancel()

    async def records(self, kind: str = "mcp", *, live: bool = True) -> list[Record]:
        """Return what the store has of a kind, past the servers."""
        async with self.place.open() as store:
            found = [record async for record in each(store.sessions, "kind", kind)]
        now = time.time()
        return [r for r in found if not live or (r.state is State.LIVE and expires_at(r) > now)]

    async def content_of(self, named: dict[str, str]) -> dict[str, Any]:
        """Return the content of the session that these headers name, past the servers."""
        async with self.place.open() as store:
            manager = Manager(store, KeyRing.parse(self.key), KINDS, worker="judge")
            return dict((await manager.load(named["mcp_session_id"], kind=SESSION, touch=False)).content)

    def told(self, fact: str) -> list[dict[str, Any]]:
        """Return the entries of the audit trail about one fact."""
        path = self.folder / "audit.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["fact"] == fact]

    def log(self) -> bytes:
        """Return what all servers have logged."""
        return b"".join(path.read_bytes() for path in sorted(self.folder.glob("log.*")))

    def resident(self) -> int:
        """Return how many bytes of memory the servers have."""
        pages = [
            Path(f"/proc/{self.workers.pid(n)}/statm").read_text().split()[1] for n in range(len(self.workers.ports))
        ]
        return sum(map(int, pages)) * os.sysconf("SC_PAGE_SIZE")

    async def raw(self, data: bytes, *, worker: int | None = None, wait: float = 3.0) -> bytes:
        """Send bytes, to a worker or the proxy; return all that came back until it was closed or silent for `wait`."""
        port = int(self.workers.url.rpartition(":")[2]) if worker is None else self.workers.ports[worker]
        answer = b""
        async with await anyio.connect_tcp("127.0.0.1", port) as stream, anyio.create_task_group() as tasks:

            async def send() -> None:
                try:
                    await stream.send(data)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return  # it refuses to read on

            tasks.start_soon(send)
            try:
                while True:
                    with anyio.fail_after(wait):
                        answer += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError, TimeoutError):
                tasks.cancel_scope.cancel()
        return answer


class Reader:
    """A stream that is read in the background."""

    def __init__(self) -> None:
        self.text, self.status, self.ended = "", 0, False

    @property
    def events(self) -> list[Event]:
        blocks = self.text.split("\n\n")[:-1]
        return [Event(block) for block in blocks if not all(line.startswith(":") for line in block.split("\n"))]

    def told(self, name: str) -> list[Any]:
        return [event.message for event in self.events if event.name == name]

    async def read(self, client: httpx2.AsyncClient, url: str, headers: dict[str, str]) -> None:
        async with client.stream("GET", url, headers=headers, timeout=None) as answer:
            self.status = answer.status_code
            async for text in answer.aiter_text():
                self.text += text
        self.ended = True

    async def until(self, condition: Any) -> None:
        with anyio.fail_after(PATIENCE):
            while not condition(self):
                await anyio.sleep(0.01)


def statuses(answer: bytes) -> list[int]:
    """Return the status of every answer in what came over a connection."""
    return [int(found) for found in STATUS.findall(answer)]


def head(*lines: str, method: str = "POST", target: str = "/mcp", host: str = "127.0.0.1") -> bytes:
    """Return the head of a request as bytes, exactly as written."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")


def raw_post(body: Any, *lines: str) -> bytes:
    """Return a whole POST of a message, with these lines in its head."""
    data = json.dumps(body).encode()
    named = [f"{name}: {value}" for name, value in JSON_HEADERS.items()]
    return head(*named, *lines, f"Content-Length: {len(data)}") + data


@asynccontextmanager
async def target(
    place: Place, folder: Path, *, count: int = 2, settings: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[Target]:
    """Run servers on a store, with these settings (of the environment) and options (of `asgi`)."""
    key = new_key_text()
    base = {"STORE": place.url, "NAMESPACE": place.namespace, "KEYS": key, **(settings or {})}
    env = {**os.environ, **{f"HOLDFAST_{name}": value for name, value in base.items()}}

    def command(port: int) -> Sequence[str]:
        return [sys.executable, str(SERVER), str(port), str(folder), json.dumps(options)]

    with anyio.fail_after(4 * PATIENCE):
        async with cluster(command, count=count, env=env) as workers, httpx2.AsyncClient(timeout=PATIENCE) as http:
            yield Target(workers, place, folder, http, key)
