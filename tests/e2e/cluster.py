"""Several server processes behind a proxy that picks one at random for every request: how end-to-end tests run.

async with cluster(lambda port: [sys.executable, "server.py", "--port", str(port)]) as workers:
    await client.get(workers.url + "/mcp")
    await workers.kill(0)       # SIGKILL; the proxy goes on with the other one
    await workers.start(0)
    await workers.cut()         # every connection through the proxy breaks; the workers go on
"""

import random
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import ByteStream, Process

START_S = 90.0
STOP_S = 10.0
HEAD_BYTES = 65_536
_CONNECTION = re.compile(rb"\r\nconnection:[^\r\n]*", re.IGNORECASE)


def free_port() -> int:
    """Return a port that nobody listens on, below those the system gives to clients.

    A client that asks whether a worker is up again could be given the worker's own port, and meet itself.
    """
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
            return int(probe.getsockname()[1])


class Cluster:
    """The processes and the proxy. `url` is the proxy's; `served` counts the requests each worker got."""

    def __init__(self, command: Callable[[int], Sequence[str]], count: int, env: Mapping[str, str] | None) -> None:
        self._command, self._env = command, env
        self.ports = [free_port() for _ in range(count)]
        self._processes: list[Process | None] = [None] * count
        self.served = [0] * count
        self.url = ""
        self._random = random.Random(0)
        self._clients: set[ByteStream] = set()

    async def start(self, number: int) -> None:
        """Start a worker and wait until it takes connections."""
        port = self.ports[number]
        self._processes[number] = process = await anyio.open_process(
            list(self._command(port)), env=self._env, stdin=subprocess.DEVNULL, stdout=None, stderr=None
        )
        with anyio.fail_after(START_S):
            while True:
                if process.returncode is not None:
                    raise RuntimeError(f"worker {number} ended with {process.returncode}")
                try:
                    await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                    return
                except OSError:
                    await anyio.sleep(0.05)

    def pid(self, number: int) -> int:
        """Return the process id of a worker that runs."""
        process = self._processes[number]
        assert process is not None
        return process.pid

    async def kill(self, number: int) -> None:
        """End a worker with SIGKILL: it cannot do anything more."""
        await self._end(number, signal.SIGKILL)

    async def stop(self, number: int) -> int | None:
        """End a worker with SIGTERM and return its exit code; raise TimeoutError if it takes longer than 10 s."""
        return await self._end(number, signal.SIGTERM)

    async def cut(self) -> None:
        """Break every connection through the proxy, as a network does; the workers go on."""
        for client in list(self._clients):
            await anyio.aclose_forcefully(client)

    async def close(self) -> None:
        """Leave no process behind."""
        with anyio.CancelScope(shield=True):
            for number in range(len(self.ports)):
                try:
                    await self.stop(number)
                except TimeoutError:
                    await self.kill(number)

    async def _end(self, number: int, how: signal.Signals) -> int | None:
        process = self._processes[number]
        if process is None:
            return None
        if process.returncode is None:
            process.send_signal(how)
            with anyio.fail_after(STOP_S):
                await process.wait()
        self._processes[number] = None
        return process.returncode

    async def proxy(self, client: ByteStream) -> None:
        """Pass one request on to a worker chosen at random, and its answer back; then close."""
        self._clients.add(client)
        async with client:
            try:
                head, rest = await _head(client)
                async with await self._upstream() as upstream:
                    await upstream.send(_CONNECTION.sub(b"", head) + b"\r\nConnection: close\r\n\r\n" + rest)
                    await _relay(client, upstream)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                return
            finally:
                self._clients.discard(client)

    async def _upstream(self) -> ByteStream:
        alive = [n for n, process in enumerate(self._processes) if process is not None and process.returncode is None]
        self._random.shuffle(alive)
        for number in alive:
            try:
                stream = await anyio.connect_tcp("127.0.0.1", self.ports[number])
            except OSError:
                continue
            self.served[number] += 1
            return stream
        raise OSError("no worker is up")


@asynccontextmanager
async def cluster(
    command: Callable[[int], Sequence[str]], *, count: int = 2, env: Mapping[str, str] | None = None, port: int = 0
) -> AsyncIterator[Cluster]:
    """Run `count` workers, each started by `command(port)`, behind the proxy until the block ends.

    `port` is the proxy's, for workers that have to know where clients reach them; any free one if left out.
    """
    workers = Cluster(command, count, env)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    workers.url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
    async with listener, anyio.create_task_group() as tasks:
        try:
            async with anyio.create_task_group() as starting:
                for number in range(count):
                    starting.start_soon(workers.start, number)
            tasks.start_soon(listener.serve, workers.proxy)
            yield workers
        finally:
            await workers.close()
            tasks.cancel_scope.cancel()


async def _head(client: ByteStream) -> tuple[bytes, bytes]:
    """Read up to the empty line; return the head without it, and what of the body came along."""
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > HEAD_BYTES:
            raise OSError("the head is too long")
        data += await client.receive()
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


async def _relay(client: ByteStream, upstream: ByteStream) -> None:
    """Pass bytes both ways until one side closes."""
    async with anyio.create_task_group() as tasks:

        async def copy(source: ByteStream, target: ByteStream) -> None:
            try:
                async for data in source:
                    await target.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(copy, client, upstream)
        tasks.start_soon(copy, upstream, client)
