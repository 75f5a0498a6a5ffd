"""An MCP client whose session goes on: over dropped connections, restarted servers and restarts of this program.

    python examples/clients/steady_client.py http://127.0.0.1:8000/mcp echo '{"text": "hello"}'

It speaks the handshake era (2025-11-25), where a session has an id, and uses nothing but httpx2, so that each piece of
advice can be seen at work:

    store       the session id lies in a file that only its owner can read; the next run goes on with it
    resume      a stream that breaks is taken up after the last event that was seen (`Last-Event-ID`)
    reconnect   with waits that double, up to half a minute, each a little different (or as long as the server says)
    watch       a stream that has been silent for two keep-alive intervals is dead, whatever TCP thinks
    expire      404 means that the session has ended and nothing was done: open another one and ask again
    clean up    DELETE ends the session, so that it holds no locks and counts in no limit
"""

import json
import random
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2

VERSION = "2025-11-25"
SILENCE_S = 30.0  # two keep-alive intervals of the server, which are 15 s
ABOUT = {"protocolVersion": VERSION, "clientInfo": {"name": "steady", "version": "1"}, "capabilities": {}}
Message = dict[str, Any]


class SessionGone(Exception):
    """The server knows no such session: it has expired, or somebody has ended it."""


class Refused(Exception):
    """The server answered with an error, whose `data.code` is one of its manual's codes."""


class AnswerLost(Exception):
    """The connection broke before there was anything to resume. Whether the server has done it, nobody can say."""


class SteadyClient:
    """A session at an MCP server. `session_id` changes when the old one has expired."""

    def __init__(
        self,
        url: str,
        file: Path | None = None,
        *,
        headers: dict[str, str] | None = None,
        silence: float = SILENCE_S,
        heard: Callable[[Message], None] = lambda message: None,
    ) -> None:
        timeout = httpx2.Timeout(10.0, read=silence)  # watch: a read that waits longer than this fails
        self._http = httpx2.AsyncClient(headers=headers, timeout=timeout)
        self._url, self._file, self._heard = url, file, heard
        self._opening = anyio.Lock()
        self._number = 0
        self.session_id = file.read_text().strip() if file is not None and file.exists() else ""

    async def call(self, tool: str, arguments: Message) -> Message:
        """Call a tool and return its result.

        Raises:
            AnswerLost: See there; a tool that only reads can simply be called again.
            Refused: The server says why it does not answer.
        """
        return await self.request("tools/call", {"name": tool, "arguments": arguments})

    async def request(self, method: str, params: Message) -> Message:
        """Send a request and return its result, in a new session if the one there was has expired."""
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        while True:
            session_id = await self._open()
            try:
                answer = await self._post(request, session_id)
            except SessionGone:
                self._forget(session_id)
                continue
            if "error" in answer:
                raise Refused(answer["error"])
            return dict(answer["result"])

    async def listen(self) -> None:
        """Hand what the server says of its own accord to `heard`, until cancelled."""
        while True:
            session_id = await self._open()
            try:
                async with aclosing(self._messages(session_id)) as messages:
                    async for message in messages:
                        self._heard(message)
            except SessionGone:
                self._forget(session_id)

    async def close(self, *, end: bool = True) -> None:
        """Let go of the connections, and end the session unless the next run shall go on with it."""
        if end and self.session_id:
            with suppress(httpx2.TransportError):
                await self._http.delete(self._url, headers=self._headers(self.session_id))
            self._forget(self.session_id)
        await self._http.aclose()

    async def _open(self) -> str:
        """Return the id of the session, and open one if there is none."""
        async with self._opening:
            if not self.session_id:
                about = {
                    "protocolVersion": VERSION,
                    "clientInfo": {"name": "steady", "version": "1"},
                    "capabilities": {},
                }
                async with self._sent(
                    {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": about}, ""
                ) as opened:
                    if opened.status_code != 200:
                        raise Refused((await opened.aread()).decode())
                session_id = opened.headers.get("mcp-session-id", "")
                async with self._sent({"jsonrpc": "2.0", "method": "notifications/initialized"}, session_id):
                    self._keep(session_id)
            return self.session_id

    async def _post(self, request: Message, session_id: str) -> Message:
        """Send a request and return the message that answers it."""
        async with self._sent(request, session_id) as response:
            if response.status_code == 404 and session_id:
                raise SessionGone
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                return dict(json.loads(await response.aread()))
            async with aclosing(self._messages(session_id, response)) as messages:
                async for message in messages:
                    if message.get("id") == request["id"] and "method" not in message:
                        return message
                    self._heard(message)
        raise AssertionError("a stream is taken up until it has brought its answer")

    @asynccontextmanager
    async def _sent(self, message: Message, session_id: str) -> AsyncGenerator[httpx2.Response]:
        """Give the answer to a message that a server has taken."""
        try:
            response = await self._taken(message, session_id)
            try:
                yield response
            finally:
                await response.aclose()
        except httpx2.TransportError as lost:
            raise AnswerLost(str(lost)) from lost

    async def _taken(self, message: Message, session_id: str) -> httpx2.Response:
        """Send until a server takes it: one that cannot be reached or is draining has not begun to work on it."""
        for wait in _waits():
            request = self._http.build_request("POST", self._url, json=message, headers=self._headers(session_id))
            with suppress(httpx2.ConnectError):
                response = await self._http.send(request, stream=True)
                if response.status_code != 503 or b"server_draining" not in await response.aread():
                    return response
            await anyio.sleep(wait)
        raise AssertionError("the waits never end")

    async def _messages(self, session_id: str, answer: httpx2.Response | None = None) -> AsyncGenerator[Message]:
        """Yield the messages of a request's answer, or of the session's own stream; take it up wherever it breaks."""
        response, last, waits = answer, "", _waits()
        while True:
            with suppress(httpx2.TransportError):
                response = response or await self._http.send(self._get(session_id, last), stream=True)
                try:
                    await _check(response)
                    async for event in httpx2.EventSource(response):
                        last = event.id or last
                        waits = _waits() if event.retry is None else _waits(event.retry / 1000, event.retry / 1000)
                        if event.data and event.event == "message":
                            yield json.loads(event.data)
                finally:
                    await response.aclose()
            response = None
            if answer is not None and not last:
                raise AnswerLost("the stream broke before its first event")
            await anyio.sleep(next(waits))

    def _get(self, session_id: str, last: str) -> httpx2.Request:
        headers = self._headers(session_id) | {"accept": "text/event-stream"}
        if last:
            headers["last-event-id"] = last
        return self._http.build_request("GET", self._url, headers=headers)

    def _headers(self, session_id: str) -> dict[str, str]:
        known = {"mcp-session-id": session_id} if session_id else {}
        return {"accept": "application/json, text/event-stream", "mcp-protocol-version": VERSION, **known}

    def _keep(self, session_id: str) -> None:
        self.session_id = session_id
        if self._file is not None:
            self._file.touch(mode=0o600)
            self._file.write_text(session_id)

    def _forget(self, session_id: str) -> None:
        if self.session_id == session_id:  # else another task has opened the next one already
            self.session_id = ""
            if self._file is not None:
                self._file.unlink(missing_ok=True)


async def _check(response: httpx2.Response) -> None:
    """Let a stream through; raise for what is none, in a way that says whether to wait, to begin anew or to give up."""
    if response.status_code == 404:
        raise SessionGone
    if response.status_code in (409, 429, 502, 503):
        raise httpx2.TransportError("the server cannot serve the stream now")
    if response.status_code != 200:
        raise Refused((await response.aread()).decode())


def _waits(first: float = 0.5, most: float = 30.0) -> Iterator[float]:
    """Yield waits that double; each is shortened by chance, so that not all clients come back at once."""
    wait = first
    while True:
        yield wait * random.uniform(0.5, 1.0)
        wait = min(2 * wait, most)


async def main(url: str, tool: str, arguments: str) -> None:
    """Call a tool in the session of the last run, and leave the session for the next."""
    client = SteadyClient(url, Path(".steady-session"), heard=print)
    try:
        print(json.dumps(await client.call(tool, json.loads(arguments)), indent=2))
    finally:
        await client.close(end=False)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
