"""An SDK server that keeps state behind handles, runs tasks and tells of changes, as a process of its own.

python modern_server.py PORT STORE KEYS
"""

import os
import sys
from typing import Any

import anyio
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from holdfast.config import Settings
from holdfast.mcp import AsTask, Handles, asgi

LEASE_S = 3.0
server = MCPServer("modern")  # no key for states: Holdfast's serve all workers
baskets = Handles("basket", opened_by="open_basket")


@server.tool()
async def open_basket(customer: str) -> str:
    """Open a basket; it is kept for an hour after its last use."""
    return await baskets.open({"customer": customer, "items": [], "workers": []})


@server.tool()
async def add_item(basket: str, item: str) -> dict[str, Any]:
    """Put something into a basket."""

    def add(content: dict[str, Any]) -> dict[str, Any]:
        content["items"].append(item)
        content["workers"].append(os.getpid())
        return dict(content)

    return await baskets.update(basket, add)


@server.tool()
async def change(uri: str, ctx: Context) -> int:
    """Tell that a resource and the list of tools have changed; say which process told."""
    await ctx.notify_resource_updated(uri)
    await ctx.notify_tools_changed()
    return os.getpid()


@server.tool()
async def work(seconds: float) -> str:
    """Take some seconds."""
    await anyio.sleep(seconds)
    return f"done by {os.getpid()}"


@server.tool()
async def work_again(seconds: float) -> str:
    """Take some seconds, and bear being run twice."""
    await anyio.sleep(seconds)
    return f"done by {os.getpid()}"


@server.tool()
async def name(ctx: Context) -> str | InputRequiredResult:
    """Ask for a name."""
    answer = (ctx.input_responses or {}).get("name")
    if isinstance(answer, ElicitResult):
        return f"{(answer.content or {}).get('name')} {ctx.request_state}"
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    asked = ElicitRequest(params=ElicitRequestFormParams(message="Name?", requested_schema=schema))
    return InputRequiredResult(input_requests={"name": asked}, request_state=f"asked by {os.getpid()}")


TASKS = {"work": AsTask(), "work_again": AsTask(idempotent=True)}

if __name__ == "__main__":
    port, store, keys = sys.argv[1:]
    app = asgi(server, store=store, keys=keys, settings=Settings(lease_ttl=LEASE_S), tasks=TASKS, state_once=["name"])
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
