"""MCP over Streamable HTTP, both eras at one endpoint, with sessions in a store.

`asgi` makes an application of an SDK server, a FastMCP server or tools of ours. `McpEndpoint` is for those who
compose several faces on one engine; their manager must know `KINDS`.
"""

from holdfast.mcp.compose import asgi, calm_garbage_collector, dispatcher_for, told_to_stop
from holdfast.mcp.dispatch import AsTask, Context, Dispatcher
from holdfast.mcp.endpoint import McpEndpoint
from holdfast.mcp.handles import HandleGone, Handles
from holdfast.mcp.kinds import KINDS
from holdfast.mcp.middleware import McpSessionMiddleware
from holdfast.mcp.native import NativeDispatcher, ServerInfo
from holdfast.mcp.protocol import Era
from holdfast.mcp.session_data import session_data
from holdfast.mcp.tool import Annotations, InputRequired, Tool, ToolResult, tool
from holdfast.web.session_data import SessionData

__all__ = [
    "KINDS",
    "Annotations",
    "AsTask",
    "Context",
    "Dispatcher",
    "Era",
    "HandleGone",
    "Handles",
    "InputRequired",
    "McpEndpoint",
    "McpSessionMiddleware",
    "NativeDispatcher",
    "ServerInfo",
    "SessionData",
    "Tool",
    "ToolResult",
    "asgi",
    "calm_garbage_collector",
    "dispatcher_for",
    "session_data",
    "told_to_stop",
    "tool",
]
