"""Really dropping a connection, and really sending another reason phrase, under uvicorn.

ASGI has no word for either. Under `SimulatorProtocol` the scope carries a `Wire` that can do both; without it, in a
process of its own tests, a cut connection is an exception that the client's transport raises.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

WIRE: Final = "holdfast.simulator.wire"


class ConnectionCut(ConnectionError):
    """The simulator closed the connection without an answer."""


class Wire:
    """The TCP connection behind one request."""

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self._protocol = protocol

    def cut(self) -> None:
        """Close the connection at once; the client sees it closed before any answer."""
        self._protocol.cycle.disconnected = True
        self._protocol.transport.abort()

    def reason(self, status: int, phrase: str) -> None:
        """Send this phrase in the status line of the coming answer."""
        line = f"HTTP/1.1 {status} {phrase}\r\n".encode("latin-1")
        transport = _OtherStatusLine(self._protocol.transport, STATUS_LINE[status], line)
        self._protocol.cycle.transport = transport  # type: ignore[assignment]


class SimulatorProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a `Wire` in every scope."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = {WIRE: Wire(self)}
        self.scope["extensions"] = extensions


class _OtherStatusLine:
    """A transport that replaces one status line and passes on everything else."""

    def __init__(self, transport: asyncio.Transport, old: bytes, new: bytes) -> None:
        self._transport, self._old, self._new = transport, old, new

    def write(self, data: bytes) -> None:
        if data.startswith(self._old):
            data = self._new + data[len(self._old) :]
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def wire_of(scope: Mapping[str, Any]) -> Wire | None:
    """Return the connection behind a request, or None if the server does not give one."""
    found = (scope.get("extensions") or {}).get(WIRE)
    return found if isinstance(found, Wire) else None
