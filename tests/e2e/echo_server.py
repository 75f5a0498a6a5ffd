"""A small MCP server as a process of its own: tools of ours on a store that other processes share.

python echo_server.py PORT STORE [TOKEN]
"""

import os
import sys

import anyio
import msgspec
import uvicorn

from holdfast.config import Settings
from holdfast.mcp import Context, asgi, tool


class Text(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Where(msgspec.Struct):
    process: int
    session: bool


@tool()
def echo(arguments: Text, context: Context) -> str:
    """Say it again."""
    return arguments.text


@tool()
async def where(arguments: Nothing, context: Context) -> Where:
    """Say which process answers."""
    return Where(os.getpid(), context.session is not None)


@tool()
async def slowly(arguments: Nothing, context: Context) -> str:
    """Report progress for half a second."""
    for step in range(5):
        await context.progress(step + 1, 5)
        await anyio.sleep(0.1)
    return "done"


@tool()
async def ask(arguments: Text, context: Context) -> str:
    """Ask the client's user for a word."""
    schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    params = {"mode": "form", "message": arguments.text, "requestedSchema": schema}
    answer = await context.line.ask("elicitation/create", params, 10.0)
    return f"{answer['action']} {answer['content']['word']}"


if __name__ == "__main__":
    port, store, token = [*sys.argv[1:], ""][:3]
    app = asgi([echo, where, slowly, ask], store=store, settings=Settings(), token=token)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
