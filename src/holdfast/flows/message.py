"""What goes through a flow: a body, headers, and properties of its processing."""

import copy
from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.errors import BadInput


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message. Steps do not change it, they make another one.

    Args:
        id: Names the message, and with a dot and a number a branch of it.
        body: Anything: what a receiver answered, or a script made.
        headers: What the sender or a receiver said of the body. Their names are lower case, however they are given.
        properties: What the flow itself wants to remember; they are never sent.
    """

    id: str = ""
    body: Any = None
    headers: dict[str, Any] = {}
    properties: dict[str, Any] = {}

    def __post_init__(self) -> None:
        lower = {name.lower(): value for name, value in self.headers.items()}
        msgspec.structs.force_setattr(self, "headers", lower)

    @property
    def names(self) -> Mapping[str, Any]:
        """What expressions see."""
        return {"headers": self.headers, "properties": self.properties, "body": self.body}

    def changed(
        self, *, headers: Mapping[str, Any] | None = None, properties: Mapping[str, Any] | None = None, **body: Any
    ) -> "Message":
        """Return a message with more headers and properties, and with the `body` if one is given, None included."""
        return Message(
            id=self.id,
            body=body.get("body", self.body),
            headers={**self.headers, **{name.lower(): value for name, value in (headers or {}).items()}},
            properties={**self.properties, **(properties or {})},
        )

    def without(self, headers: tuple[str, ...] = (), properties: tuple[str, ...] = ()) -> "Message":
        """Return a message that lacks these."""
        lower = {name.lower() for name in headers}
        return Message(
            id=self.id,
            body=self.body,
            headers={name: value for name, value in self.headers.items() if name not in lower},
            properties={name: value for name, value in self.properties.items() if name not in properties},
        )

    def named(self, id: str) -> "Message":  # noqa: A002
        """Return the message with another name."""
        return msgspec.structs.replace(self, id=id)

    def copied(self) -> "Message":
        """Return a message that shares nothing with this one that a script could change.

        Raises BadInput if a script has put something in that cannot be copied, such as an open file.
        """
        try:
            return copy.deepcopy(self)
        except (TypeError, ValueError, AttributeError, RecursionError) as exc:
            raise BadInput("the message holds something that cannot be copied for a branch") from exc
