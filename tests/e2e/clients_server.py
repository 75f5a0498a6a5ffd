"""What foreign clients are tried on: a tool for each thing that they should be able to do, as a process of its own.

python clients_server.py PORT STORE
"""

import os
import sys

import anyio
import msgspec
import uvicorn

from holdfast.config import Settings
from holdfast.mcp import Context, InputRequired, asgi, tool

WORD = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}


class Text(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


@tool()
def echo(arguments: Text, context: Context) -> str:
    """Say it again."""
    return arguments.text


@tool()
async def where(arguments: Nothing, context: Context) -> str:
    """Say in which session and process the call is answered."""
    return f"{context.session.id if context.session else '-'} {os.getpid()}"


@tool()
async def slowly(arguments: Nothing, context: Context) -> str:
    """Report progress in three steps."""
    for step in (1, 2, 3):
        await context.progress(step, 3)
        await anyio.sleep(0.05)
    return "done"


@tool()
async def cut(arguments: Nothing, context: Context) -> str:
    """Close the connection in the middle of the answer; who comes back gets the rest."""
    await context.progress(1, 2)
    await context.line.hang_up()
    await anyio.sleep(0.2)
    await context.progress(2, 2)
    return "whole"


@tool()
async def ask(arguments: Text, context: Context) -> str | InputRequired:
    """Ask the client's user for a word."""
    answer = context.input_responses.get("word")
    if answer is None:
        question = {"mode": "form", "message": arguments.text, "requestedSchema": WORD}
        return InputRequired({"word": {"method": "elicitation/create", "params": question}})
    return f"{answer['action']} {answer['content']['word']}"


@tool()
async def changed(arguments: Nothing, context: Context) -> str:
    """Tell the session, on its own stream, that the tools have changed."""
    await context.line.tell_aside("notifications/tools/list_changed", {})
    return "told"


@tool()
async def send(arguments: Text, context: Context) -> str:
    """Send an event that no client knows to the session's own stream; say whether one took it."""
    session = context.session
    return str(session is not None and await app.sessions.send(str(session.id), arguments.text, {"from": "here"}))


port, store = sys.argv[1:]
app = asgi([echo, where, slowly, cut, ask, changed, send], store=store, settings=Settings(), session_events="on")

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
