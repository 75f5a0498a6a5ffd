"""The tables of the SQLite store, and how a file gets them.

Each namespace has tables of its own, so two of them cannot meet. `bucket` is the minute in which a live node expires:
it changes about once a minute of use at most, so a touch hardly ever moves an index entry. Keys are random, so every
index that is ordered by key costs a page of its own per row that comes or goes: there are as few of them as can be, and
a sweep among a million rows costs little more than among a few. The payload is the last column: SQLite reads past it
only where it is asked for.
"""

import sqlite3
from typing import Final

from holdfast.errors import ConfigurationError

VERSION: Final = 1
APPLICATION: Final = 0x486F6C64  # "Hold": marks the file as ours

TABLES: Final = """
CREATE TABLE IF NOT EXISTS "{ns}/node" (
  key BLOB PRIMARY KEY, tree BLOB NOT NULL, parent BLOB, alias BLOB, mark TEXT NOT NULL, kind TEXT NOT NULL,
  owner TEXT NOT NULL, client TEXT NOT NULL, label TEXT NOT NULL, state TEXT NOT NULL, reason TEXT,
  created_at REAL NOT NULL, used_at REAL NOT NULL, idle REAL, sliding REAL, slides_after REAL NOT NULL,
  slid_at REAL NOT NULL, ends_at REAL NOT NULL, busy_until REAL NOT NULL, holds INTEGER NOT NULL,
  held INTEGER NOT NULL, due_at REAL, ended_at REAL, attempts INTEGER NOT NULL, version INTEGER NOT NULL,
  bucket INTEGER, fence INTEGER NOT NULL DEFAULT 0, until REAL NOT NULL DEFAULT 0, payload BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS "{ns}/alias" ON "{ns}/node" (alias) WHERE alias IS NOT NULL;
CREATE INDEX IF NOT EXISTS "{ns}/tree" ON "{ns}/node" (tree, key) WHERE parent IS NOT NULL;
CREATE INDEX IF NOT EXISTS "{ns}/parent" ON "{ns}/node" (parent, key) WHERE parent IS NOT NULL;
CREATE INDEX IF NOT EXISTS "{ns}/owner" ON "{ns}/node" (owner, key);
CREATE INDEX IF NOT EXISTS "{ns}/client" ON "{ns}/node" (client, key);
CREATE INDEX IF NOT EXISTS "{ns}/kind" ON "{ns}/node" (kind);
CREATE INDEX IF NOT EXISTS "{ns}/bucket" ON "{ns}/node" (bucket) WHERE bucket IS NOT NULL;
CREATE INDEX IF NOT EXISTS "{ns}/due" ON "{ns}/node" (due_at, key) WHERE due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS "{ns}/stream" (
  node BLOB, name TEXT, last INTEGER NOT NULL, PRIMARY KEY (node, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS "{ns}/event" (
  node BLOB, stream TEXT, seq INTEGER, at REAL NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (node, stream, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS "{ns}/counter" (
  sort TEXT, name TEXT, value INTEGER NOT NULL, until REAL NOT NULL, PRIMARY KEY (sort, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS "{ns}/until" ON "{ns}/counter" (until);
CREATE TABLE IF NOT EXISTS "{ns}/message" (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, origin BLOB NOT NULL, topic TEXT NOT NULL,
  data BLOB NOT NULL);
"""


def prepare(connection: sqlite3.Connection, namespace: str) -> None:
    """Give the file the tables of the namespace; the caller has begun a transaction.

    Raises:
        ConfigurationError: The file was written by a later release, or is another program's.
    """
    [version] = connection.execute("PRAGMA user_version").fetchone()
    [application] = connection.execute("PRAGMA application_id").fetchone()
    if version > VERSION:
        raise ConfigurationError(
            f"the store file has version {version}, this release knows {VERSION}",
            hint="Run the release that wrote it, or a later one.",
        )
    if application != APPLICATION and not _empty(connection):
        raise ConfigurationError("the store file is another program's database", hint="Name another file.")
    for statement in TABLES.format(ns=namespace).split(";")[:-1]:
        connection.execute(statement)
    if version < VERSION:
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")


def _empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
