"""What a handler may ask about the call that it is in."""

from contextvars import ContextVar

import msgspec

from holdfast.core.model import Ref
from holdfast.core.session import Session


class Calling(msgspec.Struct):
    """Whose call it is, and of which session.

    Args:
        owner: The principal; empty where nobody has logged on.
        session: A name for the sticky session that never changes and opens nothing; empty outside of one. What `edit`
            takes in this name, `discard` and `save` let go in the same, at whatever worker.
        node: Its node. What is opened below it ends with it, whatever ends it.
        logon: The node of the caller's logon, in or outside of a session, if there is one.
    """

    owner: str = ""
    session: str = ""
    node: Ref | None = None
    logon: Ref | None = None

    def enter(self, node: Session) -> None:
        """Be in this session."""
        self.session, self.node = node.key.hex(), node.ref


_CALLING: ContextVar[Calling | None] = ContextVar("holdfast_odata_calling", default=None)


def calling() -> Calling:
    """Return what is known of the call that runs."""
    return _CALLING.get() or Calling()


class called_by:  # noqa: N801 - it is used as a function; contextlib's own takes twice as long
    """Let `calling()` say this in the block."""

    __slots__ = ("_calling", "_token")

    def __init__(self, calling: Calling) -> None:
        self._calling = calling

    def __enter__(self) -> None:
        self._token = _CALLING.set(self._calling)

    def __exit__(self, *error: object) -> None:
        _CALLING.reset(self._token)
