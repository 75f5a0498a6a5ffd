"""A Starlette application behind the session middleware, with an MCP server mounted in it, as a process of its own.

python middleware_server.py PORT STORE
"""

import os
import sys

import uvicorn
from mcp.server import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from holdfast.config import Settings
from holdfast.mcp import McpSessionMiddleware, SessionData, asgi, session_data

server = MCPServer("shop")


@server.tool()
async def put(article: str) -> int:
    """Put an article into the basket."""

    def add(data: SessionData) -> int:
        data.setdefault("basket", []).append(article)
        return len(data["basket"])

    return await session_data().change(add)


async def basket(request: Request) -> JSONResponse:
    data = request.scope.get("mcp.session")
    if data is None:
        return JSONResponse({"process": os.getpid(), "id": request.scope.get("mcp.session_id")}, 401)
    data.setdefault("visits", {}).setdefault(str(os.getpid()), []).append(1)
    shown = {"basket": data.get("basket", []), "said": data.get("said"), "visits": len(data["visits"])}
    return JSONResponse({"process": os.getpid(), **shown})


async def chat(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        socket.scope["mcp.session"]["said"] = await socket.receive_text()
        await socket.send_text("kept")


if __name__ == "__main__":
    port, store = sys.argv[1:]
    mcp = asgi(server, store=store, settings=Settings())
    routes = [Route("/basket", basket), WebSocketRoute("/chat", chat), Mount("/", mcp)]
    app = McpSessionMiddleware(Starlette(routes=routes), sessions_of=mcp)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
