"""An MCP client that tells what it is told: every call has one of four ends, none of them an exception.

Both eras; in the legacy one a handshake gives a session, which has to outlive every worker (M6).
"""

import json
from typing import Any

import httpx2
import msgspec

from e2e.mcp_world import LEGACY, META, MODERN

CALL_S = 45.0


class Answered(msgspec.Struct, frozen=True):
    """The tool has answered, with success or a finding."""

    content: dict[str, Any]


class Refused(msgspec.Struct, frozen=True):
    """An error with a code."""

    code: str
    message: str
    hint: str = ""


class Lost(msgspec.Struct, frozen=True):
    """The connection broke: nobody knows what has become of the call."""

    reason: str


class Fault(msgspec.Struct, frozen=True):
    """An answer that a client cannot be expected to understand: a promise is broken."""

    reason: str


End = Answered | Refused | Lost | Fault


class McpClient:
    """One agent's connection; `era` is `legacy` or `modern`."""

    def __init__(self, http: httpx2.AsyncClient, url: str, era: str) -> None:
        self._http, self._url, self.era = http, url, era
        self._session = ""

    async def call(self, tool: str, **arguments: Any) -> End:
        """Call a tool."""
        if self.era == "legacy" and not self._session:
            began = await self._shake_hands()
            if began is not None:
                return began
        meta = {"_meta": META} if self.era == "modern" else {}
        end = await self._post("tools/call", {"name": tool, "arguments": arguments, **meta}, name=tool)
        if isinstance(end, Answered):
            return _of_tool(end.content)
        return end

    async def _shake_hands(self) -> End | None:
        client = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "chaos", "version": "1"}}
        end = await self._post("initialize", client)
        return None if isinstance(end, Answered) else end

    async def _post(self, method: str, params: dict[str, Any], *, name: str = "") -> End:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            response = await self._http.post(self._url, json=message, headers=self._headers(method, name))
        except httpx2.TransportError as exc:
            return Lost(type(exc).__name__)
        self._session = response.headers.get("mcp-session-id", self._session)
        return _read(response)

    def _headers(self, method: str, name: str) -> dict[str, str]:
        accept = {"accept": "application/json, text/event-stream"}
        if self.era == "modern":
            return {**accept, "mcp-protocol-version": MODERN, "mcp-method": method, "mcp-name": name}
        session = {"mcp-session-id": self._session} if self._session else {}
        return {**accept, "mcp-protocol-version": LEGACY, **session}


def _read(response: httpx2.Response) -> End:
    status, text = response.status_code, response.text
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        lines = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
        if not lines:
            return Lost("the stream ended without a result")  # its worker was killed
        text = lines[-1]
    try:
        message = json.loads(text)
    except ValueError:
        return Fault(f"HTTP {status}, no JSON: {text[:200]!r}")
    if "result" in message:
        return Answered(message["result"])
    error = message.get("error", {})
    code = (error.get("data") or {}).get("code", "")
    if status == 503 and code:
        return Refused(code, str(error.get("message")))
    return Fault(f"HTTP {status}: {text[:300]}")


def _of_tool(result: dict[str, Any]) -> End:
    content = result.get("structuredContent") or {}
    if not result.get("isError"):
        return Answered(content)
    error = content.get("error") or {}
    if not error.get("code") or error["code"] == "internal":
        return Fault(f"an error without a code: {json.dumps(result)[:300]}")
    return Refused(error["code"], error.get("message", ""), error.get("hint", ""))
