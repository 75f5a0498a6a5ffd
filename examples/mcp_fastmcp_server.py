"""A FastMCP 4 server whose sessions, and what it keeps in them, survive restarts and are there at any worker.

It was written for FastMCP's own transport, which keeps sessions and their state in the memory of one process. Three
lines take it to Redis: the import, `app`, and the command, in place of `server.run("http")`:

    HOLDFAST_KEYS=$(holdfast keys new) uvicorn --app-dir examples mcp_fastmcp_server:app --workers 4 --no-proxy-headers
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastmcp import Context, FastMCP
from fastmcp.server.middleware.error_handling import ErrorHandlingMiddleware

import holdfast.mcp  # 1


@asynccontextmanager
async def prices(server: FastMCP[Any]) -> AsyncIterator[dict[str, float]]:
    """Each worker reads its own list when it starts."""
    yield {"tea": 4.5, "coffee": 7.0}


server: FastMCP[Any] = FastMCP("shop", lifespan=prices, middleware=[ErrorHandlingMiddleware()])


@server.tool
def price(article: str, ctx: Context) -> float:
    """Return the price of an article."""
    return float(ctx.lifespan_context[article])


@server.tool
async def stocktaking(ctx: Context) -> int:
    """Count the articles, one after the other."""
    articles = ctx.lifespan_context
    for number, article in enumerate(articles, 1):
        await ctx.report_progress(number, len(articles), article)
    return len(articles)


@server.tool
async def order(article: str, ctx: Context) -> str:
    """Order an article, once the user agrees."""
    answer = await ctx.elicit(f"Order {article} for {ctx.lifespan_context[article]}?", bool)
    agreed = answer.action == "accept" and answer.data
    return f"{article} {'ordered' if agreed else 'not ordered'}"


@server.tool
async def add(article: str, ctx: Context) -> list[str]:
    """Put an article into the basket of this session."""
    basket = [*(await ctx.get_state("basket") or []), article]
    await ctx.set_state("basket", basket)
    return basket


@server.resource("article://{name}")
def article(name: str) -> str:
    return f"An article called {name}."


@server.prompt
def advise(taste: str) -> str:
    return f"Recommend an article to somebody who likes {taste}."


app = holdfast.mcp.asgi(server, store=os.environ.get("STORE", "redis://127.0.0.1:6379/0"))  # 2; the command is 3
