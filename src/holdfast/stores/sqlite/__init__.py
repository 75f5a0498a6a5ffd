"""The SQLite store: one file, durable at every step, for the processes of one machine."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from holdfast.core.ports import Store
from holdfast.errors import ConfigurationError
from holdfast.stores.namespaces import check_namespace
from holdfast.stores.sqlite.channel import SqliteChannel
from holdfast.stores.sqlite.counters import SqliteCounters
from holdfast.stores.sqlite.database import open_database
from holdfast.stores.sqlite.events import SqliteEventLog
from holdfast.stores.sqlite.sessions import SqliteLeases, SqliteSessions

MOUNTS: Final = Path("/proc/mounts")
NETWORK: Final = (  # how the names of such file systems begin; an overlay by FUSE is a local disk
    *("nfs", "cifs", "smb", "9p", "afs", "ceph", "lustre", "glusterfs"),
    *("fuse.sshfs", "fuse.gluster", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse"),
)


@asynccontextmanager
async def open_sqlite(
    path: Path, *, namespace: str, clock: Callable[[], float], timeout: float
) -> AsyncIterator[Store]:
    """Open the store in a file, which is made with mode 0600 if it is not there.

    A call waits for other processes for `timeout` seconds.

    Raises:
        ConfigurationError: The file's folder is missing or on a network file system, the file is no store of ours or
            of a later release, or the namespace cannot be used.
        StoreUnavailable: The file cannot be opened or is locked.
    """
    check_namespace(namespace)
    path = _made(path)
    async with open_database(path, namespace, timeout=timeout) as database:
        yield Store(
            sessions=SqliteSessions(database, namespace),
            leases=SqliteLeases(database, namespace),
            events=SqliteEventLog(database, namespace),
            channel=SqliteChannel(database, namespace, clock),
            counters=SqliteCounters(database, namespace),
            url=f"sqlite:///{path}",
            shared=True,
        )


def refuse_network(folder: Path, mounts: Path) -> None:
    """Raise ConfigurationError if the folder is on a network file system: its locks and shared memory do not hold."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return  # not a Linux: nothing is known
    folder = folder.resolve()
    found, sort = Path("/"), ""
    for fields in (line.split() for line in lines):
        point = Path(fields[1].replace("\\040", " "))
        if folder.is_relative_to(point) and point.is_relative_to(found):
            found, sort = point, fields[2]
    if sort.startswith(NETWORK):
        raise ConfigurationError(
            f"{folder} is on a network file system ({sort}), where SQLite loses data",
            hint="Name a file on a local disk.",
        )


def _made(path: Path) -> Path:
    """Return the absolute path of the file, which is there from now on."""
    path = path.absolute()
    refuse_network(path.parent, MOUNTS)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as exc:
        raise ConfigurationError(
            f"the store file {path} cannot be opened: {exc.strerror}",
            hint="Name a file in a folder that is there; an absolute path has four slashes: sqlite:////var/lib/file.db.",
        ) from exc
    return path
