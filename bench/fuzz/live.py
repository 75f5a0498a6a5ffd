"""What a client has that works: sessions, a place in a stream, a task, a sealed state. Renewed when it is used up."""

from typing import Any, Final

from bench.fuzz.client import Client, Seen, bodiless, post
from bench.fuzz.messages import ABLE, SESSIONS, VERSIONS, Word

from e2e.mcp_world import MODERN, call, initialize, notification, request

RENEWED_AFTER: Final = 150  # requests
ENDPOINTS: Final = ("/mcp", "/dialect", "/sdk", "/stateless")


class Unwell(Exception):
    """A good request was not answered as it should be."""


class Live:
    """The values of one client for each endpoint."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._values: dict[str, dict[bytes, bytes]] = {path: {} for path in ENDPOINTS}
        self._uses = 0

    def at(self, data: bytes) -> dict[bytes, bytes]:
        """Return the values for the endpoint that a request is for."""
        path = next((path for path in ENDPOINTS if b" %b" % path.encode() in data[:20]), ENDPOINTS[0])
        return self._values[path]

    async def refresh(self) -> None:
        """Renew everything now and then: damaged requests end sessions as well."""
        if self._uses % RENEWED_AFTER == 0:
            for path in ENDPOINTS[:3]:
                self._values[path] = await self._fresh(path)
        self._uses += 1

    async def _fresh(self, path: str) -> dict[bytes, bytes]:
        values: dict[str, str] = {}
        for word, version in zip(SESSIONS, VERSIONS, strict=True):
            if old := self._values[path].get(word.encode()):
                await self._client.exchange(bodiless("DELETE", path, {"mcp-session-id": old.decode()}))
            values[word] = await self._opened(path, version)
        if path != "/sdk":
            values |= await self._left_behind(path, values[Word.SESSION_2])
        made = (await self.modern(path, "lasting")).json["result"]
        values[Word.TASK] = made.get("taskId", "a" * len(Word.TASK))
        return {word.encode(): value.encode() for word, value in values.items()}

    async def _left_behind(self, path: str, session: str) -> dict[str, str]:
        """Leave a stream before its end, and get a state to bring back."""
        named = {"mcp-session-id": session, "mcp-protocol-version": VERSIONS[2]}
        seen = await self._client.exchange(post(path, call("left", token=1), named))
        cursor = next((line[4:].decode() for line in seen.body.split(b"\n") if line.startswith(b"id: ")), "")
        asked = (await self.modern(path, "asks")).json["result"]
        return {Word.CURSOR: cursor, Word.STATE: asked["requestState"]}

    async def _opened(self, path: str, version: str) -> str:
        opened = _well(await self._client.exchange(post(path, initialize(version), {})), 200)
        session = opened.header("mcp-session-id")
        named = {"mcp-session-id": session, "mcp-protocol-version": version}
        _well(await self._client.exchange(post(path, notification("notifications/initialized"), named)), 202)
        return session

    async def modern(self, path: str, tool: str) -> Seen:
        """Call a tool as a modern client does."""
        body: dict[str, Any] = call(tool, 7)
        body["params"]["_meta"] = ABLE
        named = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": tool}
        return _well(await self._client.exchange(post(path, body, named)), 200)

    async def check(self) -> None:
        """Use every endpoint in both eras, with a session of its own; raise Unwell."""
        for path in ENDPOINTS:
            _said(await self.modern(path, "routed"))
            if path == "/stateless":
                _said(_well(await self._client.exchange(post(path, call("routed"), {})), 200))
                continue
            for version in VERSIONS:
                named = {"mcp-session-id": await self._opened(path, version), "mcp-protocol-version": version}
                for body in (call("routed"), request("tools/list")):
                    _said(_well(await self._client.exchange(post(path, body, named)), 200))
                _well(await self._client.exchange(bodiless("GET", path, {**named, "accept": "text/event-stream"})), 200)
                _well(await self._client.exchange(bodiless("DELETE", path, named)), 204)
                _well(await self._client.exchange(post(path, request("ping"), named)), 404)


def _well(seen: Seen, status: int) -> Seen:
    if seen.status != status:
        raise Unwell(f"a good request was answered with {seen.status} in place of {status}: {seen.body[:500]!r}")
    return seen


def _said(seen: Seen) -> None:
    if "result" not in seen.json:
        raise Unwell(f"a good request has no result: {seen.body[:500]!r}")
