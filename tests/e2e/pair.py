"""Two server processes on one SQLite file, for the tests of a module: started once, asked over HTTP, looked into."""

import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import httpx2
import msgspec

from e2e.cluster import START_S, free_port
from holdfast.core.model import Record
from holdfast.mcp.kinds import SESSION
from holdfast.stores import open_store

PATIENCE_S = 20.0
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # else each client reads all certificates of the machine


class Pair:
    """The processes; `number` says which of them is asked. `known` is the tests' own: what they share."""

    def __init__(self, ports: Sequence[int], store: str) -> None:
        self._ports, self._store = ports, store
        self.known: dict[str, str] = {}

    def url(self, number: int, target: str = "/mcp") -> str:
        return f"http://127.0.0.1:{self._ports[number % len(self._ports)]}{target}"

    async def ask(
        self, number: int, method: str, body: Any, head: Sequence[tuple[str, str]], target: str = "/mcp"
    ) -> httpx2.Response:
        """Send one request as it stands: nothing is added to its head but Host and Content-Length."""
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        async with httpx2.AsyncClient(timeout=PATIENCE_S, verify=NO_TLS) as client:
            client.headers.clear()
            return await client.request(method, self.url(number, target), content=content, headers=list(head))

    @asynccontextmanager
    async def stream(self, number: int, head: Mapping[str, str], target: str = "/mcp") -> AsyncIterator["Stream"]:
        """Open a GET stream until the block ends."""
        async with (
            httpx2.AsyncClient(timeout=PATIENCE_S, verify=NO_TLS) as client,
            client.stream("GET", self.url(number, target), headers={"accept": "text/event-stream", **head}) as answer,
        ):
            stream = Stream(answer)  # kept here: one that is forgotten closes its connection
            yield stream

    async def sessions(self) -> list[Record]:
        """Return the sessions that live."""
        async with open_store(self._store) as store:
            records = await store.sessions.find("kind", SESSION)
        return [record for record in records if record.ended_at is None and record.ends_at > time.time()]

    async def expire(self, mark: str) -> None:
        """Let a session's time be over."""
        async with open_store(self._store) as store:
            [record] = [one for one in await store.sessions.find("kind", SESSION) if one.mark == mark]
            now = time.time()
            await store.sessions.replace(msgspec.structs.replace(record, ends_at=now - 1), now=now)


class Stream:
    """A stream as it is read."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer, self._chunks, self.text = answer, answer.aiter_text(), ""

    async def until(self, text: str) -> str:
        """Read until a text has come; return all there was."""
        with anyio.fail_after(PATIENCE_S):
            while text not in self.text:
                self.text += await anext(self._chunks)
        return self.text

    async def rest(self) -> str:
        """Read to the end."""
        with anyio.fail_after(PATIENCE_S):
            async for text in self._chunks:
                self.text += text
        return self.text


@contextmanager
def two_processes(
    command: Callable[[int], Sequence[str]], store: str, env: Mapping[str, str] | None = None, *, count: int = 2
) -> Iterator[Pair]:
    """Start two servers, each by `command(port)`, and end them with the block; one serves a store in memory."""
    ports = [free_port() for _ in range(count)]
    processes = [subprocess.Popen(list(command(port)), env=env) for port in ports]
    try:
        for process, port in zip(processes, ports, strict=True):
            _wait_for(process, port)
        yield Pair(ports, store)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"a server takes no connections; it ended with {process.poll()}")
