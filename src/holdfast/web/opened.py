"""An engine and what stands on it, opened with the ASGI lifespan, or by the first request where nobody runs one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Opened(Generic[T]):
    """What `open()` yields, once per process: while the lifespan runs, else from the first request on.

    Without a lifespan a task of the event loop's own holds it open: no request outlives the rest.
    """

    def __init__(self, open: Callable[[], AbstractAsyncContextManager[T]]) -> None:  # noqa: A002
        self._open = open
        self._host: asyncio.Task[None] | None = None
        self._waiting: asyncio.Future[T] | None = None
        self.value: T | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[T]:
        """Open it until the block ends."""
        async with self._open() as value:
            self.value = value
            try:
                yield value
            finally:
                self.value = None

    async def get(self) -> T:
        """Return what was opened; open it now if nobody has."""
        if self.value is not None:
            return self.value
        if self._waiting is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            self._host = loop.create_task(self._hold(self._waiting))
        return await asyncio.shield(self._waiting)

    async def aclose(self) -> None:
        """Close it."""
        host, self._host, self._waiting = self._host, None, None
        if host is not None:
            host.cancel()
            await asyncio.wait([host])

    async def _hold(self, waiting: "asyncio.Future[T]") -> None:
        try:
            async with self.running() as value:
                waiting.set_result(value)
                await anyio.sleep_forever()
        except Exception as exc:
            if waiting.done():
                raise
            self._waiting = None  # the next request tries again
            waiting.set_exception(exc)
