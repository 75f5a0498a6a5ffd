"""The workers: forked from one process that has imported the server, behind the random proxy of the tests.

What is killed is started again at once, as an orchestrator does it; a worker that cannot start because its store is
out of reach is started again until it can.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from bench.chaos import ROOT
from bench.chaos.control import Control

from e2e.cluster import START_S, Cluster

POLL_S = 0.03
AGAIN_S = 0.5
PORTS = (12_000, 30_000)


class Child:
    """A worker's process; somebody else's child, so nothing but its being there is known."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    @property
    def returncode(self) -> int | None:
        """None while the process is there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return -1
        return None

    @property
    def stopped(self) -> bool:
        """Whether it stands still (SIGSTOP)."""
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
        return False

    def send_signal(self, number: int) -> None:
        """Send a signal, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def wait(self) -> None:
        """Wait until it is gone."""
        while self.returncode is None:
            await anyio.sleep(POLL_S)


class Nursery:
    """The process that workers are forked from."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self._process, self._answers = process, BufferedByteReceiveStream(process.stdout)
        self._turn = anyio.Lock()

    async def fork(self, **job: object) -> Child:
        """Start a worker."""
        async with self._turn:
            assert self._process.stdin is not None
            await self._process.stdin.send(json.dumps(job).encode() + b"\n")
            return Child(int(await self._answers.receive_until(b"\n", 32)))


class Fleet(Cluster):
    """Workers that are killed, frozen, and started again."""

    def __init__(self, nursery: Nursery, folder: Path, count: int, env: Mapping[str, str]) -> None:
        super().__init__(lambda port: ["serve", "--port", str(port)], count, env)
        self._nursery, self._folder = nursery, folder
        self.ports = lasting_ports(count)
        self.controls = [Control(folder / f"worker-{number}.control") for number in range(count)]
        self.up: set[int] = set()

    def child(self, number: int) -> Child | None:
        """Return a worker's process, None while there is none."""
        return self._processes[number]  # type: ignore[return-value]

    async def start(self, number: int) -> None:
        """Start a worker and wait until it takes connections."""
        port = self.ports[number]
        self.controls[number].step = 0
        log = str(self._folder / f"worker-{number}.log")
        env = dict(self._env or {})
        control = str(self._folder / f"worker-{number}.control")
        child = await self._nursery.fork(log=log, control=control, env=env, arguments=list(self._command(port)))
        self._processes[number] = child  # type: ignore[call-overload]
        with anyio.fail_after(START_S):
            while child.returncode is None:
                with suppress(OSError):
                    await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                    self.up.add(child.pid)
                    return
                await anyio.sleep(POLL_S)
        raise RuntimeError(f"worker {number} did not start; see {log}")

    async def shoot(self, number: int, *, spare_the_last: bool) -> bool:
        """Kill a worker that serves, or stands still; False if there was none, or no other one serves."""
        child, others = self.child(number), [n for n in range(len(self.ports)) if n != number]
        if child is None or child.pid not in self.up or child.returncode is not None:
            return False
        if spare_the_last and not any(self._serves(self.child(other)) for other in others):
            return False
        await self.kill(number)
        return True

    async def kill(self, number: int) -> None:
        """End a worker with SIGKILL. Another may have taken its place when this returns."""
        child = self.child(number)
        if child is not None:
            child.send_signal(signal.SIGKILL)
            await child.wait()

    async def keep_running(self, number: int) -> None:
        """Start a worker, and again whenever it is gone."""
        while True:
            with suppress(RuntimeError, TimeoutError):
                await self.start(number)
                child = self.child(number)
                if child is not None:
                    await child.wait()
                    continue
            await anyio.sleep(AGAIN_S)

    async def all_up(self) -> None:
        """Let every worker run: what is frozen goes on, what is being started has started, and every clock is right."""
        for control in self.controls:
            control.offset, control.step = 0.0, 0
        while not all(self._serves(child) for child in self._children()):
            for child in self._children():
                if child is not None:
                    child.send_signal(signal.SIGCONT)
            await anyio.sleep(POLL_S)

    def _serves(self, child: Child | None) -> bool:
        return child is not None and child.pid in self.up and child.returncode is None and not child.stopped

    def _children(self) -> list[Child | None]:
        return [self.child(number) for number in range(len(self.ports))]


def lasting_ports(count: int) -> list[int]:
    """Return free ports below those that outgoing connections get: they stay free while a worker is down."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
    return ports


@asynccontextmanager
async def fleet(folder: Path, count: int, env: Mapping[str, str], *, plant: str = "") -> AsyncIterator[Fleet]:
    """Run workers behind the proxy until the block ends, with a fault of `planted` if one is named."""
    command = [sys.executable, "-m", "bench.chaos.worker", *filter(None, [plant])]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=256)
    async with (
        await anyio.open_process(command, stdin=subprocess.PIPE, stderr=None, cwd=ROOT, env=outside) as process,
        listener,
        anyio.create_task_group() as tasks,
    ):
        workers = Fleet(Nursery(process), folder, count, env)
        workers.url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        try:
            for number in range(count):
                tasks.start_soon(workers.keep_running, number)
            with anyio.fail_after(START_S):
                await workers.all_up()
            tasks.start_soon(listener.serve, workers.proxy)
            yield workers
        finally:
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                for number in range(count):
                    await workers.kill(number)
            process.terminate()
