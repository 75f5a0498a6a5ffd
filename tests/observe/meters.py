"""What tests of metrics share: a receiver of datagrams, and facts."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.core.events import Event, Fact
from holdfast.core.model import Reason
from holdfast.observe.measures import Measure


class Receiver:
    """A StatsD server: a real socket, and what came."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.port: int = sock.getsockname()[1]
        self.datagrams: list[str] = []

    def lines(self) -> list[str]:
        """Return what has come by now, a line each."""
        while True:
            try:
                self.datagrams.append(self._socket.recv(65_536).decode())
            except BlockingIOError:
                return [line for datagram in self.datagrams for line in datagram.split("\n")]

    def total(self, prefix: str) -> int:
        """Return the sum of a counter, whatever its tags."""
        return sum(int(line.split(":")[1].split("|")[0]) for line in self.lines() if line.startswith(f"{prefix}:"))


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Listen on a free UDP port of this machine until the block ends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield Receiver(sock)


def opened(kind: str = "mcp", *, mark: str = "abcdefgh", at: float = 1.0) -> Event:
    return Event(fact=Fact.OPENED, at=at, kind=kind, mark=mark, client="10.0.0.1", address="10.0.0.1", owner="ann")


def gone(
    kind: str = "mcp", *, reason: Reason = Reason.IDLE, lived: float = 2.0, mark: str = "abcdefgh", at: float = 1.0
) -> Event:
    return Event(
        fact=Fact.CLOSED, at=at, kind=kind, mark=mark, reason=reason, lived=lived, client="10.0.0.1", owner="ann"
    )


class Shown:
    """A meter that shows what it was told."""

    def __init__(self) -> None:
        self.gauges: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self.times: dict[str, list[float]] = {}

    def add(self, measure: Measure, amount: int, labels: tuple[str, ...] = ()) -> None:
        self.counts[" ".join((measure.name, *labels))] += amount

    def set(self, measure: Measure, value: float, labels: tuple[str, ...] = ()) -> None:
        self.gauges[" ".join((measure.name, *labels))] = value

    def time(self, measure: Measure, seconds: float, labels: tuple[str, ...] = ()) -> None:
        self.times.setdefault(" ".join((measure.name, *labels)), []).append(seconds)

    @contextmanager
    def running(self) -> Iterator[None]:
        yield
