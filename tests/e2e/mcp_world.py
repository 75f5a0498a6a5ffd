"""MCP endpoints to test against: workers with one store between them, a test clock, and tools that show their call."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import anyio
import msgspec
from msgspec.structs import replace

from e2e.wire import JSON_HEADERS, Exchange, Wire
from holdfast.core.manager import Manager
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.engine import listen_for_ends
from holdfast.errors import ObjectLocked
from holdfast.mcp import KINDS, Annotations, Context, McpEndpoint, NativeDispatcher, ServerInfo, Tool, tool
from holdfast.mcp.dispatch import Dispatcher
from holdfast.mcp.kinds import STREAM
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.testing.sink import RecordingSink

LEGACY, MODERN = "2025-11-25", "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


PATIENT = [  # the test clock jumps over the times at which a stream shows that it is there
    replace(kind, clocks=replace(kind.clocks, idle=1e6)) if kind.name == STREAM else kind for kind in KINDS
]


class Text(msgspec.Struct, forbid_unknown_fields=True):
    text: Annotated[str, msgspec.Meta(description="What to say.")]


class Sum(msgspec.Struct, forbid_unknown_fields=True):
    left: int
    right: int = 1


class Total(msgspec.Struct):
    total: int
    parts: list[int] = []


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


@tool(title="Echo", annotations=Annotations(read_only=True))
def echo(arguments: Text, context: Context) -> str:
    """Say it again."""
    return arguments.text


@tool()
async def add(arguments: Sum, context: Context) -> Total:
    """Add two numbers."""
    return Total(arguments.left + arguments.right, [arguments.left, arguments.right])


@tool()
async def whoami(arguments: Nothing, context: Context) -> str:
    """Say who calls."""
    name = (context.client or {}).get("name", "?")
    return f"{context.principal or 'nobody'} {name} {context.era} {context.version} {context.session is not None}"


@tool()
async def locked(arguments: Nothing, context: Context) -> str:
    """Fail in a known way."""
    raise ObjectLocked("ZCL_DEMO is locked by ALICE")


@tool()
async def broken(arguments: Nothing, context: Context) -> str:
    """Fail in an unknown way, with a secret in the message."""
    raise ValueError("password=hunter2")


@tool()
async def steps(arguments: Nothing, context: Context) -> str:
    """Report progress and log."""
    for step in (1, 2):
        await context.progress(step, 2, f"step {step}")
    await context.log("debug", "detail")
    await context.log("error", "trouble", logger="steps")
    return "done"


@tool()
async def ask(arguments: Text, context: Context) -> str:
    """Ask the client's user."""
    answer = await context.line.ask("elicitation/create", {"message": arguments.text}, 5.0)
    return str(answer["content"]["word"])


class Gate:
    """A tool that waits until the test lets it go on, and tells what became of it."""

    def __init__(self) -> None:
        self.entered, self.open, self.cancelled = anyio.Event(), anyio.Event(), anyio.Event()

    def tool(self) -> Tool:
        @tool(name="wait")
        async def wait(arguments: Nothing, context: Context) -> str:
            """Wait until the test says so."""
            self.entered.set()
            try:
                await self.open.wait()
            except BaseException:
                self.cancelled.set()
                raise
            await context.progress(1)
            return "opened"

        @tool(name="hang_up")
        async def hang_up(arguments: Nothing, context: Context) -> str:
            """Say something, close the connection, wait, and answer."""
            await context.progress(1)
            await context.log("info", "before")
            await context.line.hang_up()
            self.entered.set()
            await self.open.wait()
            await context.log("info", "after")
            return "late"

        self.tools = [wait, hang_up]
        return wait


class Worker:
    """One endpoint, as a process would have it, and the means to look inside."""

    def __init__(self, manager: Manager, endpoint: McpEndpoint) -> None:
        self.manager, self.endpoint = manager, endpoint
        self.wire = Wire(endpoint)


class World:
    """Workers on one store."""

    def __init__(self) -> None:
        self.clock, self.sink, self.gate = Clock(), RecordingSink(), Gate()
        self.store, self.keys = memory_store(), KeyRing.parse(new_key_text())
        self.workers: list[Worker] = []
        self._stack = AsyncExitStack()

    def tools(self) -> list[Tool]:
        self.gate.tool()
        return [echo, add, whoami, locked, broken, steps, ask, *self.gate.tools]

    async def add(self, dispatcher: Dispatcher | None = None, **options: Any) -> Worker:
        """Start one more worker."""
        manager = Manager(
            self.store, self.keys, PATIENT, worker=f"w{len(self.workers)}", clock=self.clock, sink=self.sink
        )
        native = NativeDispatcher(self.tools(), ServerInfo(name="test", version="1"), "Be kind.")
        endpoint = McpEndpoint(manager, dispatcher or native, **{"patience": 0.01, **options})
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._stack.callback(tasks.cancel_scope.cancel)
        await tasks.start(listen_for_ends, manager)
        await self._stack.enter_async_context(endpoint.running())
        worker = Worker(manager, endpoint)
        self.workers.append(worker)
        return worker


@asynccontextmanager
async def world(count: int = 1, dispatcher: Dispatcher | None = None, **options: Any) -> AsyncIterator[World]:
    """Run `count` workers until the block ends."""
    made = World()
    async with made._stack:
        for _ in range(count):
            await made.add(dispatcher, **options)
        yield made


def request(method: str, params: object = None, number: int | str = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def notification(method: str, params: object = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params or {}}


def call(name: str, number: int | str = 1, token: int | None = None, **arguments: object) -> dict[str, Any]:
    meta = {} if token is None else {"_meta": {"progressToken": token}}
    return request("tools/call", {"name": name, "arguments": arguments, **meta}, number)


def initialize(version: str = LEGACY, **capabilities: object) -> dict[str, Any]:
    client = {"name": "test", "version": "1"}
    return request("initialize", {"protocolVersion": version, "capabilities": capabilities, "clientInfo": client}, 0)


async def handshake(wire: Wire, version: str = LEGACY, **headers: str) -> dict[str, str]:
    """Open a session and return the headers that name it."""
    opened = await wire.post(initialize(version), **headers)
    assert opened.status == 200, opened.body
    named = {**headers, "mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": version}
    assert (await wire.post(notification("notifications/initialized"), **named)).status == 202
    return named


async def modern(wire: Wire, body: dict[str, Any], meta: object = META, **headers: str) -> Exchange:
    """Send a modern request with all headers it needs; `headers` rule over them, an empty one leaves it out."""
    params = body["params"] if meta is None else {**body["params"], "_meta": meta}
    name = body["params"].get("name")
    needed = {"mcp-protocol-version": MODERN, "mcp-method": body["method"], **({"mcp-name": name} if name else {})}
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    all_headers = {key: value for key, value in {**JSON_HEADERS, **needed, **named}.items() if value}
    return await wire.send("POST", {**body, "params": params}, headers=all_headers)


def texts(result: dict[str, Any]) -> Sequence[str]:
    return [block["text"] for block in result["content"]]
