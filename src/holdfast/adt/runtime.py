"""One event loop in one daemon thread of our own, for callers that have none, or have one that comes and goes.

It is started by the first call and opens the ABAP face as configured. It works inside a running loop, in Jupyter and
after a fork (a child gets its own). At exit the sessions this process has opened are ended, for 2 s at most; what is
not done by then is done by the next worker on the same store: correctness never depends on exit.
"""

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from holdfast.adt.desk import Caller
from holdfast.adt.embedded import open_embedded
from holdfast.adt.service import Abap

T = TypeVar("T")
EXIT_S: Final = 2.0
LOCAL: Final = Caller("local", "local")
Work = Callable[[Abap, Caller], Awaitable[T]]


class Runtime:
    """The loop, its thread, and the ABAP face that lives there."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._started: concurrent.futures.Future[Abap] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    async def run(self, work: Work[T]) -> T:
        """Do work on the face and return its result, from whatever loop this is awaited in."""
        if asyncio.get_running_loop() is self._loop:
            return await work(self._face(), LOCAL)
        return await asyncio.wrap_future(self._submit(lambda: self._here(work)))

    def block(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine in the loop of ours and wait for its result."""
        future = self._submit(call)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End what this process has opened and stop, within a bound."""
        loop, stop, thread = self._loop, self._stop, self._thread
        if loop is None or stop is None or thread is None:
            return
        loop.call_soon_threadsafe(stop.set)
        thread.join(EXIT_S)

    def forget(self) -> None:
        """Start afresh in a forked child: the thread stayed with the parent."""
        self.__init__()  # type: ignore[misc]

    # -- inside

    async def _here(self, work: Work[T]) -> T:
        return await work(self._face(), LOCAL)

    def _face(self) -> Abap:
        if self._started is None:
            raise RuntimeError("the runtime has not been started")
        return self._started.result()

    def _submit(self, call: Callable[[], Coroutine[Any, Any, T]]) -> concurrent.futures.Future[T]:
        self._start().result()
        if self._loop is None:
            raise RuntimeError("the runtime has been closed")
        return asyncio.run_coroutine_threadsafe(call(), self._loop)

    def _start(self) -> concurrent.futures.Future[Abap]:
        """Start the thread if it does not run; one that could not open the face is started again."""
        with self._guard:
            if self._started is None or (self._started.done() and self._started.exception() is not None):
                self._started = concurrent.futures.Future()
                self._thread = threading.Thread(
                    target=self._main, args=(self._started,), name="holdfast-abap", daemon=True
                )
                self._thread.start()
            return self._started

    def _main(self, started: concurrent.futures.Future[Abap]) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as exc:  # noqa: BLE001 - it is raised where the runtime was started
            if not started.done():
                started.set_exception(exc)

    async def _serve(self, started: concurrent.futures.Future[Abap]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with open_embedded() as opened:
            opened.abap.opened = []
            started.set_result(opened.abap)
            await self._stop.wait()
            await opened.abap.end_opened()


runtime = Runtime()
atexit.register(runtime.close)
os.register_at_fork(after_in_child=runtime.forget)
