"""What a client says of itself in `initialize`, and the revision that comes of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from holdfast.core.model import LABEL_BYTES
from holdfast.mcp.jsonrpc import Incoming, RpcError
from holdfast.mcp.protocol import INVALID_PARAMS, LATEST_LEGACY


class Wanted(msgspec.Struct, frozen=True):
    """The params of `initialize`, with the revision that is settled on."""

    version: str = msgspec.field(name="protocolVersion")
    capabilities: dict[str, Any]
    client: dict[str, Any] = msgspec.field(name="clientInfo")

    @property
    def label(self) -> str:
        """How lists show the session: what the client calls itself, cut to fit."""
        text = f"{self.client.get('name', '')} {self.client.get('version', '')}".strip()
        return text.encode()[:LABEL_BYTES].decode(errors="ignore")


def wanted_of(message: Incoming, served: Sequence[str]) -> Wanted:
    """Return what `initialize` asks for, with the revision that is settled on; raise RpcError if it is none."""
    try:
        wanted = msgspec.json.decode(message.params or b"{}", type=Wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RpcError(INVALID_PARAMS, f"params of initialize: {exc}") from None
    return wanted if wanted.version in served else msgspec.structs.replace(wanted, version=LATEST_LEGACY)


@contextmanager
def storable() -> Iterator[None]:
    """JSON may hold integers of any size, the store keeps 64 bits: say so to whoever sends larger ones."""
    try:
        yield
    except OverflowError:
        raise RpcError(INVALID_PARAMS, "params of initialize: an integer is too large") from None
