"""`holdfast serve`, forked from a process that has imported it already: with two cores, one kill a second needs that.

Reads one job per line on stdin (log, control file, environment, arguments) and answers with the child's process id.
A worker is the real server; only two things are done to it, by `Control`: its wall clock is off by some seconds, and
it stops itself (SIGSTOP) at a given await of an operation, counted from the lease on. `Steps` counts: it passes on
everything that the operation awaits.
"""

import contextlib
import ctypes
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any

from bench.chaos.control import OPERATIONS, Control

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
control: Control | None = None
real_time = time.time


def shifted_time() -> float:
    """Return what this worker takes for the time."""
    return real_time() + (control.offset if control is not None else 0.0)


class Steps:
    """Awaits an operation and stops the process at its n-th await under a lease."""

    def __init__(self, operation: Coroutine[Any, Any, Any], name: str, number: int, *, leased: bool) -> None:
        self._operation, self._name, self._number = operation, name, number
        self.leased = leased
        self.count = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        token = current.set(self)
        try:
            send, value = self._operation.send, None
            while True:
                try:
                    awaited = send(value)
                except StopIteration as done:
                    return done.value
                try:
                    send, value = self._operation.send, (yield awaited)
                except BaseException as error:  # noqa: BLE001 - it is the operation's
                    send, value = self._operation.throw, error
                self._pass()
        finally:
            current.reset(token)

    def take_lease(self) -> None:
        """Begin to count."""
        self.leased = True

    def _pass(self) -> None:
        self.count += self.leased
        if self.leased and self.count == self._number:
            assert control is not None
            control.frozen = (self._name, self.count)
            os.kill(os.getpid(), signal.SIGSTOP)


current: ContextVar[Steps | None] = ContextVar("current", default=None)


def stepping(
    name: str, function: Callable[..., Coroutine[Any, Any, Any]], *, leased: bool
) -> Callable[..., Awaitable[Any]]:
    """Return the operation such that it stops where the control file says, once; `leased`: it begins under a lease."""

    @wraps(function)
    async def run(*arguments: Any, **named: Any) -> Any:
        number = control.step if control is not None else 0
        if not number or control is None:
            return await function(*arguments, **named)
        control.step = 0
        return await Steps(function(*arguments, **named), name, number, leased=leased)

    return run


def prepare(plant: str = "") -> None:
    """Import the server, with a fault if one is named, and count the awaits of all that works under a logon's lease."""
    time.time = shifted_time  # before anything keeps a reference to it
    import holdfast.app
    import holdfast.cli
    import holdfast.mcp.tools.abap  # noqa: F401
    from holdfast.adt.changing import Changing
    from holdfast.adt.kinds import Keeping
    from holdfast.adt.locking import Locking
    from holdfast.core.holding import Held

    if plant:
        from bench.chaos.planted import PLANTS

        PLANTS[plant]()
    methods = (
        (Changing, "_update"),
        (Changing, "_unlock"),
        (Locking, "_lock"),
        (Keeping, "keep_backend"),
        (Keeping, "close_lock"),
        (Keeping, "close_backend"),
    )
    for name, (owner, method) in zip(OPERATIONS, methods, strict=True):
        setattr(owner, method, stepping(name, getattr(owner, method), leased=owner is Keeping))
    enter = Held.__aenter__

    async def entered(self: Held) -> Held:
        steps = current.get()
        if steps is not None:
            steps.take_lease()
        return await enter(self)

    Held.__aenter__ = entered  # type: ignore[method-assign, assignment]
    for module in ("holdfast.stores.redis", "holdfast.stores.postgres"):
        with contextlib.suppress(ImportError):
            __import__(module)


def become_worker(job: dict[str, Any]) -> None:
    """Serve until the process ends."""
    global control  # noqa: PLW0603
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(job["env"])
    random.seed()
    control = Control(Path(job["control"]))
    from holdfast.cli import main

    sys.argv = ["holdfast", *job["arguments"]]
    main()


def main() -> None:
    """Fork a worker for each line."""
    prepare(*sys.argv[1:])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who were killed
    for line in iter(sys.stdin.readline, ""):
        job = json.loads(line)
        child = os.fork()
        if not child:
            code = 1
            try:
                become_worker(job)
                code = 0
            except SystemExit as stopped:
                code = stopped.code if isinstance(stopped.code, int) else 1
            except BaseException:  # noqa: BLE001 - the last word of a process
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
