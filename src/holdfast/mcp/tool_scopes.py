"""What a token must allow for calls of single tools, beside what the endpoint asks of every request."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from holdfast.mcp.jsonrpc import Incoming


class _Call(msgspec.Struct, frozen=True):
    name: str


_CALL: Final = msgspec.json.Decoder(_Call)
NONE: Final[frozenset[str]] = frozenset()


class ToolScopes:
    """The scopes of tools by their names; a tool that is not named needs none."""

    def __init__(self, needed: Mapping[str, Collection[str]]) -> None:
        self._needed = {name: frozenset(scopes) for name, scopes in needed.items() if scopes}

    def of(self, messages: Sequence[Incoming]) -> frozenset[str]:
        """Return all that the calls among these messages need."""
        if not self._needed:
            return NONE
        return NONE.union(*(self._of_call(message) for message in messages if message.method == "tools/call"))

    def _of_call(self, message: Incoming) -> frozenset[str]:
        try:
            return self._needed.get(_CALL.decode(message.params or b"{}").name, NONE)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return NONE  # it is no call of any tool: the dispatcher refuses it
