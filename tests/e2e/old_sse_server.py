"""The echo server with the 2024-11-05 transport beside its endpoint, and a tool that asks the client's model.

python old_sse_server.py PORT STORE [TOKEN]
"""

import sys

import uvicorn
from echo_server import Text, ask, echo, slowly, where

from holdfast.config import Settings
from holdfast.mcp import Context, asgi, tool


@tool()
async def think(arguments: Text, context: Context) -> str:
    """Let the client's model say something."""
    message = {"role": "user", "content": {"type": "text", "text": arguments.text}}
    answer = await context.line.ask("sampling/createMessage", {"messages": [message], "maxTokens": 10}, 10.0)
    return str(answer["content"]["text"])


if __name__ == "__main__":
    port, store, token = [*sys.argv[1:], ""][:3]
    app = asgi([echo, where, slowly, ask, think], store=store, settings=Settings(), token=token, sse_path="/sse")
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
