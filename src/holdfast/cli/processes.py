"""Starting our own servers as processes of their own, and stopping them whatever happens."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.errors import ConfigurationError

STARTUP_S = 30.0
STOP_S = 15.0


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[str]:
    """Run `holdfast` with these arguments until the block ends, and yield the URL it says it listens on.

    Raises:
        ConfigurationError: It stopped instead of listening, or did not listen in time; its own message is on stderr.
    """
    command = [sys.executable, "-m", "holdfast", *arguments]
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    patience = threading.Timer(STARTUP_S, process.kill)
    patience.start()
    try:
        url = _url(process, arguments[0])
        patience.cancel()
        yield url
    finally:
        patience.cancel()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port(wanted: int) -> int:
    """Return the wanted port if nobody listens on it, else 0, which lets the server choose."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
    return wanted


def _url(process: "subprocess.Popen[str]", name: str) -> str:
    assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
    for line in process.stdout:
        for word in line.split():
            if word.startswith("http://"):
                return word
    raise ConfigurationError(f"`holdfast {name}` stopped before it listened", hint="Its own message stands above.")
