"""The words of the Model Context Protocol: revisions, keys of `_meta`, error codes, and what each revision removed.

Source: specification 2025-03-26 to 2026-07-28; the codes are those of the 2026-07-28 schema.
"""

import enum
from typing import Final

MODERN: Final = ("2026-07-28",)
LEGACY: Final = ("2025-03-26", "2025-06-18", "2025-11-25")
OLDEST: Final = "2024-11-05"  # of the transport with a path for streams and one for messages (`old_sse`)
SERVED: Final = (*reversed(MODERN), *reversed(LEGACY))
LATEST_LEGACY: Final = LEGACY[-1]
ASSUMED: Final = LEGACY[0]  # a legacy request without any version speaks this one
BATCHES_UNTIL: Final = "2025-03-26"
PRIMED_FROM: Final = "2025-11-25"


class Era(enum.StrEnum):
    """Whether the client shook hands and has a session, or says everything with each request."""

    LEGACY = "legacy"
    MODERN = "modern"


META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CLIENT: Final = "io.modelcontextprotocol/clientInfo"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
META_SERVER: Final = "io.modelcontextprotocol/serverInfo"
META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
TASKS: Final = "io.modelcontextprotocol/tasks"  # the extension

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022

# The status of an error in the modern era; what is not named here is answered with 200 (mcp.md §6.5).
STATUS_OF: Final = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    METHOD_NOT_FOUND: 404,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
}

# Which member of `params` the header `Mcp-Name` repeats.
NAME_OF: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
REMOVED_IN_MODERN: Final = frozenset(
    {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}
)
DISCOVER: Final = "server/discover"
LISTEN: Final = "subscriptions/listen"
LOG_MESSAGE: Final = "notifications/message"
LOG_LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


def at_least(version: str, wanted: str) -> bool:
    """Say whether a served revision is as new as another one."""
    return version >= wanted  # they are dates


def loud_enough(level: object, wanted: str | None) -> bool:
    """Say whether a log message of `level` is to be sent to a client that wants `wanted` and above."""
    if wanted not in LOG_LEVELS or level not in LOG_LEVELS:
        return False
    return LOG_LEVELS.index(str(level)) >= LOG_LEVELS.index(wanted)
