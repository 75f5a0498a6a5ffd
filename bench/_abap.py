"""What the ABAP measurements share: the processes, the agent's workflow over MCP, and the same requests sent straight.

Two clients have the same method, `step(verb, name, ...)`: `Agent` calls the tool of that verb at Holdfast, `Direct`
sends the ADT request that the tool stands for to the system itself. `edit` runs the workflow with either.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx2
import msgspec
from mcp_echo import LEGACY, META, MODERN, Connection, cpu_seconds, header_of, post

from holdfast.adt import calls
from holdfast.adt.door import close_call, logon_calls
from holdfast.adt.types import TYPES
from holdfast.backend.wire import Call
from holdfast.simulator import ADMIN_PATH, DEMO_USERS

CLASS = TYPES["CLAS/OC"]
USER, PASSWORD = next(iter(DEMO_USERS.items()))
SOURCE = """\
CLASS {name} DEFINITION PUBLIC FINAL CREATE PUBLIC.
  PUBLIC SECTION.
    METHODS greet RETURNING VALUE(text) TYPE string.
ENDCLASS.

CLASS {name} IMPLEMENTATION.
  METHOD greet.
    text = `Hello {number}`.
  ENDMETHOD.
ENDCLASS.
"""


# -- the processes


class Server(NamedTuple):
    """A process that serves: the URL it says it listens on, and its id."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Return the processor time it has used so far, in seconds."""
        return cpu_seconds(self.pid)


@contextmanager
def running(*command: str, core: int | None = None, **environment: str) -> Iterator[Server]:
    """Run a Python program of ours until the block ends, on one core if one is named."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    with tempfile.TemporaryDirectory() as folder:
        own = {"XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder, **environment}
        pinned = [] if core is None else ["taskset", "-c", str(core)]
        process = subprocess.Popen(
            [*pinned, sys.executable, *command], env=inherited | own, cwd=folder, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            url = next(word for line in process.stdout for word in line.split() if word.startswith("http://"))
            yield Server(url, process.pid)
        finally:
            process.send_signal(signal.SIGINT if "cProfile" in command else signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def simulator(delay_ms: float = 0, core: int | None = None, profile: Path | None = None) -> Any:
    """Run the ABAP system as a process of its own, its objects in memory."""
    options = ("--port", "0", "--delay-ms", str(delay_ms))
    return running(*_profiled(profile), "-m", "holdfast.simulator", *options, core=core)


def holdfast(system: str, store: str, core: int | None = None, profile: Path | None = None) -> Any:
    """Run `holdfast serve` as a process of its own."""
    environment = {f"HOLDFAST_SAP_{name}": value for name, value in connection(system).items()}
    command = (*_profiled(profile), "-m", "holdfast", "serve", "--port", "0")
    environment["HOLDFAST_RATE_LIMIT_PER_SESSION"] = "0"
    return running(*command, core=core, HOLDFAST_STORE=store, **environment)


def _profiled(path: Path | None) -> tuple[str, ...]:
    """Return what runs a module under cProfile, which makes it slower and writes this file when it ends."""
    return ("-m", "cProfile", "-o", str(path)) if path else ()


def connection(system: str) -> dict[str, str]:
    """Return how one logs on to the simulator."""
    return {"URL": system, "CLIENT": "001", "USER": USER, "PASSWORD": PASSWORD}


# -- the workflow


class Client(Protocol):
    """Who edits a class: an agent through Holdfast, or one that talks to the system itself."""

    async def step(self, verb: str, name: str, **given: str) -> Mapping[str, Any]:
        """Carry out one step; raise if it does not succeed."""


async def make(client: Client, name: str) -> dict[str, float]:
    """Validate and create a class; return what each step took, in milliseconds."""
    spans: dict[str, float] = {}
    await _timed(spans, client, "Validate", name)
    await _timed(spans, client, "Create", name)
    return spans


async def edit(client: Client, name: str, number: int) -> dict[str, float]:
    """Lock a class, write a new source, unlock, activate; return what each step took, in milliseconds."""
    spans: dict[str, float] = {}
    handle = (await _timed(spans, client, "Lock", name))["lock_handle"]
    source = SOURCE.format(name=name.lower(), number=number)
    await _timed(spans, client, "Update", name, lock_handle=handle, source_code=source)
    await _timed(spans, client, "Unlock", name, lock_handle=handle)
    await _timed(spans, client, "Activate", name)
    return spans


async def _timed(spans: dict[str, float], client: Client, verb: str, name: str, **given: str) -> Mapping[str, Any]:
    began = time.perf_counter()
    answer = await client.step(verb, name, **given)
    spans[verb] = (time.perf_counter() - began) * 1000
    return answer


# -- over MCP

Post = Callable[[dict[str, Any], dict[str, str]], Awaitable[tuple[bytes, str | None]]]


def by_httpx2(client: httpx2.AsyncClient, url: str) -> Post:
    """Return a way to post a JSON-RPC message with an httpx2 client."""

    async def send(body: dict[str, Any], headers: dict[str, str]) -> tuple[bytes, str | None]:
        accept = {"accept": "application/json, text/event-stream"}
        response = await client.post(url, json=body, headers=accept | headers)
        response.raise_for_status()
        return response.content, response.headers.get("mcp-session-id")

    return send


def by_socket(connection: Connection, port: int) -> Post:
    """Return a way to post a JSON-RPC message that costs the sender next to nothing."""

    async def send(body: dict[str, Any], headers: dict[str, str]) -> tuple[bytes, str | None]:
        answer = await connection.once(post(body, port, **headers))
        if answer[9:10] != b"2":
            raise RuntimeError(f"refused: {answer[:500]!r}")
        return answer.partition(b"\r\n\r\n")[2], header_of(answer, "mcp-session-id")

    return send


class Agent:
    """An MCP client with one Holdfast session, in either era; answers are JSON."""

    def __init__(self, send: Post, era: str) -> None:
        self._send, self._era, self._session, self._protocol_session = send, era, "", ""

    async def open(self) -> None:
        """Shake hands where the era wants it, and get a session at the ABAP system."""
        if self._era == "legacy":
            client = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
            _, self._protocol_session = await self._send(_rpc("initialize", client, id=1), {})
            await self._send(_rpc("notifications/initialized", {}), self._headers("", ""))
        self._session = (await self.call("GetSession", {}))["session_id"]

    async def step(self, verb: str, name: str, **given: str) -> Mapping[str, Any]:
        return await self.call(f"{verb}Class", {"class_name": name, "session_id": self._session, **given})

    async def close(self) -> None:
        """End the session at the ABAP system."""
        await self.call("CloseSession", {"session_id": self._session})

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool and return its structured answer."""
        meta = {"_meta": META} if self._era == "modern" else {}
        body = _rpc("tools/call", {"name": tool, "arguments": arguments, **meta}, id=2)
        answer = msgspec.json.decode((await self._send(body, self._headers("tools/call", tool)))[0])
        content: dict[str, Any] = answer["result"].get("structuredContent", {})
        if not content.get("success"):
            raise RuntimeError(f"{tool} failed: {answer}")
        return content

    def _headers(self, method: str, name: str) -> dict[str, str]:
        if self._era == "modern":
            return {"Mcp-Protocol-Version": MODERN, "Mcp-Method": method, "Mcp-Name": name}
        return {"Mcp-Protocol-Version": LEGACY, "Mcp-Session-Id": self._protocol_session}


def _rpc(method: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params, **more}


# -- straight to the system


class Logon:
    """Cookies and token of one logon, kept by hand so that two logons can share one httpx2 client."""

    def __init__(self, client: httpx2.AsyncClient, system: str) -> None:
        self._client, self._system = client, system
        self._cookies: dict[str, str] = {}
        self._token = ""

    async def open(self) -> None:
        """Log on, as Holdfast does."""
        call = logon_calls()[0]
        await self.send(call, {"x-csrf-token": "Fetch"}, auth=(USER, PASSWORD))

    async def send(self, call: Call, headers: Mapping[str, str] | None = None, **more: Any) -> httpx2.Response:
        """Send a request with what belongs to this logon, and keep what the answer brings."""
        own = {"cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        own |= {"x-csrf-token": self._token} if call.changes else {}
        own |= {"sap-contextid": self._cookies["sap-contextid"]} if "sap-contextid" in self._cookies else {}
        response = await self._client.request(
            call.method,
            self._system + call.target,
            headers={**call.headers, **own, **(headers or {})},
            content=call.body if call.changes else None,
            **more,
        )
        response.raise_for_status()
        for line in response.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies.pop(name, None)
            if value and "expires" not in line:
                self._cookies[name] = value
        self._token = response.headers.get("x-csrf-token", self._token)
        return response


class Direct:
    """Sends what Holdfast sends: locks in a logon of their own, everything else stateless in another."""

    def __init__(self, client: httpx2.AsyncClient, system: str) -> None:
        self._reading, self._editing = Logon(client, system), Logon(client, system)

    async def open(self) -> None:
        await self._reading.open()
        await self._editing.open()

    async def step(self, verb: str, name: str, *, lock_handle: str = "", source_code: str = "") -> Mapping[str, Any]:
        match verb:
            case "Validate":
                await self._reading.send(calls.validate(CLASS, name, description=name, package="$TMP"))
            case "Create":
                given = {"description": name, "package": "$TMP", "language": "EN", "transport": ""}
                await self._reading.send(calls.create(CLASS, name, responsible=USER, **given))
            case "Lock":
                answer = await self._editing.send(calls.lock(CLASS, name))
                found = re.search("<LOCK_HANDLE>(.*?)</LOCK_HANDLE>", answer.text)
                return {"lock_handle": found.group(1) if found else ""}
            case "Update":
                written = {"part": "main", "source": source_code.encode(), "handle": lock_handle, "transport": ""}
                await self._editing.send(calls.write_source(CLASS, name, **written))
            case "Unlock":
                await self._editing.send(calls.unlock(CLASS, name, lock_handle))
            case "Activate":
                answer = await self._reading.send(calls.activate(CLASS, name))
                if b'activationExecuted="true"' not in answer.content:
                    raise RuntimeError(f"not activated: {answer.text}")
        return {}

    async def end_context(self) -> None:
        """End the application context of the lock; Holdfast sends this when it has answered the Unlock."""
        await self._editing.send(close_call(0))


def one_client() -> httpx2.AsyncClient:
    """Return an httpx2 client that keeps no cookies of its own."""
    return httpx2.AsyncClient(cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])), timeout=30)


async def left_behind(client: httpx2.AsyncClient, system: str) -> int:
    """Return how many locks and contexts there are in the system."""
    rows = [(await client.get(f"{system}{ADMIN_PATH}/{view}")).json() for view in ("sm04", "sm12")]
    return sum(len(row) for row in rows)


async def count(client: httpx2.AsyncClient, system: str) -> dict[str, Any]:
    """Return how many requests of each kind the system has seen."""
    counters: dict[str, Any] = (await client.get(f"{system}{ADMIN_PATH}/counters")).json()
    return counters
