"""Several processes on one SQLite file, and what is left of one that is killed."""

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from holdfast.core.ids import alias_of
from holdfast.core.model import Message
from holdfast.core.ports import Store
from holdfast.errors import StoreUnavailable
from holdfast.stores import open_store
from holdfast.stores.sqlite.database import open_database
from holdfast.testing.contract.base import NOW, chain, root, stored

PEER = Path(__file__).with_name("sqlite_peer.py")
PATIENCE_S = 60.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with open_store(url) as opened:
        yield opened


@contextmanager
def peers(number: int, role: str, url: str, argument: str) -> Iterator[list["subprocess.Popen[str]"]]:
    """Run other processes on the file; whatever happens, none is left behind."""
    command = [sys.executable, str(PEER), role, url, argument]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(number)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate(timeout=PATIENCE_S)


async def answers(processes: list["subprocess.Popen[str]"]) -> list[str]:
    """Wait for the processes to end well, and return what they printed."""

    def wait(process: "subprocess.Popen[str]") -> str:
        out, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        return out

    return [await anyio.to_thread.run_sync(wait, process) for process in processes]


async def test_what_a_killed_process_was_told_is_durable_is_there(
    store: Store, url: str, tmp_path: Path
) -> None:  # E29
    with peers(1, "write", url, "node") as [process]:
        assert process.stdout is not None
        lines = [await anyio.to_thread.run_sync(process.stdout.readline) for _ in range(50)]
        process.kill()
        rest = await anyio.to_thread.run_sync(process.stdout.read)
    told = len(lines) + rest.count("\n")
    for number in range(told):
        assert await store.sessions.load(alias_of(f"node-{number}"), now=NOW) is not None
    await chain(store, root())
    connection = sqlite3.connect(tmp_path / "store.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_what_was_written_is_there_after_opening_again(url: str) -> None:  # E29
    node = root(name="id", payload=b"p", due_at=NOW)
    async with open_store(url) as store:
        await chain(store, node)
        lease = await store.leases.acquire(node.ref, worker="w", now=NOW, ttl=15)
        await store.events.append(node.ref, "s", b"1", now=NOW)
        await store.counters.add("n", 3, now=NOW)
    async with open_store(url) as store:
        assert await stored(store, node) == node
        assert await store.leases.acquire(node.ref, worker="w", now=NOW, ttl=15) is None
        assert await store.events.append(node.ref, "s", b"2", now=NOW) == 2
        assert await store.counters.read(["n"], now=NOW) == [3]
        assert lease is not None
        await store.leases.renew(lease, now=NOW, ttl=15)


async def test_every_commit_is_synced(tmp_path: Path) -> None:  # E29
    async with open_database(tmp_path / "x.db", "x", timeout=2.0) as database:
        modes = await database.write(
            lambda connection: [
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
            ]
        )
    assert modes == ["wal", 2]


async def test_a_message_reaches_another_process(store: Store, url: str) -> None:  # E29
    with peers(1, "listen", url, "") as [process]:
        assert process.stdout is not None
        assert await anyio.to_thread.run_sync(process.stdout.readline) == "ready\n"
        await store.channel.publish("t", b"hello")
        assert await answers([process]) == ["hello\n"]


async def test_a_message_comes_from_another_process(store: Store, url: str) -> None:  # E29
    async with store.channel.subscribe("t") as messages:
        await store.channel.publish("t", b"mine")
        with peers(1, "publish", url, "theirs") as processes:
            await answers(processes)
        with anyio.fail_after(PATIENCE_S):
            assert await anext(messages) == Message("t", b"mine")
            assert await anext(messages) == Message("t", b"theirs")


async def test_two_stores_on_one_file_hear_each_other(store: Store, url: str) -> None:  # E29
    async with open_store(url) as other:
        await other.channel.publish("t", b"early")
        async with store.channel.subscribe("t") as first, store.channel.subscribe("t") as second:
            for number in range(3):
                await other.channel.publish("t", b"%d" % number)
            with anyio.fail_after(PATIENCE_S):
                assert [(await anext(first)).data for _ in range(3)] == [b"0", b"1", b"2"]
                assert [(await anext(second)).data for _ in range(3)] == [b"0", b"1", b"2"]


async def test_a_subscription_ends_when_the_file_cannot_be_read_and_the_next_one_hears(
    store: Store, url: str, tmp_path: Path
) -> None:  # E26, E29
    async with open_store(url) as other, store.channel.subscribe("t") as before:
        await other.channel.publish("t", b"before")
        with anyio.fail_after(PATIENCE_S):
            assert await anext(before) == Message("t", b"before")
            rename(tmp_path, "message", "gone")
            assert [message async for message in before] == []
            rename(tmp_path, "gone", "message")
            async with store.channel.subscribe("t") as after:  # although the one before has not been left
                await other.channel.publish("t", b"after")
                assert await anext(after) == Message("t", b"after")


def rename(folder: Path, old: str, new: str) -> None:
    """Give a table of the file another name."""
    connection = sqlite3.connect(folder / "store.db")
    connection.execute(f'ALTER TABLE "holdfast/{old}" RENAME TO "holdfast/{new}"')
    connection.close()


async def test_old_messages_do_not_pile_up(url: str, tmp_path: Path) -> None:  # E29
    now = NOW
    async with open_store(url, clock=lambda: now) as store:
        for _ in range(100):
            await store.channel.publish("t")
        now += 60
        for _ in range(64):
            await store.channel.publish("t")
    connection = sqlite3.connect(tmp_path / "store.db")
    [left] = connection.execute('SELECT count(*) FROM "holdfast/message"').fetchone()
    connection.close()
    assert left <= 64


async def test_a_file_that_stays_locked_is_unavailable_in_time_and_comes_back(
    store: Store, tmp_path: Path
) -> None:  # E26
    connection = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    node = root()
    with anyio.fail_after(5):
        with pytest.raises(StoreUnavailable, match="OperationalError SQLITE_BUSY"):
            await store.sessions.create(node, now=NOW)
        assert await stored(store, node) is None
    connection.execute("ROLLBACK")
    connection.close()
    await chain(store, node)


async def test_one_call_that_fails_leaves_nothing_and_does_not_fail_those_beside_it(tmp_path: Path) -> None:  # E29
    async with open_database(tmp_path / "x.db", "x", timeout=2.0) as database:
        await database.write(lambda connection: connection.execute("CREATE TABLE t (x INTEGER UNIQUE)").close())
        errors = []

        async def put(number: int) -> None:
            def call(connection: sqlite3.Connection) -> None:
                connection.execute("INSERT INTO t VALUES (?)", (number,))
                connection.execute("INSERT INTO t VALUES (?)", (number if number == 3 else -number,))
                if number == 4:
                    raise KeyError(number)

            try:
                await database.write(call)
            except (KeyError, StoreUnavailable) as exc:
                errors.append(str(exc))

        async with anyio.create_task_group() as group:
            for number in range(1, 7):
                group.start_soon(put, number)
        rows = await database.read(lambda connection: connection.execute("SELECT x FROM t ORDER BY x").fetchall())
    assert errors == ["IntegrityError SQLITE_CONSTRAINT_UNIQUE", "4"]
    assert [x for (x,) in rows] == [-6, -5, -2, -1, 1, 2, 5, 6]


async def test_a_cancelled_caller_harms_nobody(store: Store) -> None:  # E29
    nodes = [root() for _ in range(20)]

    async def create(place: int) -> None:
        with anyio.CancelScope() as scope:
            if place % 2:
                scope.cancel()
            await store.sessions.create(nodes[place], now=NOW)

    async with anyio.create_task_group() as group:
        for place in range(20):
            group.start_soon(create, place)
    for node in nodes[::2]:
        assert await stored(store, node) == node
