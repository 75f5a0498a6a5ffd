"""A server of the official SDK (`MCPServer`) whose sessions survive restarts and are served by any worker.

It was written for the SDK's own transport, which keeps sessions in the memory of one process. Three lines take it to
Redis: the import, `app`, and the command, in place of `server.run("streamable-http")`:

    HOLDFAST_KEYS=$(holdfast keys new) uvicorn --app-dir examples mcp_sdk_server:app --workers 4 --no-proxy-headers
"""

import os

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel

import holdfast.mcp  # 1

server = MCPServer("shop", instructions="Look articles up before you order them.")
PRICES = {"tea": 4.5, "coffee": 7.0}


class Confirmation(BaseModel):
    sure: bool


@server.tool()
def price(article: str) -> float:
    """Return the price of an article."""
    return PRICES[article]


@server.tool()
async def stocktaking(ctx: Context) -> int:
    """Count the articles, one after the other."""
    for number, article in enumerate(PRICES, 1):
        await ctx.report_progress(number, len(PRICES), article)
    return len(PRICES)


@server.tool()
async def order(article: str, ctx: Context) -> str:
    """Order an article, once the user agrees."""
    answer = await ctx.elicit(f"Order {article} for {PRICES[article]}?", Confirmation)
    agreed = answer.action == "accept" and answer.data.sure
    return f"{article} {'ordered' if agreed else 'not ordered'}"


@server.resource("article://{name}")
def article(name: str) -> str:
    return f"{name}: {PRICES[name]}"


@server.prompt()
def advise(taste: str) -> str:
    return f"Recommend an article to somebody who likes {taste}."


app = holdfast.mcp.asgi(server, store=os.environ.get("STORE", "redis://127.0.0.1:6379/0"))  # 2; the command is 3
