"""What has much to say, as a process of its own: tools that go on for a while, ask the client, and use its own stream.

python streams_server.py PORT; settings come from the environment.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
import msgspec
import uvicorn

from holdfast.config import load_settings
from holdfast.mcp import Context, asgi, tool
from holdfast.web.http1 import BoundedHttp

WORD = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
QUESTIONS = {
    "elicitation/create": {"mode": "form", "message": "a word?", "requestedSchema": WORD},
    "sampling/createMessage": {
        "messages": [{"role": "user", "content": {"type": "text", "text": "a word?"}}],
        "maxTokens": 9,
    },
    "roots/list": {},
}


class Count(msgspec.Struct, forbid_unknown_fields=True):
    """Numbers to say: from 0, so many, each so many seconds after the one before."""

    to: int
    every: float = 0.0
    text: str = ""


class Question(msgspec.Struct, forbid_unknown_fields=True):
    method: Literal["elicitation/create", "sampling/createMessage", "roots/list"]
    aside: bool = False


async def say(arguments: Count, tell: Callable[[str, object], Awaitable[None]]) -> None:
    for number in range(arguments.to):
        await tell("notifications/n", {"n": number, "text": arguments.text})
        await anyio.sleep(arguments.every)


@tool()
async def count(arguments: Count, context: Context) -> str:
    """Say numbers on the stream of the answer."""
    await say(arguments, context.line.tell)
    return "counted"


@tool()
async def push(arguments: Count, context: Context) -> str:
    """Say numbers on the session's own stream."""
    await say(arguments, context.line.tell_aside)
    return "pushed"


@tool()
async def hang_up(arguments: Count, context: Context) -> str:
    """Close the connection, and go on to say numbers."""
    await context.line.hang_up()
    await say(arguments, context.line.tell)
    return "counted"


@tool()
async def ask(arguments: Question, context: Context) -> str:
    """Ask the client, on the answer's stream or on its own; return what it answers."""
    asked = context.line.ask_aside if arguments.aside else context.line.ask
    answer = await asked(arguments.method, QUESTIONS[arguments.method], 20.0)
    return msgspec.json.encode(answer).decode()


if __name__ == "__main__":
    settings = load_settings()
    app = asgi([count, push, hang_up, ask], store=settings.store, settings=settings)
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), http=BoundedHttp, log_level="warning", proxy_headers=False
    )
