"""A low-level server of the official SDK whose sessions survive restarts and are served by any worker.

It was written for the SDK's own transport (`server.streamable_http_app()`), which keeps sessions in the memory of one
process. Three lines take it to Redis: the import, `app`, and the command:

    HOLDFAST_KEYS=$(holdfast keys new) uvicorn --app-dir examples mcp_lowlevel_server:app --workers 4 --no-proxy-headers
"""

import os
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ElicitRequestedSchema,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

import holdfast.mcp  # 1

PRICES = {"tea": 4.5, "coffee": 7.0}
ARTICLE = {"type": "object", "properties": {"article": {"type": "string"}}, "required": ["article"]}
NOTHING = {"type": "object", "properties": {}}
SURE: ElicitRequestedSchema = {
    "type": "object",
    "properties": {"sure": {"type": "boolean"}},
    "required": ["sure"],
}
TOOLS = [
    Tool(name="price", description="Return the price of an article.", input_schema=ARTICLE),
    Tool(name="stocktaking", description="Count the articles, one after the other.", input_schema=NOTHING),
    Tool(name="order", description="Order an article, once the user agrees.", input_schema=ARTICLE),
]
Request = ServerRequestContext[Any]


async def list_tools(ctx: Request, params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=TOOLS)


async def call_tool(ctx: Request, params: CallToolRequestParams) -> CallToolResult:
    article = str((params.arguments or {}).get("article", ""))
    if params.name == "price":
        return said(str(PRICES[article]))
    return await (order(ctx, article) if params.name == "order" else stocktaking(ctx))


async def stocktaking(ctx: Request) -> CallToolResult:
    for number, article in enumerate(PRICES, 1):
        await ctx.session.report_progress(number, len(PRICES), article)
    return said(str(len(PRICES)))


async def order(ctx: Request, article: str) -> CallToolResult:
    question = f"Order {article} for {PRICES[article]}?"
    answer = await ctx.session.elicit(question, SURE, related_request_id=ctx.request_id)
    agreed = answer.action == "accept" and (answer.content or {}).get("sure")
    return said(f"{article} {'ordered' if agreed else 'not ordered'}")


def said(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)])


server: Server[Any] = Server("shop", on_list_tools=list_tools, on_call_tool=call_tool)

app = holdfast.mcp.asgi(server, store=os.environ.get("STORE", "redis://127.0.0.1:6379/0"))  # 2; the command is 3
