"""An application behind the session middleware, beside an MCP server: as several processes on one store have it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from mcp.server import MCPServer

from e2e.mcp_world import handshake
from e2e.wire import Exchange, Wire
from holdfast._asgi import ASGIApp, Receive, Scope, Send
from holdfast.config import Settings
from holdfast.core.manager import Manager
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.mcp import McpSessionMiddleware, asgi, session_data
from holdfast.mcp.compose import McpApp
from stores.stores import Place

Handler = Callable[[Scope], Awaitable[Any] | Any]


def shop_server() -> MCPServer:
    """A server of the SDK whose tools use the session's data."""
    server = MCPServer("shop")

    @server.tool()
    async def put(article: str) -> list[str]:
        """Put an article into the basket."""
        async with session_data() as data:
            data["basket"] = [*data.get("basket", []), article]
            return list(data["basket"])

    return server


class Process:
    """One process: the MCP server, and what stands beside it behind the middleware."""

    def __init__(self, mcp: McpApp, **options: Any) -> None:
        self.mcp, self.handler = mcp, seen
        self.app = McpSessionMiddleware(self.route, sessions_of=mcp, **options)
        self.wire = Wire(self.app)

    @property
    def manager(self) -> Manager:
        assert self.mcp._opened.value is not None
        return self.mcp._opened.value._manager

    async def route(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = self.mcp if scope["path"] == "/mcp" else self.answer
        await app(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = self.handler(scope)
        body = json.dumps(await said if isinstance(said, Awaitable) else said).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def get(self, handler: Handler, path: str = "/shop", **headers: str) -> Exchange:
        """Let the application handle a request in this way."""
        self.handler = handler
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await Wire(self.app, path=path).send("GET", headers=named)

    async def open(self, **headers: str) -> dict[str, str]:
        """Open a session; return the headers that name it."""
        named = await handshake(self.wire, **headers)
        del named["mcp-protocol-version"]
        return named


def seen(scope: Scope) -> Any:
    """Tell what the application finds in its scope."""
    return {name: value for name, value in scope.items() if name.startswith("mcp.")}


@asynccontextmanager
async def shop(place: Place | None = None, count: int = 1, **options: Any) -> AsyncIterator[list[Process]]:
    """Run processes on one store until the block ends; `options` that the middleware has are its own."""
    place = place or Place("memory", "memory://", "t")
    keys, own = KeyRing.parse(new_key_text()), {n: options.pop(n) for n in ("on_conflict",) if n in options}
    settings = options.pop("settings", None) or Settings()
    async with _opened(place, count) as stores:
        made = [
            Process(
                asgi(shop_server(), store=store, keys=keys, settings=settings, calm_gc=False, **options),
                **own,
            )
            for store in stores
        ]
        async with _running([process.mcp for process in made]):
            yield made


@asynccontextmanager
async def _opened(place: Place, count: int) -> AsyncIterator[list[Any]]:
    if not count:
        yield []
        return
    async with place.open() as store, _opened(place, count - 1) as more:
        yield [store, *more]


@asynccontextmanager
async def _running(apps: list[McpApp]) -> AsyncIterator[None]:
    if not apps:
        yield
        return
    async with apps[0].running(), _running(apps[1:]):
        yield
