"""Looking after a SQLite file: what migrating makes, what checking finds, what is counted."""

import sqlite3
import time
from pathlib import Path

import pytest

from core.samples import record
from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.stores import open_care, open_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def filled(url: str) -> None:
    """A tree of three with a lock, and an event."""
    now = time.time()
    async with open_store(url) as store:
        for made in (
            record(1, kind="workspace", created_at=now, used_at=now, slid_at=now, ends_at=now + 100),
            record(2, parent=1, tree=1, kind="backend", created_at=now, ends_at=now + 100, due_at=now),
            record(3, parent=2, tree=1, kind="lock", created_at=now, ends_at=now + 100, holds=True),
        ):
            await store.sessions.create(made, now=now)
        await store.events.append(record(1).ref, "s", b"event", now=now)


async def codes(url: str) -> list[str]:
    async with open_care(url) as care:
        return [finding.code for finding in await care.check()]


def changed(path: Path, *statements: str) -> None:
    """Let another program write to the file."""
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def test_migrating_makes_the_file_once_and_says_so(path: Path, url: str) -> None:
    async with open_care(url) as care:
        assert await codes(url) == ["schema_wrong"]
        [made, tables] = await care.migrate()
        assert ("made the file" in made, "tables of holdfast" in tables) == (True, True)
        assert await care.migrate() == []
        assert await care.check() == []
    async with open_care(url, namespace="other") as care:
        assert ["tables of other" in said for said in await care.migrate()] == [True]


async def test_neither_checking_nor_counting_makes_a_file(path: Path, url: str) -> None:
    async with open_care(url) as care:
        await care.check()
        with pytest.raises(ConfigurationError, match="no file"):
            await care.stats()
    assert not path.exists()


async def test_nodes_are_counted_by_kind_and_state_while_the_store_is_in_use(url: str) -> None:
    await filled(url)
    async with open_store(url) as store, open_care(url) as care:
        await store.sessions.find("all", b"")
        figures = await care.stats()
        assert await care.check() == []
    kinds = {name: number for name, number in figures.items() if name.startswith("nodes.")}
    assert kinds == {"nodes.backend.live": 1, "nodes.lock.live": 1, "nodes.workspace.live": 1}
    assert [figures[name] for name in ("nodes", "due", "expired", "leased", "events")] == [3, 1, 0, 0, 1]
    assert figures["server.journal_mode"] == "wal"
    assert isinstance(figures["bytes"], int)
    assert figures["bytes"] > 0


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("DELETE FROM 'holdfast/node' WHERE kind = 'backend'", "orphan"),
        ("UPDATE 'holdfast/node' SET tree = x'00' WHERE kind = 'workspace'", "path_wrong"),
        ("UPDATE 'holdfast/node' SET held = 2 WHERE kind = 'workspace'", "held_wrong"),
        ("UPDATE 'holdfast/node' SET held = 0 WHERE kind = 'backend'", "held_wrong"),
        ("INSERT INTO 'holdfast/event' VALUES (x'00', 's', 1, 0.0, x'')", "events_left"),
        ("DROP INDEX 'holdfast/due'", "part_missing"),
        ("DROP TABLE 'holdfast/counter'", "part_missing"),
        ("PRAGMA user_version = 99", "schema_wrong"),
        ("PRAGMA application_id = 99", "schema_wrong"),
    ],
)
async def test_what_another_program_has_changed_is_found(path: Path, url: str, statement: str, code: str) -> None:
    await filled(url)
    assert await codes(url) == []
    changed(path, statement)
    assert code in await codes(url)


async def test_damage_of_the_file_is_found(path: Path, url: str) -> None:
    await filled(url)
    changed(
        path,
        "PRAGMA writable_schema = 1",
        "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'holdfast/owner') "
        "WHERE name = 'holdfast/client'",
    )
    assert "damaged" in await codes(url)


async def test_a_file_others_can_open_is_noted(path: Path, url: str) -> None:
    await filled(url)
    path.chmod(0o644)
    async with open_care(url) as care:
        [finding] = await care.check()
    assert (finding.code, finding.serious, "chmod 600" in finding.hint) == ("open_to_others", False, True)


async def test_a_file_that_is_no_database_is_damaged_and_cannot_be_counted(path: Path, url: str) -> None:
    path.write_bytes(b"no database" * 100)
    path.chmod(0o600)
    assert await codes(url) == ["damaged"]
    async with open_care(url) as care:
        with pytest.raises(StoreUnavailable):
            await care.stats()


async def test_a_store_in_memory_needs_no_care() -> None:
    with pytest.raises(ConfigurationError, match="memory"):
        async with open_care("memory://"):
            pytest.fail("there is nothing to look after")
