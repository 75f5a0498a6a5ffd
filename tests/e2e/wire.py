"""An ASGI application without a socket: requests in, answers and streams out, every wait bounded."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from holdfast._asgi import ASGIApp, Message

PATIENCE = 5.0
JSON_HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


class Event:
    """One event of a stream."""

    def __init__(self, block: str) -> None:
        fields = [line.partition(": ") for line in block.split("\n") if not line.startswith(":")]
        self.id = next((value for name, _, value in fields if name == "id"), None)
        self.name = next((value for name, _, value in fields if name == "event"), "message")
        self.retry = next((value for name, _, value in fields if name == "retry"), None)
        self.data = "\n".join(value for name, _, value in fields if name == "data")

    @property
    def message(self) -> Any:
        return json.loads(self.data)


class Exchange:
    """One request and what came back so far."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.ended = False
        self._changed = anyio.Event()
        self._left = anyio.Event()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Event]:
        blocks = self.body.decode().split("\n\n")
        return [Event(block) for block in blocks[:-1] if not all(line.startswith(":") for line in block.split("\n"))]

    @property
    def messages(self) -> list[Any]:
        return [event.message for event in self.events if event.data]

    @property
    def result(self) -> Any:
        """The result, whichever form the answer has."""
        last = self.messages[-1] if "event-stream" in self.headers.get("content-type", "") else self.json
        return last["result"]

    async def until(self, condition: Any) -> None:
        """Wait until something holds of what came back."""
        with anyio.fail_after(PATIENCE):
            while not condition(self):
                await self._changed.wait()

    def end(self) -> None:
        """Note that the application has returned."""
        self.ended = True
        self._changed.set()
        self._changed = anyio.Event()

    def leave(self) -> None:
        """Close the connection."""
        self._left.set()

    def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")
            self.ended = not message.get("more_body", False)
        self._changed.set()
        self._changed = anyio.Event()


class Wire:
    """Sends requests to an application.

    `address` is what the server thinks it is bound to, `client` where requests come from.
    """

    def __init__(
        self, app: ASGIApp, *, path: str = "/mcp", address: str = "127.0.0.1", client: str = "127.0.0.1", **headers: str
    ) -> None:
        self.app, self.address, self.client = app, address, client
        self.path, _, self.query = path.partition("?")
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def send(
        self,
        method: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
    ) -> Exchange:
        """Send a request and return the whole answer."""
        exchange = Exchange()
        with anyio.fail_after(PATIENCE):
            await self._run(exchange, method, body, headers)
        return exchange

    async def post(self, body: Any, **headers: str) -> Exchange:
        """POST a body: bytes as they are, anything else as JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.send("POST", body, headers={**JSON_HEADERS, **self.headers, **named})

    @asynccontextmanager
    async def open(
        self, method: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Exchange]:
        """Send a request whose answer is a stream; leave it at the end of the block."""
        async with anyio.create_task_group() as tasks:
            exchange = self.begin(tasks, method, body, headers=headers)
            await exchange.until(lambda seen: seen.status)
            yield exchange
            exchange.leave()
            await exchange.until(lambda seen: seen.ended)
            tasks.cancel_scope.cancel()

    def begin(
        self, tasks: TaskGroup, method: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Exchange:
        """Send a request from a task of its own; what comes back is seen in what this returns."""
        exchange = Exchange()

        async def run() -> None:
            await self._run(exchange, method, body, {**JSON_HEADERS, **self.headers, **(headers or {})})
            exchange.end()

        tasks.start_soon(run)
        return exchange

    async def _run(self, exchange: Exchange, method: str, body: Any, headers: Any) -> None:
        payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers or [])
        if not any(name == "host" for name, _ in pairs):
            pairs.append(("host", "127.0.0.1:8765"))
        scope = {
            "type": "http",
            "method": method,
            "path": self.path,
            "query_string": self.query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
            "server": (self.address, 8765),
            "client": (self.client, 50000),
            "scheme": "http",
        }
        sent = False

        async def receive() -> Message:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": payload, "more_body": False}
            if not exchange._left.is_set():  # a wait of anyio's is a checkpoint, a server's receive is none
                await exchange._left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            await anyio.lowlevel.checkpoint()
            exchange.take(message)

        await self.app(scope, receive, send)


class Lifespan:
    """The server's side of the ASGI lifespan."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._stop, self._changed = app, anyio.Event(), anyio.Event()
        self.said: list[str] = []

    async def run(self) -> None:
        asked: list[Message] = [{"type": "lifespan.startup"}]

        async def receive() -> Message:
            if asked:
                return asked.pop()
            await self._stop.wait()
            return {"type": "lifespan.shutdown"}

        async def send(message: Message) -> None:
            self.said.append(message["type"])
            self._changed.set()

        await self._app({"type": "lifespan"}, receive, send)

    async def started(self) -> None:
        with anyio.fail_after(PATIENCE):
            await self._changed.wait()

    def stop(self) -> None:
        self._stop.set()
