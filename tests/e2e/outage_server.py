"""An MCP server as a process of its own, whose one tool reports progress for as long as it is told to.

python outage_server.py PORT STORE KEYS
"""

import os
import sys

import anyio
import msgspec
import uvicorn

from holdfast.config import Settings
from holdfast.mcp import Context, asgi, tool


class Steps(msgspec.Struct, forbid_unknown_fields=True):
    steps: int
    pause: float = 0.2


@tool()
async def count(arguments: Steps, context: Context) -> str:
    """Report each step, and pause after it; say which process it was."""
    for step in range(arguments.steps):
        await context.progress(step + 1, arguments.steps)
        await anyio.sleep(arguments.pause)
    return str(os.getpid())


if __name__ == "__main__":
    port, store, keys = sys.argv[1:]
    app = asgi([count], store=store, keys=keys, settings=Settings())
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
