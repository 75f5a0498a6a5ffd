"""Calls that take time: who withdraws them, whose client leaves, which stream needs a sign of life.

Most calls are over before any of this matters. A call that has to wait is looked after from its first quarter of a
second on, by one task for it; before that it costs an entry in a set.
"""

import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final

import anyio
from anyio.abc import TaskGroup

from holdfast._asgi import Receive
from holdfast.core.holding import Running
from holdfast.core.together import STORE_DOWN_S
from holdfast.errors import ServerStopping
from holdfast.mcp.answer import Answer
from holdfast.mcp.jsonrpc import RequestId
from holdfast.mcp.presence import gone

logger = logging.getLogger(__name__)

PATIENCE_S: Final = 0.25
KEEP_ALIVE_S: Final = 15.0

CallName = tuple[bytes, RequestId]  # the key of a session and the id of a request in it


class Withdrawn(Exception):
    """The client no longer wants the answer: it said so, or in the modern era it closed the connection."""


class _Alone:
    """What a call outside of any session runs in; in one it is `core.holding.Running`."""

    __slots__ = ("_scope",)

    def __init__(self) -> None:
        self._scope = anyio.CancelScope()

    async def __aenter__(self) -> None:
        self._scope.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._scope.__exit__(kind, error, trace)

    def withdraw(self) -> None:
        self._scope.cancel()


class _Call:
    __slots__ = ("answer", "leaves", "receive", "running", "seen", "stopped", "watch")

    def __init__(self, answer: Answer, receive: Receive, running: Running | None, *, leaves: bool) -> None:
        self.answer, self.receive, self.leaves = answer, receive, leaves
        self.running = running or _Alone()
        self.watch: anyio.CancelScope | None = None
        self.seen = self.stopped = False


class Calls:
    """The calls that wait in this process.

    Args:
        patience: Seconds between two looks at the calls.
        keep_alive: Seconds after which a silent stream shows that it is alive.
    """

    def __init__(self, *, patience: float = PATIENCE_S, keep_alive: float = KEEP_ALIVE_S) -> None:
        self._patience, self._keep_alive = patience, keep_alive
        self._calls: set[_Call] = set()
        self._named: dict[CallName, _Call] = {}
        self._some = anyio.Event()

    @asynccontextmanager
    async def attended(self) -> AsyncIterator[None]:
        """Look after calls until the block ends."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._attend, tasks)
            yield
            tasks.cancel_scope.cancel()

    async def wait(
        self,
        outcome: Awaitable[bytes],
        answer: Answer,
        receive: Receive,
        *,
        leaves: bool,
        name: CallName | None = None,
        running: Running | None = None,
    ) -> bytes:
        """Return what comes out of a call.

        Args:
            leaves: The client's closing the connection withdraws the call (modern era).
            name: Under which `withdraw` finds it.
            running: The session that it runs in.

        Raises:
            Withdrawn: The client does not want it any more; the call was cancelled.
            ServerStopping: The server has waited long enough for the call, and cancelled it.
            SessionEnded: The session has ended, which cancelled the call.
        """
        call = _Call(answer, receive, running, leaves=leaves)
        self._calls.add(call)
        self._some.set()
        if leaves:
            answer.when_closed(call.running.withdraw)
        if name is not None:
            self._named.setdefault(name, call)  # an id used twice at once stays the first one's
        try:
            async with call.running:
                return await outcome
        finally:
            self._calls.discard(call)
            if name is not None and self._named.get(name) is call:
                del self._named[name]
            if call.watch is not None:
                call.watch.cancel()
        if call.stopped:
            raise ServerStopping("the server went down before the call was done")
        raise Withdrawn

    def withdraw(self, session: bytes, request_id: RequestId) -> bool:
        """Cancel a call of a session; False if it does not run here."""
        call = self._named.get((session, request_id))
        if call is not None:
            call.running.withdraw()
        return call is not None

    def stop(self) -> None:
        """Cancel every call: the server goes down and does not wait any longer."""
        for call in self._calls:
            call.stopped = True
            call.running.withdraw()

    async def _attend(self, tasks: TaskGroup) -> None:
        while True:
            await self._some.wait()
            await anyio.sleep(self._patience)
            for call in [call for call in self._calls if call.seen and call.watch is None]:
                call.watch = anyio.CancelScope()
                tasks.start_soon(self._watch, call, call.watch)
            for call in self._calls:
                call.seen = True
            if not self._calls:
                self._some = anyio.Event()

    async def _watch(self, call: _Call, scope: anyio.CancelScope) -> None:
        with scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._beat, call.answer)
                tasks.start_soon(_catch_up, call.answer)
                await gone(call.receive)
                tasks.cancel_scope.cancel()
            if call.leaves:
                call.running.withdraw()

    async def _beat(self, answer: Answer) -> None:
        while True:
            await anyio.sleep(self._keep_alive)
            try:
                await answer.beat()
            except Exception:
                logger.exception("a stream could not show that it is alive")  # one call's trouble is not the others'


async def _catch_up(answer: Answer) -> None:
    """Try again and again to send what waits for the store (E26)."""
    while True:
        await anyio.sleep(STORE_DOWN_S)
        if answer.behind:
            await answer.catch_up()
