"""MCP servers that ask for OAuth tokens, as processes: tools of ours, of the SDK and of FastMCP that say who calls.

python oauth_server.py PORT STORE native|sdk|fastmcp; everything else comes from the environment.
"""

import os
import sys
from typing import Any

import msgspec
import uvicorn

from holdfast.config import load_settings
from holdfast.mcp import Context, asgi, tool

PORT, STORE, SORT = sys.argv[1:4]


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Seen(msgspec.Struct):
    """What a tool sees of who calls."""

    user: str
    client: str
    scopes: list[str]
    process: int
    session: str = ""
    session_user: str = ""
    session_scopes: list[str] = []


def native() -> list[Any]:
    @tool()
    async def whoami(arguments: Nothing, context: Context) -> Seen:
        """Say who calls."""
        who, scope = context.identity, context.scope
        session = context.session.record.hex if context.session is not None else ""
        kept = scope.get("mcp.session_user_id", ""), scope.get("mcp.session_scopes", [])
        return Seen(who.subject, who.client, sorted(who.scopes), os.getpid(), session, *kept)

    @tool()
    async def change(arguments: Nothing, context: Context) -> Seen:
        """Do what needs a scope of its own."""
        who = context.identity
        return Seen(who.subject, who.client, sorted(who.scopes), os.getpid())

    return [whoami, change]


def sdk() -> Any:
    from mcp.server import MCPServer
    from mcp.server.auth.middleware.auth_context import get_access_token

    return with_tools(MCPServer("sdk"), get_access_token)


def fastmcp() -> Any:
    from fastmcp import FastMCP
    from fastmcp.server.dependencies import get_access_token

    return with_tools(FastMCP("fastmcp"), get_access_token)


def with_tools(server: Any, get_access_token: Any) -> Any:
    def seen() -> dict[str, Any]:
        token = get_access_token()
        said = Seen(token.subject, token.client_id, token.scopes, os.getpid())
        return msgspec.to_builtins(said)  # type: ignore[no-any-return]

    @server.tool()  # type: ignore[untyped-decorator]
    def whoami() -> dict[str, Any]:
        """Say who calls."""
        return seen()

    @server.tool()  # type: ignore[untyped-decorator]
    def change() -> dict[str, Any]:
        """Do what needs a scope of its own."""
        return seen()

    return server


if __name__ == "__main__":
    made = {"native": native, "sdk": sdk, "fastmcp": fastmcp}[SORT]()
    app = asgi(made, store=STORE, settings=load_settings())
    uvicorn.run(app, host="127.0.0.1", port=int(PORT), log_level="warning")
