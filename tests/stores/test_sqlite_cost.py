"""What the SQLite store does not do: write where reading is enough, and walk where an index leads."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.core.ports import Store
from holdfast.stores import open_store
from holdfast.stores.sqlite.rows import COMMON, SCOPES, Statements
from holdfast.testing.contract.base import NOW, all_at_once, below, chain, root


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.fixture
def watcher(tmp_path: Path, store: Store) -> sqlite3.Connection:
    """A connection of somebody else, whose `data_version` tells of every write."""
    return sqlite3.connect(tmp_path / "store.db", isolation_level=None)


def version(watcher: sqlite3.Connection) -> int:
    number: int = watcher.execute("PRAGMA data_version").fetchone()[0]
    return number


async def test_reading_again_and_again_writes_nothing(store: Store, watcher: sqlite3.Connection) -> None:  # E8
    top = root(idle=1800.0)
    node = await chain(store, top, below(top, idle=1800.0, due_at=NOW + 100))
    before = version(watcher)
    for second in range(29):
        assert await store.sessions.load(node.ref, now=NOW + second, touch_after=30.0) is not None
    assert await store.sessions.claim(["mcp"], worker="w", now=NOW, ttl=15, count=10) == []
    assert version(watcher) == before
    await store.sessions.load(node.ref, now=NOW + 30, touch_after=30.0)
    assert version(watcher) != before
    watcher.close()


async def test_no_statement_walks_along_all_rows(watcher: sqlite3.Connection) -> None:  # E10
    sql = Statements("holdfast")
    statements = [text for name, text in vars(sql).items() if name not in ("node", "insert")]
    for column in SCOPES.values():
        statements += [sql.find(column), sql.crowd(column), sql.rivals(column)]
    for text in statements:
        plan = [row[3] for row in watcher.execute(f"EXPLAIN QUERY PLAN {text}", [None] * _parameters(text))]
        assert not [step for step in plan if step.startswith("SCAN holdfast")], (text, plan)
    expired = [row[3] for row in watcher.execute(f"EXPLAIN QUERY PLAN {sql.expired}", [None] * 3)]
    assert expired[0] == "SEARCH holdfast/node USING INDEX holdfast/bucket (bucket<?)"
    for column in ("client", "owner", "parent"):
        [step] = [row[3] for row in watcher.execute(f"EXPLAIN QUERY PLAN {sql.rivals(column)}", [None] * 2)]
        assert f"holdfast/{column}" in step
    watcher.close()


@pytest.mark.slow
async def test_pages_of_a_common_kind_follow_one_another_like_those_of_a_rare_one(store: Store) -> None:  # E21
    common = [root(kind="common") for _ in range(COMMON + 3)]
    rare = [root(kind="rare") for _ in range(20)]
    await all_at_once(*(store.sessions.create(node, now=NOW) for node in [*common, *rare]))
    for kind, nodes in (("common", common), ("rare", rare)):
        keys: list[bytes] = []
        while page := await store.sessions.find("kind", kind, after=keys[-1] if keys else b"", count=1_500):
            keys += [node.key for node in page]
        assert keys == sorted(node.key for node in nodes)


def _parameters(text: str) -> int:
    numbered = [number for number in (1, 2, 3) if f"?{number}" in text]
    return max(numbered) if numbered else text.count("?")
