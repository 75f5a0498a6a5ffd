"""StatsD over UDP: counts are added up and sent twice a second, in few datagrams; nobody waits and nothing is raised.

    mcp.session.connection.closed:3|c|#reason:client

Labels go out as DogStatsD's tags, which most servers take. Without `tags` the names of MCP sessions stay as the
source has them, and values of labels become parts of all other names: `holdfast.session.created.backend`.
"""

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.errors import ConfigurationError
from holdfast.observe.measures import Measure

PORT: Final = 8125
EVERY_S: Final = 0.5
DATAGRAM: Final = 1_432  # bytes that are not cut on their way through an Ethernet
TIMES: Final = 250  # of one name that are sent at once; of more, so many are chosen, and sent with their rate
SOURCES_NAMES: Final = "mcp."
NOT_IN_NAMES: Final = str.maketrans(dict.fromkeys("|:,#@\n\r", "_"))


class StatsD:
    """A `Meter` that sends to a StatsD server.

    Args:
        host: The server; its address is looked up once, now.
        port: Its UDP port.
        tags: Send labels as DogStatsD tags.

    Raises:
        ConfigurationError: The host has no address.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = PORT, *, tags: bool = True) -> None:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except OSError as exc:
            raise ConfigurationError(f"StatsD: {host} has no address ({exc.strerror})") from exc
        self._address = address
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._tags = tags
        self._names: dict[tuple[str, tuple[str, ...]], tuple[str, str]] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._gauges: dict[tuple[str, str], float] = {}
        self._times: dict[tuple[str, str], list[float]] = {}
        self._timed: dict[tuple[str, str], int] = {}
        self._armed: asyncio.AbstractEventLoop | None = None
        self.lost = 0  # datagrams that could not be sent

    def add(self, measure: Measure, amount: int, labels: tuple[str, ...] = ()) -> None:
        """See `Meter.add`."""
        name = self._name(measure, labels)
        self._counts[name] = self._counts.get(name, 0) + amount
        self._arm()

    def set(self, measure: Measure, value: float, labels: tuple[str, ...] = ()) -> None:
        """See `Meter.set`."""
        self._gauges[self._name(measure, labels)] = value
        self._arm()

    def time(self, measure: Measure, seconds: float, labels: tuple[str, ...] = ()) -> None:
        """See `Meter.time`; it is sent in milliseconds."""
        name = self._name(measure, labels)
        times = self._times.setdefault(name, [])
        seen = self._timed[name] = self._timed.get(name, 0) + 1
        if len(times) < TIMES:
            times.append(seconds)
        elif (place := random.randrange(seen)) < TIMES:  # noqa: S311 - each is chosen as likely as any other
            times[place] = seconds
        self._arm()

    @contextmanager
    def running(self) -> Iterator[None]:
        """See `Meter.running`."""
        try:
            yield
        finally:
            self.flush()

    def flush(self) -> None:
        """Send what has been gathered."""
        self._armed = None
        lines = list(self._lines())
        self._counts, self._gauges, self._times, self._timed = {}, {}, {}, {}
        datagram = ""
        for line in lines:
            if datagram and len(datagram) + len(line) >= DATAGRAM:
                self._send(datagram)
                datagram = ""
            datagram += f"\n{line}" if datagram else line
        if datagram:
            self._send(datagram)

    def _lines(self) -> Iterator[str]:
        for (name, tags), amount in self._counts.items():
            yield f"{name}:{amount}|c{tags}"
        for (name, tags), value in self._gauges.items():
            yield f"{name}:{value:g}|g{tags}"
        for (name, tags), times in self._times.items():
            seen = self._timed[name, tags]
            rate = f"|@{len(times) / seen:.6f}" if seen > len(times) else ""
            for seconds in times:
                yield f"{name}:{seconds * 1000:.3f}|ms{rate}{tags}"

    def _send(self, datagram: str) -> None:
        try:
            self._socket.sendto(datagram.encode(), self._address)
        except OSError:  # no room in the socket's buffer, no network: the next one may go out
            self.lost += 1

    def _arm(self) -> None:
        """Send soon; at once where no event loop could do it later."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if self._armed is not loop:
            self._armed = loop
            loop.call_later(EVERY_S, self.flush)

    def _name(self, measure: Measure, labels: tuple[str, ...]) -> tuple[str, str]:
        """Return the name as it is sent, and the tags behind the value."""
        known = self._names.get((measure.name, labels))
        if known is None:
            known = self._names[measure.name, labels] = self._written(measure, labels)
        return known

    def _written(self, measure: Measure, labels: tuple[str, ...]) -> tuple[str, str]:
        values = [value.translate(NOT_IN_NAMES) for value in labels]
        if self._tags:
            tags = ",".join(f"{label}:{value}" for label, value in zip(measure.labels, values, strict=True))
            return measure.name, f"|#{tags}" if tags else ""
        if measure.name.startswith(SOURCES_NAMES):
            return measure.name, ""
        return ".".join([measure.name, *(value.replace(".", "_") for value in values)]), ""
