"""A line: one connection to one server, on which many calls are on their way at the same time.

Commands go out in batches, and answers come in the order of the commands. So sixteen calls cost one write and one read,
nobody waits for a free connection, and a call that is cancelled leaves nothing unread behind: its answer is dropped
when it comes. A server that does not answer in time has its line cut: every call that waits on it is told so, and the
next call connects anew.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from holdfast.errors import HoldfastError, StoreUnavailable
from holdfast.stores.redis.refusals import failure

CONNECTION_FAULTS: Final = (RedisError, OSError, asyncio.IncompleteReadError)


class Line:
    """Connects when it is first used and again after every fault."""

    def __init__(self, make: Callable[[], AbstractConnection], *, timeout: float) -> None:
        self._make, self._timeout = make, timeout
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._batch: list[bytes] = []
        self._filled = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._serving: list[asyncio.Task[None]] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, command: bytes) -> Any:
        """Send one packed command and return its answer.

        Raises:
            ResponseError: The server refuses the command.
            StoreUnavailable: There is no answer within the timeout.
            ConfigurationError: The server refuses the user or the password.
        """
        deadline = self._loop.time() + self._timeout
        if self._connection is None:
            await self._opened(deadline)
        return await self._post(command, deadline)

    async def ask_all(self, commands: Sequence[bytes]) -> list[Any]:
        """Send commands one after the other, with nothing between, and return their answers, errors among them."""
        deadline = self._loop.time() + self._timeout
        if self._connection is None:
            await self._opened(deadline)
        posted = [self._post(command, deadline) for command in commands]
        return await asyncio.gather(*posted, return_exceptions=True)

    async def close(self) -> None:
        """Hang up. Calls on their way fail; a later call would connect again."""
        if self._opening is not None:
            self._opening.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self.cut(StoreUnavailable("the store is closed"))
        if self._leaving:
            await asyncio.wait(self._leaving)

    def cut(self, error: HoldfastError) -> None:
        """Fail every call that waits, and let the next one connect anew."""
        connection, self._connection = self._connection, None
        waiting, self._waiting, self._batch = self._waiting, deque(), []
        for task in self._serving:
            task.cancel()
        for future, _ in waiting:
            if not future.done():
                future.set_exception(error)
        if connection is not None:
            leaving = self._loop.create_task(_hang_up(connection))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    def _post(self, command: bytes, deadline: float) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((future, deadline))
        self._batch.append(command)
        self._filled.set()
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._look_at_the_clock)
        return future

    async def _opened(self, deadline: float) -> None:
        """Wait until there is a connection; all who wait share the attempt."""
        if self._opening is None:
            self._opening = self._loop.create_task(self._open())
            self._opening.add_done_callback(self._was_opened)
        try:
            await asyncio.wait_for(asyncio.shield(self._opening), max(deadline - self._loop.time(), 0.0))
        except TimeoutError as exc:
            raise StoreUnavailable("the server takes no connection in time") from exc
        if self._connection is None:
            raise StoreUnavailable("the server hung up")

    def _was_opened(self, opening: "asyncio.Task[None]") -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # whoever still waited for it has been told

    async def _open(self) -> None:
        connection = self._make()
        try:
            async with asyncio.timeout(self._timeout):
                await connected(connection)
        except CONNECTION_FAULTS as exc:
            await _hang_up(connection)
            raise failure(exc) from exc
        except BaseException:
            await _hang_up(connection)
            raise
        self._filled = asyncio.Event()
        self._connection = connection
        self._serving = [
            self._loop.create_task(self._write(connection)),
            self._loop.create_task(self._read(connection)),
        ]

    async def _write(self, connection: AbstractConnection) -> None:
        filled = self._filled
        try:
            while True:
                await filled.wait()
                filled.clear()
                batch, self._batch = self._batch, []
                await send(connection, *batch)
        except CONNECTION_FAULTS as exc:
            self.cut(failure(exc))

    async def _read(self, connection: AbstractConnection) -> None:
        waiting = self._waiting
        read = connection.read_response
        try:
            while True:
                try:
                    answer = await read(disable_decoding=True, timeout=math.inf, disconnect_on_error=False)
                except ResponseError as exc:
                    future, _ = waiting.popleft()
                    if not future.done():
                        future.set_exception(exc)
                else:
                    future, _ = waiting.popleft()
                    if not future.done():
                        future.set_result(answer)
        except CONNECTION_FAULTS as exc:
            self.cut(failure(exc))

    def _look_at_the_clock(self) -> None:
        """Cut the line if the call that waits longest has waited too long; else look again when it will have."""
        self._timer = None
        if not self._waiting:
            return
        deadline = self._waiting[0][1]
        if deadline <= self._loop.time():
            self.cut(StoreUnavailable(f"the server did not answer within {self._timeout:g} s"))
        else:
            self._timer = self._loop.call_at(deadline, self._look_at_the_clock)


def packed_command(*words: bytes | str | int) -> bytes:
    """Return a command as it goes over a line."""
    packed: bytes = pack_command(words)  # type: ignore[arg-type] # its stub has a tuple of one
    return packed


async def send(connection: AbstractConnection, *commands: bytes) -> None:
    """Send packed commands. A connection that has ended a moment ago is a fault like any other.

    redis-py has no writer left then (AttributeError), or uvloop says that its transport is closed (RuntimeError).
    """
    try:
        await connection.send_packed_command(commands, check_health=False)
    except (AttributeError, RuntimeError) as exc:
        if isinstance(exc, AttributeError) and connection.is_connected:
            raise
        raise ConnectionError("the connection has ended") from exc


async def connected(connection: AbstractConnection) -> None:
    """Connect, log on and select the database."""
    await connection.connect()  # type: ignore[no-untyped-call]


async def _hang_up(connection: AbstractConnection) -> None:
    with suppress(*CONNECTION_FAULTS):
        await connection.disconnect(nowait=True)
