"""A server of the SDK with something for every row of mcp.md's tables, as a process of its own.

python table_server.py PORT STORE SETTING      (protocol, stateless or dialect)
"""

import sys
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from holdfast.config import Settings
from holdfast.identity.facts import Identity, InvalidToken
from holdfast.mcp import AsTask, asgi
from holdfast.web.http1 import BoundedHttp

SETTINGS: dict[str, dict[str, Any]] = {
    "protocol": {},
    "stateless": {"stateless": True},
    "dialect": {"dialect": "fast-mcp"},
}
server: MCPServer[Any] = MCPServer("tables")


class Names:
    """Who sends a name as the token has it; `admin` may do more."""

    async def verify(self, token: str) -> Identity:
        if token not in ("alice", "bob", "admin"):
            raise InvalidToken("nobody has this token")
        return Identity(subject=token, scopes=frozenset({"admin"} if token == "admin" else ()))


@server.tool()
async def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool()
async def version(ctx: Context) -> str:
    """Say which revision is spoken, and that something comes before the answer."""
    await ctx.report_progress(1)
    return str(ctx.request_context.protocol_version)


@server.tool()
async def leave(ctx: Context) -> str:
    """Close the connection before the answer, which waits for the client to come back."""
    await ctx.report_progress(1)
    await ctx.close_sse_stream()
    return "late"


@server.tool()
async def lasting() -> str:
    """Run as a task only."""
    return "done"


@server.tool()
async def admin() -> str:
    """Do what only an admin may."""
    return "done"


@server.tool()
async def name(ctx: Context) -> str | InputRequiredResult:
    """Ask for a name."""
    answer = (ctx.input_responses or {}).get("name")
    if isinstance(answer, ElicitResult):
        return str((answer.content or {}).get("name"))
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    asked = ElicitRequest(params=ElicitRequestFormParams(message="Name?", requested_schema=schema))
    return InputRequiredResult(input_requests={"name": asked}, request_state="asked")


@server.resource("note://there")
def note() -> str:
    return "note"


@server.prompt()
def broken() -> str:
    raise OSError("password=hunter2")


if __name__ == "__main__":
    port, store, setting = sys.argv[1:]
    app = asgi(
        server,
        store=store,
        settings=Settings(),
        verifier=Names(),
        tool_scopes={"admin": ["admin"]},
        tasks={"lasting": AsTask(required=True)},
        **SETTINGS[setting],
    )
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="critical", http=BoundedHttp, proxy_headers=False)
