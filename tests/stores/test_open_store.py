"""Opening a store by its URL: what is known, what is refused and why."""

import os
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.stores import POSTGRES, REDIS, open_store
from holdfast.stores.sqlite import refuse_network
from holdfast.stores.sqlite.schema import VERSION
from holdfast.testing.contract.base import NOW, chain, root, stored


@pytest.mark.parametrize(
    ("url", "driver", "extra"),
    [
        *((f"{scheme}://host:1", "redis", "redis") for scheme in REDIS),
        *((f"{scheme}://host/name", "asyncpg", "postgres") for scheme in POSTGRES),
    ],
)
async def test_a_driver_that_is_not_installed_is_named_with_its_extra(
    url: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # E22
    for name in [name for name in sys.modules if name.startswith(f"holdfast.stores.{extra}")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name == driver or name.startswith(f"{driver}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(ConfigurationError, match=driver) as caught:
        async with open_store(url):
            pass
    assert f"holdfast[{extra}]" in caught.value.hint


@pytest.mark.parametrize("url", ["mysql://host", "sqlite:/x.db", "store.db", "", "://"])
async def test_an_unknown_url_names_the_known_ones(url: str) -> None:  # E22
    with pytest.raises(ConfigurationError) as caught:
        async with open_store(url):
            pass
    assert "memory://" in caught.value.hint
    assert "sqlite:///" in caught.value.hint


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://host/x.db", "sqlite:///:memory:"])
async def test_a_sqlite_url_without_a_file_is_refused(url: str) -> None:  # E22
    with pytest.raises(ConfigurationError, match="needs a file"):
        async with open_store(url):
            pass


async def test_three_slashes_are_relative_and_four_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # E22
    monkeypatch.chdir(tmp_path)
    async with open_store("sqlite:///here.db") as store:
        assert store.url == f"sqlite:///{tmp_path}/here.db"
        assert store.shared
    assert (tmp_path / "here.db").is_file()
    async with open_store(f"sqlite:///{tmp_path}/there.db"):
        pass
    assert (tmp_path / "there.db").is_file()


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:  # E22
    with pytest.raises(ConfigurationError, match=r"missing/store\.db"):
        async with open_store(f"sqlite:///{tmp_path}/missing/store.db"):
            pass


async def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:  # E5, E29
    file = tmp_path / "store.db"
    before = os.umask(0)
    try:
        async with open_store(f"sqlite:///{file}") as store:
            await chain(store, root())
            modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {0o600}


async def test_two_namespaces_on_one_file_never_see_each_other(tmp_path: Path) -> None:  # E22
    url = f"sqlite:///{tmp_path}/store.db"
    node = root(name="id", due_at=NOW)
    async with open_store(url) as one, open_store(url, namespace="mcp:sessions") as two:
        await chain(one, node)
        await one.events.append(node.ref, "s", b"", now=NOW)
        await one.counters.add("n", now=NOW)
        assert await stored(two, node) is None
        assert await two.sessions.find("due", NOW) == []
        assert await two.sessions.claim(["mcp"], worker="w", now=NOW, ttl=15, count=9) == []
        assert await two.counters.read(["n"], now=NOW) == [0]
        await chain(two, node)
        assert await two.events.read(node.ref, "s") == []
        assert await two.sessions.delete([node.ref]) == 1
        assert await stored(one, node) == node


@pytest.mark.parametrize("namespace", ["", 'a"b', "-x", "x" * 65, "a/b"])
async def test_a_namespace_that_cannot_be_used_is_refused(tmp_path: Path, namespace: str) -> None:  # E22
    with pytest.raises(ConfigurationError, match="namespace"):
        async with open_store(f"sqlite:///{tmp_path}/store.db", namespace=namespace):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_a_file_of_a_later_release_is_refused(tmp_path: Path) -> None:  # E29
    file = tmp_path / "store.db"
    async with open_store(f"sqlite:///{file}"):
        pass
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(ConfigurationError, match=f"version {VERSION + 1}"):
        async with open_store(f"sqlite:///{file}"):
            pass


async def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:  # E29
    file = tmp_path / "other.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    with pytest.raises(ConfigurationError, match="another program"):
        async with open_store(f"sqlite:///{file}"):
            pass
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    connection.close()


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:  # E29
    file = tmp_path / "letter.txt"
    file.write_text("dear reader, " * 1_000)
    with pytest.raises(ConfigurationError, match="not a database"):
        async with open_store(f"sqlite:///{file}"):
            pass
    assert file.read_text().startswith("dear reader")


async def test_a_closed_store_is_unavailable(tmp_path: Path) -> None:  # E26
    async with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        pass
    with pytest.raises(StoreUnavailable):
        await store.sessions.find("all", b"")


@pytest.mark.parametrize("sort", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"])
def test_network_file_systems_are_refused(tmp_path: Path, sort: str) -> None:  # E29
    mounts = tmp_path / "mounts"
    share = tmp_path / "a share"
    share.mkdir()
    point = str(share).replace(" ", "\\040")
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {point} {sort} rw 0 0\ntmpfs {point}/local tmpfs rw 0 0\n")
    with pytest.raises(ConfigurationError, match=sort):
        refuse_network(share / "below", mounts)
    refuse_network(tmp_path, mounts)
    refuse_network(share / "local", mounts)


@pytest.mark.parametrize("sort", ["ext4", "overlay", "tmpfs", "fuse.fuse-overlayfs", "fuseblk"])
def test_local_file_systems_are_not(tmp_path: Path, sort: str) -> None:  # E29
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x / nfs rw 0 0\n/dev/vda {tmp_path} {sort} rw 0 0\n")
    refuse_network(tmp_path, mounts)


def test_the_latest_mount_of_a_point_counts(tmp_path: Path) -> None:  # E29
    mounts = tmp_path / "mounts"
    mounts.write_text(f"x / ext4 rw 0 0\nserver:/x {tmp_path} nfs rw 0 0\n/dev/vdb {tmp_path} ext4 rw 0 0\n")
    refuse_network(tmp_path, mounts)


def test_without_a_list_of_mounts_nothing_is_refused(tmp_path: Path) -> None:  # E29
    refuse_network(tmp_path, tmp_path / "missing")
