"""Good messages of both eras, one of each sort at least; what is live in them stands there as a word (`Word`)."""

import enum
from random import Random
from typing import Any, Final

from e2e.mcp_world import LEGACY, META, MODERN, call, initialize, notification, request

VERSIONS: Final = ("2025-03-26", "2025-06-18", LEGACY)
TASKS: Final = {"io.modelcontextprotocol/tasks": {}}
ABLE: Final = {
    **META,
    "io.modelcontextprotocol/clientCapabilities": {"extensions": TASKS, "elicitation": {}, "roots": {}},
    "io.modelcontextprotocol/logLevel": "debug",
    "progressToken": 4,
}


class Word(enum.StrEnum):
    """Stands for something that only a running server gives away; of the length of what it stands for."""

    SESSION_0 = "@session-of-2025-03-26----------------------"
    SESSION_1 = "@session-of-2025-06-18----------------------"
    SESSION_2 = "@session-of-2025-11-25----------------------"
    CURSOR = "@cursor-----.1"
    TASK = "@task---------------------------------------"
    STATE = "@state@"


SESSIONS: Final = (Word.SESSION_0, Word.SESSION_1, Word.SESSION_2)
TOOLS: Final = ("routed", "routed", "echo", "left", "lasting", "asks", "waits", "nobody")
FILTER: Final = {"toolsListChanged": True, "resourceSubscriptions": ["x://y"], "taskIds": [Word.TASK]}
ANSWER: Final = {"jsonrpc": "2.0", "id": "0123456789abcdef.1", "result": {}}
BOTH: Final = (
    ("tools/list", {}),
    ("tools/list", {"cursor": "x"}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "greet", "arguments": {"name": "you"}}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "x://y"}),
    (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "name", "value": "y"}},
    ),
    ("tasks/get", {"taskId": Word.TASK}),
    ("tasks/cancel", {"taskId": Word.TASK}),
    ("nobody/knows", {}),
)
LEGACY_ONLY: Final = (
    ("ping", {}),
    ("logging/setLevel", {"level": "info"}),
    ("resources/subscribe", {"uri": "x://y"}),
    ("resources/unsubscribe", {"uri": "x://y"}),
    ("tasks/list", {}),
    ("tasks/result", {"taskId": Word.TASK}),
)
MODERN_ONLY: Final = (
    ("server/discover", {}),
    ("subscriptions/listen", {"notifications": FILTER}),
    ("tasks/update", {"taskId": Word.TASK, "inputResponses": {}}),
)
NOTIFICATIONS: Final = (
    ("notifications/initialized", {}),
    ("notifications/cancelled", {"requestId": 1, "reason": "x"}),
    ("notifications/progress", {"progressToken": 4, "progress": 1}),
    ("notifications/roots/list_changed", {}),
    ("notifications/x", {}),
)


def legacy(draw: Random) -> Any:
    """Return a message, or a batch of them, of the handshake era."""
    sort = draw.randrange(12)
    if sort == 0:
        return initialize(
            draw.choice(VERSIONS), experimental={"holdfast/sessionEvents": draw.choice(({}, {"form": "event"}))}
        )
    if sort == 1:
        return [one_of_legacy(draw) for _ in range(draw.randrange(1, 5))]
    return one_of_legacy(draw)


def one_of_legacy(draw: Random) -> dict[str, Any]:
    """Return a message of a session."""
    sort = draw.randrange(10)
    if sort < 5:
        return call(draw.choice(TOOLS), draw.choice((1, 2, "a")), token=draw.choice((None, 3)), region="eu", size=3)
    if sort < 7:
        return request(*draw.choice((*BOTH, *LEGACY_ONLY)), draw.randrange(5))
    if sort < 9:
        return notification(*draw.choice(NOTIFICATIONS))
    return draw.choice((ANSWER, {"jsonrpc": "2.0", "id": "0123456789abcdef.1", "error": {"code": 1, "message": "x"}}))


def modern(draw: Random) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a message that stands for itself, and the headers that say the same."""
    headers = {"mcp-protocol-version": MODERN}
    if draw.random() < 0.05:
        return notification(*draw.choice(NOTIFICATIONS)), headers
    if draw.random() < 0.5:
        body = call(draw.choice(TOOLS), 7, region="eu", size=3)
        if draw.random() < 0.3:
            body["params"] |= {
                "requestState": Word.STATE,
                "inputResponses": {"sure": {"action": "accept", "content": {}}},
            }
        headers |= {"mcp-param-region": "eu", "mcp-param-size": "3"}
    else:
        method, params = draw.choice((*BOTH, *MODERN_ONLY))
        body = request(method, dict(params), 7)
    body["params"]["_meta"] = draw.choice((META, ABLE, ABLE))
    params = body["params"]
    name = params.get("name") or params.get("uri") or params.get("taskId")
    return body, {**headers, "mcp-method": body["method"], **({"mcp-name": str(name)} if name else {})}
