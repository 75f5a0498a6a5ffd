"""Work that goes on when the one who asked for it has gone: a back-end request once sent is not cut off (E18)."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from holdfast.errors import BackendUnavailable, HoldfastError

T = TypeVar("T")


class _Errand(Generic[T]):
    """One piece of work and its outcome."""

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._done = anyio.Event()
        self._result: list[T] = []
        self._error: Exception | None = None
        self.left_alone: Callable[[T], Awaitable[None]] | None = None

    async def run(self) -> None:
        """Do the work; if nobody waits for the result any more, hand it to `left_alone`."""
        try:
            result = await self._work()
            self._result.append(result)
            if self.left_alone is not None:
                await self.left_alone(result)
        except Exception as exc:  # noqa: BLE001 - it is raised again where the result is awaited
            self._error = exc
        finally:
            self._done.set()

    @property
    def done(self) -> list[T]:
        """The result as the only element, as soon as it is there."""
        return self._result if self._done.is_set() else []

    async def result(self) -> T:
        """Wait for the outcome."""
        await self._done.wait()
        if self._result:
            return self._result[0]
        raise self._error or BackendUnavailable("the server is shutting down")


class Errands:
    """Runs work in tasks of its own; the caller waits for the result, and may be cancelled without harm to the work."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks

    async def run(
        self, work: Callable[[], Awaitable[T]], *, left_alone: Callable[[T], Awaitable[None]] | None = None
    ) -> T:
        """Do the work and return its result. A cancelled caller leaves at once; the work goes on to its end.

        `left_alone` is called with the result if the caller has left before it was there.
        """
        errand = _Errand(work)
        self._tasks.start_soon(errand.run)
        try:
            return await errand.result()
        except anyio.get_cancelled_exc_class():
            errand.left_alone = left_alone
            if left_alone is not None and errand.done:  # it came in the moment in which the caller left
                self.later(partial(left_alone, *errand.done))
            raise

    def later(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do work nobody waits for, soon. It may be left undone if the store is out of reach: others find it due."""
        self._tasks.start_soon(self._quietly, work)

    async def _quietly(self, work: Callable[[], Awaitable[object]]) -> None:
        with contextlib.suppress(HoldfastError):
            await work()


@asynccontextmanager
async def open_errands() -> AsyncIterator[Errands]:
    """Run errands until the block ends, and wait for those on their way: each is bounded by the back-end time-out."""
    failure: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield Errands(tasks)
        except BaseException as exc:  # noqa: BLE001 - raised again below, not wrapped in the group of our own tasks
            failure = exc
    if failure is not None:
        raise failure
