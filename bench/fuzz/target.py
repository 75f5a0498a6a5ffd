"""The server that is fuzzed, as a process of its own: four endpoints on one store, and a look inside at `/inside`.

python -m bench.fuzz.target PORT STORE [PLANTED]

With PLANTED one request of fifty meets a fault that the judge must find: `raise`, `hang` or `keep`.
"""

import asyncio
import gc
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any, Final

import msgspec
import uvicorn
from mcp.server.mcpserver import MCPServer
from pydantic import Field

from holdfast._asgi import Receive, Scope, Send
from holdfast.config import Settings
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.mcp import AsTask, Context, InputRequired, McpEndpoint, asgi, tool
from holdfast.mcp.compose import McpApp
from holdfast.mcp.dispatch import NoWayBack
from holdfast.mcp.jsonrpc import RpcError
from holdfast.web.http1 import BoundedHttp
from holdfast.web.reply import reply

ANSWER_S: Final = 0.2
SOUND: Final = 500  # requests before the first planted fault
ROUTED: Final = msgspec.Meta(extra_json_schema={"x-mcp-header": "Region"})
SIZED: Final = msgspec.Meta(extra_json_schema={"x-mcp-header": "Size"})
TASK: Final = AsTask(ttl=3.0)


class Routed(msgspec.Struct):
    region: Annotated[str, ROUTED] = ""
    size: Annotated[int, SIZED] = 0


@tool()
async def routed(arguments: Routed, context: Context) -> str:
    """Take arguments that travel in headers as well."""
    await context.progress(1)
    return arguments.region


@tool()
def echo(arguments: Routed, context: Context) -> str:
    """Say it again."""
    return arguments.region


@tool()
async def left(arguments: Routed, context: Context) -> str:
    """Close the connection before the answer, which then waits for the client to come back."""
    await context.progress(1)
    await context.log("info", "before")
    await context.line.hang_up()
    await context.log("info", "after")
    return "late"


@tool(task=TASK)
async def lasting(arguments: Routed, context: Context) -> str:
    """Run as a task."""
    return arguments.region


@tool()
async def asks(arguments: Routed, context: Context) -> str | InputRequired:
    """Ask for something first."""
    if context.input_responses or context.era == "legacy":
        return f"{context.request_state}"
    question = {"mode": "form", "message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
    return InputRequired({"sure": {"method": "elicitation/create", "params": question}}, state=[1], once=True)


@tool()
async def waits(arguments: Routed, context: Context) -> str:
    """Ask on the call's own stream, and not for long."""
    try:
        return str(await context.line.ask("roots/list", {}, ANSWER_S))
    except (NoWayBack, RpcError):
        return "no answer"


def sdk_server() -> MCPServer[Any]:
    """Return a server of the SDK; it has no prompts, to which arguments that it does not know are faults of its own."""
    server: MCPServer[Any] = MCPServer("fuzz")

    @server.tool(name="routed")
    async def _(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})], size: int = 0) -> str:
        """Take an argument that travels in a header as well."""
        return region

    @server.tool(name="lasting")
    async def _(region: str = "") -> str:
        """Run as a task."""
        return region

    @server.resource("x://y")
    def _() -> str:
        return "text"

    @server.resource("x://{name}")
    def _(name: str) -> str:
        return name

    return server


def endpoints(store: str) -> dict[str, McpApp]:
    """Return the applications by their paths."""
    settings = Settings(
        rate_limit_per_session=10**9,
        cleanup_interval=1.0,
        store_timeout=8.0,  # four writers of one file on a busy machine: what takes longer counts as a hang
        kinds={"mcp": {"per_client": 50}},
    )
    given: dict[str, Any] = {"store": store, "settings": settings, "keys": KeyRing.parse(new_key_text())}
    ours = [routed, echo, left, lasting, asks, waits]
    return {
        "/mcp": asgi(ours, path="/mcp", **given),
        "/dialect": asgi(ours, path="/dialect", dialect="fast-mcp", preset="fast-mcp", answers="stream", **given),
        "/sdk": asgi(sdk_server(), path="/sdk", tasks={"lasting": TASK}, **given),
        "/stateless": asgi(ours, path="/stateless", stateless=True, **given),
    }


class Target:
    """The four endpoints, one beside the other."""

    def __init__(self, store: str, planted: str = "") -> None:
        self._apps, self._planted = endpoints(store), planted
        self._kept, self._requests = bytearray(), 0
        self._running: list[McpEndpoint] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["path"] == "/inside":
            await reply(send, 200, msgspec.json.encode(self.inside()), ((b"content-type", b"application/json"),))
        elif scope["type"] == "http":
            await self._plant()
            path = next((path for path in self._apps if scope["path"].startswith(path)), "/mcp")
            await self._apps[path](scope, receive, send)

    async def _plant(self) -> None:
        self._requests += 1
        if not self._planted or self._requests < SOUND or self._requests % 50:
            return
        if self._planted == "raise":
            raise RuntimeError("planted")
        if self._planted == "hang":
            await asyncio.sleep(3600)
        self._kept += bytes(2**20)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._opened():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for app in self._apps.values():
                self._running.append(await stack.enter_async_context(app.running()))
            yield

    def inside(self) -> dict[str, int]:
        """Return what the process holds of requests: nothing of it may outlast them."""
        gc.collect()
        parts = [(made._calls, made._inbox, made._streams) for made in self._running]
        return {
            "tasks": len(asyncio.all_tasks()),
            "calls": sum(len(calls._calls) + len(calls._named) for calls, _, _ in parts),
            "waiting": sum(len(inbox._waiting) for _, inbox, _ in parts),
            "streams": sum(len(inbox.held) + len(streams._open) for _, inbox, streams in parts),
        }


def end_with_parent() -> None:
    """End this process when who started it is gone: its end of our input is closed then."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    port, store, planted = [*sys.argv[1:], ""][:3]
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # what handlers of the SDK refuse it logs as their failures
    given: Any = {"http": BoundedHttp, "proxy_headers": False, "log_level": "warning"}
    uvicorn.run(Target(store, planted), host="127.0.0.1", port=int(port), **given)
