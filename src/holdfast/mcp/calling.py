"""The request that is being answered, for what a tool uses without being handed it (`Handles`)."""

from contextvars import ContextVar
from typing import Final

import msgspec

from holdfast.core.manager import Manager
from holdfast.errors import ConfigurationError
from holdfast.mcp.dispatch import Context


class Calling(msgspec.Struct, frozen=True, weakref=True):
    """A request, and the engine that serves it."""

    manager: Manager
    context: Context


CALL: Final[ContextVar[Calling]] = ContextVar("mcp_call")
"""The request being answered. It follows a tool into the tasks and threads that it starts."""


def calling() -> Calling:
    """Return the request being answered; raise ConfigurationError outside of one."""
    try:
        return CALL.get()
    except LookupError:
        raise ConfigurationError(
            "no request of the MCP endpoint is being answered here",
            hint="Call it from a tool, prompt or resource that Holdfast serves.",
        ) from None
