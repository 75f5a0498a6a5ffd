"""Several server processes on one port: started, started again when they die, and told to stop.

This process binds the port and serves nothing itself. Every worker is a process of its own that inherits the socket: a
connection that nobody has taken yet is not lost with a worker that is killed. A worker's stdin is a pipe from here, and
ends when this process does, however that comes about; on its stdout it says that it serves.
"""

import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio
from anyio.abc import Process, TaskStatus

STEADY_S: Final = 30.0  # a worker that lived so long is replaced at once
SHORTEST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 15.0

log = logging.getLogger(__name__)


class Workers:
    """Keeps `count` workers running.

    Args:
        command: What a worker runs.
        env: Its environment.
        socket_fd: The descriptor it inherits.
        patience: Seconds after which a worker that was told to stop is killed.
    """

    def __init__(
        self, command: list[str], env: Mapping[str, str], *, socket_fd: int, count: int, patience: float
    ) -> None:
        self._command, self._env, self._socket_fd, self._count = command, env, socket_fd, count
        self._patience = patience
        self._processes: set[Process] = set()
        self._stopping = anyio.Event()
        self._code = 0

    async def run(self, ready: Callable[[], None]) -> int:
        """Run them until SIGTERM or SIGINT; call `ready` once all serve.

        Return the exit code: 0, 1 if a worker had to be killed, or that of a worker that could not start at first.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._obey)
            tasks.start_soon(self._lose_patience)
            async with anyio.create_task_group() as kept:
                await kept.start(self._keep)  # alone: what is wrong with the settings is said once
                async with anyio.create_task_group() as others:
                    for _ in range(self._count - 1):
                        others.start_soon(kept.start, self._keep)
                if not self._stopping.is_set():
                    ready()
            tasks.cancel_scope.cancel()
        return self._code

    async def _obey(self) -> None:
        """Pass on what tells this process to stop."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                self._stop(number)

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        for process in self._processes:
            _send(process, number)

    async def _lose_patience(self) -> None:
        """Kill the workers that take too long to end."""
        await self._stopping.wait()
        await anyio.sleep(self._patience)
        for process in self._processes:
            log.error("worker %d did not end in %.0f s and is killed", process.pid, self._patience)
            _send(process, signal.SIGKILL)
            self._code = 1

    async def _keep(self, *, task_status: TaskStatus[None]) -> None:
        """Run one worker after the other, until told to stop."""
        pause, once = SHORTEST_PAUSE_S, False
        while not self._stopping.is_set():
            began = anyio.current_time()
            try:
                async with self._worker() as process:
                    if await _serves(process) and not once:
                        task_status.started()
                        once = True
                    code = await process.wait()
                ended = f"worker {process.pid} ended with {code}"
            except OSError as exc:
                ended, code = f"a worker could not be started ({exc.strerror})", 1
            if self._stopping.is_set():
                break
            if not once:
                log.error("%s: none has served in its place yet", ended)
                self._code = code
                self._stop(signal.SIGTERM)
                break
            pause = SHORTEST_PAUSE_S if anyio.current_time() - began >= STEADY_S else min(2 * pause, LONGEST_PAUSE_S)
            log.warning("%s; another one starts in %.2f s", ended, pause)
            with anyio.move_on_after(pause):
                await self._stopping.wait()
        if not once:
            task_status.started()

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[Process]:
        """Start a worker; at the end of the block it has ended."""
        process = await anyio.open_process(
            self._command,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            pass_fds=(self._socket_fd,),
            start_new_session=True,  # Ctrl-C comes to this process, which passes it on
        )
        self._processes.add(process)
        if self._stopping.is_set():
            _send(process, signal.SIGTERM)
        try:
            yield process
        finally:
            self._processes.discard(process)
            with anyio.CancelScope(shield=True):
                _send(process, signal.SIGKILL)
                await process.aclose()


async def _serves(process: Process) -> bool:
    """Wait until a worker says that it serves; False if it ends instead."""
    assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
    try:
        await process.stdout.receive()
    except anyio.EndOfStream:
        return False
    return True


def _send(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def worker_command(socket_fd: int, *, verbose: bool) -> list[str]:
    """Return the command of a worker that serves on an inherited socket."""
    flags = ["--verbose"] if verbose else []
    return [sys.executable, "-m", "holdfast", *flags, "serve", "--socket", str(socket_fd)]
