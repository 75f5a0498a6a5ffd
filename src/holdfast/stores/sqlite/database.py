"""One SQLite file: a thread that writes, a thread that reads, and many calls in one transaction (group commit).

A call is a function over a connection. It waits in its thread's queue, and all that wait together run in one
transaction: the writer makes them durable by one commit, and tells the event loop of all of them at once. A thread hop
and a commit per call would be five times as slow. Each call of the writer has a savepoint, so one that fails leaves
nothing behind and does not fail the others. Several processes may write to the file: they take turns at `BEGIN
IMMEDIATE`, and a turn that does not come within the timeout is `StoreUnavailable`.
"""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

import anyio

from holdfast.errors import ConfigurationError, HoldfastError, StoreUnavailable
from holdfast.stores.sqlite.schema import prepare

Result = TypeVar("Result")
Call = Callable[[sqlite3.Connection], Result]

MOST_IN_ONE: Final = 512  # calls in one transaction
TRY_S: Final = 0.002  # SQLite's own `busy_timeout` of the writer: its handler soon sleeps for 100 ms, so we ask again
NAP_S: Final = (0.0001, 0.001)  # between two tries
CONNECTION: Final = (
    "PRAGMA synchronous = FULL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32768",
)


class Task(Generic[Result]):
    """A call on its way: what to do, and whom to tell."""

    __slots__ = ("_error", "_future", "_value", "call")

    def __init__(self, call: Call[Result], future: "asyncio.Future[Result]") -> None:
        self.call, self._future = call, future
        self._value: Any = None
        self._error: BaseException | None = None

    @property
    def unwanted(self) -> bool:
        """Say whether the caller was cancelled while the call still waited."""
        return self._future.cancelled()

    def done(self, value: Result) -> None:
        """Note the result, until the transaction is over."""
        self._value = value

    def failed(self, error: BaseException) -> None:
        """Note why there is no result."""
        self._error = error

    def settle(self) -> None:
        """Tell the caller; on the event loop."""
        if self._future.done():
            return
        if self._error is not None:
            self._future.set_exception(self._error)
        else:
            self._future.set_result(self._value)


class Lane:
    """A thread with a connection of its own, and the queue before it."""

    def __init__(self, path: Path, *, begin: str, busy: float, timeout: float) -> None:
        self._path, self._begin, self._busy, self._timeout = path, begin, busy, timeout
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._main, name=f"holdfast-{begin.lower()}", daemon=True)
        self._open = False

    async def start(self, setup: Call[None]) -> None:
        """Connect and run `setup` in a transaction of its own."""
        self._open = True
        self._thread.start()
        await self.run(setup)

    async def run(self, call: Call[Result]) -> Result:
        """Run the call in the thread and return its result once it is committed."""
        if not self._open:
            raise StoreUnavailable("the store is closed")
        future: asyncio.Future[Result] = self._loop.create_future()
        self._queue.put(Task(call, future))
        return await future

    async def stop(self) -> None:
        """Finish what is queued, close the connection and end the thread."""
        if self._open:
            self._open = False
            self._queue.put(None)
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._thread.join)

    def _main(self) -> None:
        connection: sqlite3.Connection | None = None
        more = True
        while more:
            tasks, more = self._next()
            try:
                connection = connection or connect(self._path, self._busy, self._timeout)
                self._transact(connection, tasks)
            except sqlite3.Error as exc:
                _fail(tasks, unavailable(exc))
            except HoldfastError as exc:
                _fail(tasks, exc)
            with suppress(RuntimeError):  # the event loop was closed without us
                self._loop.call_soon_threadsafe(_settle, tasks)
        if connection is not None:
            connection.close()

    def _next(self) -> tuple[list[Task[Any]], bool]:
        """Wait for calls and return all that are there, and whether more may come."""
        tasks: list[Task[Any]] = []
        item = self._queue.get()
        while item is not None:
            if not item.unwanted:
                tasks.append(item)
            if len(tasks) == MOST_IN_ONE:
                return tasks, True
            try:
                item = self._queue.get_nowait()
            except Empty:
                return tasks, True
        return tasks, False

    def _transact(self, connection: sqlite3.Connection, tasks: list[Task[Any]]) -> None:
        """Run the calls in one transaction; raise sqlite3.Error if none of them took place."""
        if not tasks:
            return
        patiently(lambda: connection.execute(self._begin), self._timeout)
        try:
            for task in tasks:
                _run(connection, task)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


class Database:
    """The writer and the reader of one file."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._writer = Lane(path, begin="BEGIN IMMEDIATE", busy=TRY_S, timeout=timeout)
        self._reader = Lane(path, begin="BEGIN", busy=timeout, timeout=timeout)

    async def write(self, call: Call[Result]) -> Result:
        """Run a call that may write; it is durable when this returns. What the call raises is raised here."""
        return await self._writer.run(call)

    async def read(self, call: Call[Result]) -> Result:
        """Run a call that only reads: it sees one state of the file, and waits for no writer."""
        return await self._reader.run(call)

    async def start(self, namespace: str) -> None:
        """Open the file and see to its tables."""
        await self._writer.start(lambda connection: prepare(connection, namespace))
        await self._reader.start(lambda connection: None)

    async def stop(self) -> None:
        """Close the file."""
        await self._reader.stop()
        await self._writer.stop()


@asynccontextmanager
async def open_database(path: Path, namespace: str, *, timeout: float) -> AsyncIterator[Database]:
    """Open a file for as long as the block runs; `timeout` is how many seconds a call waits for other processes."""
    database = Database(path, timeout)
    try:
        await database.start(namespace)
        yield database
    finally:
        await database.stop()


def connect(path: Path, busy: float, timeout: float) -> sqlite3.Connection:
    """Return a connection in WAL mode, or raise ConfigurationError if the file is no database or can have no WAL."""
    connection = sqlite3.connect(path, timeout=busy, isolation_level=None, cached_statements=512)
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # a damaged text hides no other row
    try:
        [mode] = patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone(), timeout)
        if mode != "wal":
            raise ConfigurationError("the store file cannot be shared: its file system has no write-ahead log")
        for statement in CONNECTION:
            connection.execute(statement)
    except BaseException as exc:
        connection.close()
        if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise ConfigurationError("the store file is not a database", hint="Name another file.") from exc
        raise
    return connection


def patiently(step: Callable[[], Result], timeout: float) -> Result:
    """Do the step, again and again while another process is in the way, for `timeout` seconds at most."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return step()
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(random.uniform(*NAP_S))  # noqa: S311 - so that two processes do not keep step


def unavailable(exc: sqlite3.Error) -> StoreUnavailable:
    """Return our error for the driver's. Only names are kept: a message may hold what was to be written."""
    name = getattr(exc, "sqlite_errorname", None)
    ours = StoreUnavailable(f"{type(exc).__name__} {name}" if name else type(exc).__name__)
    ours.__cause__ = exc
    return ours


def _run(connection: sqlite3.Connection, task: Task[Any]) -> None:
    """Run one call in a savepoint; raise sqlite3.Error if the whole transaction is lost."""
    connection.execute("SAVEPOINT call")
    try:
        task.done(task.call(connection))
    except Exception as exc:
        if not connection.in_transaction:
            raise sqlite3.OperationalError("the transaction was rolled back") from exc
        connection.execute("ROLLBACK TO call")
        task.failed(unavailable(exc) if isinstance(exc, sqlite3.Error) else exc)
    connection.execute("RELEASE call")


def _fail(tasks: list[Task[Any]], error: HoldfastError) -> None:
    for task in tasks:
        task.failed(error)


def _settle(tasks: list[Task[Any]]) -> None:
    for task in tasks:
        task.settle()
