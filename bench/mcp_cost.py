"""What one `tools/call` costs Holdfast itself, in microseconds of processor time: no socket, no ASGI server.

    python bench/mcp_cost.py                       # all rows
    python bench/mcp_cost.py --only sdk --rounds 30
    python bench/mcp_cost.py --only "native legacy JSON" --profile 25

The application is called as an ASGI server would call it, in one task, with the requests of `mcp_echo.py`. "Ours" is
everything in it (with tools of ours the tool too), but with an SDK server not the SDK's dispatch: what is spent inside
`Connection.from_envelope` and `ServerRunner` (what its `serve_one` does), by a stopwatch in rounds between the others.
What an ASGI server adds (sockets, parsing HTTP, a task per request) is in `cpu_us` of `mcp_echo.py`. A figure is the
lowest of the rounds: other work on the machine only ever adds to it. `trips` are calls of the store per request.
"""

import argparse
import asyncio
import cProfile
import gc
import json
import pstats
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any, NamedTuple

import mcp_echo
import uvloop
from mcp_echo import LEGACY, META, MODERN, TEXT

CALLS = 500
TURN = 16
CALL: dict[str, Any] = {"name": "echo", "arguments": {"text": TEXT}}
Once = Callable[[], Awaitable[None]]


class Row(NamedTuple):
    """What is measured: an application, an era, and whether the SDK's dispatch is in it."""

    name: str
    app: str
    era: str
    sdk: bool = False


ROWS = (
    Row("native legacy JSON", "native", "legacy"),
    Row("native legacy SSE", "native-stream", "legacy"),
    Row("native modern JSON", "native", "modern"),
    Row("native modern SSE", "native-stream", "modern"),
    Row("sdk legacy JSON", "sdk-on-holdfast", "legacy", sdk=True),
    Row("sdk legacy SSE", "sdk-on-holdfast-stream", "legacy", sdk=True),
    Row("sdk modern JSON", "sdk-on-holdfast", "modern", sdk=True),
    Row("sdk modern SSE", "sdk-on-holdfast-stream", "modern", sdk=True),
)


class Client:
    """Calls an ASGI application over and over, as an ASGI server does for one connection."""

    def __init__(self, app: Any, body: bytes, headers: dict[str, str]) -> None:
        self._app, self._body = app, body
        self.answer = b""
        self._head: dict[str, Any] = {}
        self._never = asyncio.Event()
        self._read = False
        named = {"host": "127.0.0.1:8000", "content-type": "application/json", **headers}
        named |= {"accept": "application/json, text/event-stream", "content-length": str(len(body))}
        self._headers = [(name.encode(), value.encode()) for name, value in named.items()]

    async def once(self) -> None:
        """Send the request and take its answer."""
        self._read = False
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 50000),
            "scheme": "http",
            "method": "POST",
            "root_path": "",
            "path": "/mcp",
            "raw_path": b"/mcp",
            "query_string": b"",
            "headers": self._headers,
            "state": {},
        }
        await self._app(scope, self._receive, self._send)

    def header(self, name: bytes) -> str:
        """Return a header of the last answer."""
        return str(dict(self._head["headers"])[name].decode())

    async def _receive(self) -> dict[str, Any]:
        if self._read:
            await self._never.wait()
        self._read = True
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._head = message
        else:
            self.answer = message.get("body", b"")


async def caller(app: Any, era: str) -> Once:
    """Return what sends one call; in the legacy era after a handshake."""
    if era == "modern":
        named = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "echo"}
        return await _checked(Client(app, _message({**CALL, "_meta": META}), named))
    info = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    opening = Client(app, _message(info, "initialize"), {})
    await opening.once()
    named = {"mcp-session-id": opening.header(b"mcp-session-id"), "mcp-protocol-version": LEGACY}
    initialized = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
    await Client(app, initialized, named).once()
    return await _checked(Client(app, _message(CALL), named))


async def _checked(client: Client) -> Once:
    await client.once()
    if TEXT.encode() not in client.answer:
        raise RuntimeError(f"not an echo: {client.answer[:500]!r}")
    return client.once


def _message(params: dict[str, Any], method: str = "tools/call") -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode()


class Stopwatch:
    """Adds up the processor time inside the SDK's dispatch of requests that run one at a time."""

    def __init__(self) -> None:
        self.spent_ns = 0

    @contextmanager
    def around_the_dispatch(self) -> Iterator[None]:
        """Measure until the block ends."""
        from holdfast.mcp import sdk

        before = {name: getattr(sdk, name) for name in ("ServerRunner", "aclose_shielded", "Connection")}
        kernel, connection = before["ServerRunner"], before["Connection"]
        served, made = self._timed(kernel._on_request), self._timed_at_once(connection.from_envelope)
        sdk.ServerRunner = type("Kernel", (kernel,), {"_on_request": served})  # type: ignore[misc]
        sdk.Connection = type("Connection", (connection,), {"from_envelope": staticmethod(made)})  # type: ignore[misc]
        sdk.aclose_shielded = self._timed(before["aclose_shielded"])
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(sdk, name, value)

    def _timed(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def timed(*args: Any) -> Any:
            began = time.thread_time_ns()
            try:
                return await function(*args)
            finally:
                self.spent_ns += time.thread_time_ns() - began

        return timed

    def _timed_at_once(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time_ns()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent_ns += time.thread_time_ns() - began

        return timed


async def dispatch_cost(once: Once) -> float:
    """Return the microseconds of processor time inside the SDK's dispatch of one call."""
    watch = Stopwatch()
    with watch.around_the_dispatch():
        await cost(once)
    return watch.spent_ns / 1000 / CALLS


def counted(endpoint: Any) -> dict[str, int]:
    """Count from now on the calls of the store's ports, by their names."""
    store, calls = endpoint._manager.store, dict[str, int]()
    for port in ("sessions", "leases", "events", "channel", "counters"):
        impl = getattr(store, port)
        for name in [name for name in dir(impl) if not name.startswith("_") and callable(getattr(impl, name))]:
            setattr(impl, name, _counting(getattr(impl, name), f"{port}.{name}", calls))
    return calls


def _counting(method: Any, name: str, calls: dict[str, int]) -> Any:
    def counting(*args: Any, **kwargs: Any) -> Any:
        calls[name] = calls.get(name, 0) + 1
        return method(*args, **kwargs)

    return counting


async def cost(once: Once, calls: int = CALLS) -> float:
    """Return the microseconds of processor time of one call."""
    began = time.process_time()
    for number in range(calls):
        await once()
        if number % TURN == 0:
            await asyncio.sleep(0)  # the event loop clears away timers that were cancelled, as between real requests
    return 1e6 * (time.process_time() - began) / calls


async def measure(rows: Sequence[Row], rounds: int) -> None:
    async with AsyncExitStack() as stack:
        apps, callers = {row.app: mcp_echo.APPS[row.app]() for row in rows}, {}
        endpoints = {name: await stack.enter_async_context(app.running()) for name, app in apps.items()}
        for row in rows:
            callers[row.name] = await caller(apps[row.app], row.era)
        gc.collect()
        gc.freeze()
        whole: dict[str, list[float]] = {row.name: [] for row in rows}
        dispatch: dict[str, list[float]] = {row.name: [] for row in rows}
        for _ in range(rounds):
            for row in rows:
                whole[row.name].append(await cost(callers[row.name]))
                dispatch[row.name].append(await dispatch_cost(callers[row.name]) if row.sdk else 0.0)
        for row in rows:
            calls = counted(endpoints[row.app])
            await cost(callers[row.name], 100)
            trips = {name: round(count / 100, 2) for name, count in calls.items()}
            best, theirs = min(whole[row.name]), min(dispatch[row.name])
            figures = {"ours_us": best - theirs, "whole_us": best, "dispatch_us": theirs}
            print(json.dumps({"row": row.name, **{k: round(v, 1) for k, v in figures.items()}, "trips": trips}))


async def profile(row: Row, lines: int) -> None:
    """Print where the time goes, by cProfile."""
    app = mcp_echo.APPS[row.app]()
    async with app.running():
        once = await caller(app, row.era)
        await cost(once)
        profiler = cProfile.Profile()
        profiler.enable()
        await cost(once, 5_000)
        profiler.disable()
    stats = pstats.Stats(profiler, stream=sys.stdout)
    stats.sort_stats("tottime").print_stats(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--rounds", type=int, default=20, help=f"of {CALLS} calls for each row, interleaved")
    parser.add_argument("--profile", type=int, metavar="LINES", help="print a profile of the first row instead")
    given = parser.parse_args()
    rows = [row for row in ROWS if given.only in row.name]
    uvloop.run(profile(rows[0], given.profile) if given.profile else measure(rows, given.rounds))


if __name__ == "__main__":
    main()
