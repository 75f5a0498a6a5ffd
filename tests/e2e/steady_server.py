"""A server for the examples of clients, as a process of its own: python steady_server.py PORT STORE"""

import sys

import anyio
import msgspec
import uvicorn

from holdfast.config import Settings
from holdfast.mcp import Context, asgi, tool


class Text(msgspec.Struct, forbid_unknown_fields=True):
    text: str


@tool()
def echo(arguments: Text, context: Context) -> str:
    """Say it again."""
    return arguments.text


@tool()
async def slowly(arguments: Text, context: Context) -> str:
    """Say it again after a second, and report progress all the time."""
    for step in range(10):
        await context.tell("notifications/message", {"level": "info", "data": f"step {step}"})
        await anyio.sleep(0.1)
    return arguments.text


@tool()
async def note(arguments: Text, context: Context) -> str:
    """Say it on the session's own stream."""
    await context.line.tell_aside("notifications/message", {"level": "info", "data": arguments.text})
    return "said"


if __name__ == "__main__":
    port, store = sys.argv[1:]
    app = asgi([echo, slowly, note], store=store, settings=Settings(rate_limit_per_session=0))
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
