"""What the flows of this worker are doing: counted, refused once it stops, given up when the time for it is over."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from holdfast.core.mistakes import Mistakes
from holdfast.errors import ServerStopping

Result = TypeVar("Result")


class Work:
    """The errands under way."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._tasks: TaskGroup | None = None
        self._mistakes = Mistakes("a sender of a flow")
        self.stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let errands be left to themselves in this block; at its end they are cancelled."""
        failure: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield
            except BaseException as exc:  # noqa: BLE001 - raised again below, not wrapped in the group of our own tasks
                failure = exc
            self._tasks = None
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def leave(self, errand: Callable[[], Awaitable[object]]) -> None:
        """Do an errand that nobody waits for; what it raises is logged. Raises ServerStopping: it was not begun."""
        if self._tasks is None or self.stopping:
            raise _stopping()
        self._tasks.start_soon(self._alone, errand)

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._scopes)

    async def do(self, errand: Callable[[], Awaitable[Result]]) -> Result:
        """Do an errand and return its result. Raises ServerStopping: it was not begun, or was given up."""
        if self.stopping:
            raise _stopping()
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                return await errand()
            finally:
                self._scopes.discard(scope)
        raise ServerStopping("the server has gone down before the flow was through")

    def stop(self) -> None:
        """Begin nothing more. What is under way goes on."""
        self.stopping = True

    def give_up(self) -> None:
        """Cancel what is under way."""
        self.stop()
        for scope in self._scopes:
            scope.cancel()

    async def _alone(self, errand: Callable[[], Awaitable[object]]) -> None:
        try:
            await errand()
        except Exception as exc:  # noqa: BLE001 - the others go on
            self._mistakes.note(exc)


def _stopping() -> ServerStopping:
    return ServerStopping("the server is going down; nothing was begun", hint="Send it again in a few seconds.")
