"""A server that speaks the source's dialect, as a process of its own, with the short times of its arguments.

python dialect_server.py PORT STORE SESSION_TIMEOUT
"""

import sys

import msgspec
import uvicorn

from holdfast.config import Settings
from holdfast.mcp import Context, asgi, tool


class Event(msgspec.Struct, forbid_unknown_fields=True):
    event: str = ""
    session_id: str = ""  # that of the call if left out


class Text(msgspec.Struct, forbid_unknown_fields=True):
    text: str


@tool()
def echo(arguments: Text, context: Context) -> str:
    """Say it again."""
    return arguments.text


@tool()
async def send(arguments: Event, context: Context) -> str:
    """Send an event to a session's stream; say whether one took it."""
    return str(await app.sessions.send(meant(arguments, context), arguments.event, {"from": "elsewhere"}))


@tool()
async def warn(arguments: Event, context: Context) -> str:
    """Use the source's shorthands."""
    session_id = meant(arguments, context)
    warned = await app.sessions.notify_session_warning(session_id, 42)
    return str(warned and await app.sessions.notify_session_limit_reached(session_id))


def meant(arguments: Event, context: Context) -> str:
    return arguments.session_id or str(context.session.id if context.session else "")


port, store, timeout = sys.argv[1:]
app = asgi(
    [echo, send, warn],
    store=store,
    settings=Settings(session_warnings=[1.0]),
    dialect="fast-mcp",
    preset="fast-mcp",
    session_timeout=float(timeout),
    session_refresh_threshold=float(timeout) / 2,
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
