"""Holdfast as it is run in earnest: a simulated ABAP system and two servers on one SQLite file, each a process.

async with abap_world(folder) as world:
    async with world.agent("legacy") as agent:      # the official SDK's client, through the random proxy
        session = await agent("GetSession")
    await world.nothing_left()                       # SM12, SM04 and SM05 are empty

`world.sap` looks into the system and makes it misbehave; `world.wire()` speaks JSON-RPC byte by byte.
"""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx2
from anyio.abc import ByteStream

from e2e.cluster import Cluster, cluster
from e2e.mcp_world import META, MODERN
from mcp import Client

MODES = ("legacy", MODERN, "auto")
USER, PASSWORD = "DEVELOPER", "Holdfast1"
PATIENCE_S = 20.0
START_S = 90.0
CALM_S = 5.0  # A30


class Kind(NamedTuple):
    """An object type as the tools name it, and a source of it that has no errors."""

    word: str
    prefix: str
    other: str
    lines: Sequence[str]

    @property
    def Word(self) -> str:
        return self.word.capitalize()

    def name(self, rest: str) -> str:
        return f"{self.prefix}{rest}"

    def source(self, name: str, nonce: str = "none") -> str:
        return "\n".join(self.lines).format(name=name.lower(), nonce=nonce)


CLASS = Kind(
    "class",
    "ZCL_",
    "ZCL_HF_GREETER",
    (
        "CLASS {name} DEFINITION PUBLIC FINAL CREATE PUBLIC.",
        "  PUBLIC SECTION.",
        "    METHODS greet RETURNING VALUE(text) TYPE string.",
        "ENDCLASS.",
        "",
        "CLASS {name} IMPLEMENTATION.",
        "  METHOD greet.",
        '    text = |Grüße|. " nonce {nonce}',
        "  ENDMETHOD.",
        "ENDCLASS.",
    ),
)
INTERFACE = Kind(
    "interface",
    "ZIF_",
    "ZIF_HF_CLOCK",
    ('INTERFACE {name} PUBLIC. " nonce {nonce}', "  METHODS greet RETURNING VALUE(text) TYPE string.", "ENDINTERFACE."),
)
PROGRAM = Kind(
    "program", "Z_", "Z_HF_HELLO", ('REPORT {name}. " nonce {nonce}', "", "START-OF-SELECTION.", "  WRITE / `ok`.")
)


class Refused(NamedTuple):
    """An error as a client gets it: a stable code, what happened, and what to do next."""

    code: str
    message: str
    hint: str


class Agent:
    """A client of the official SDK; a call answers what the tool answered, and fails if that is an error."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        assert isinstance(result.structured_content, dict)
        return result.structured_content

    async def done(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and expect success."""
        answer = await self(tool, **arguments)
        assert answer["success"] is True, answer
        return answer

    async def refused(self, tool: str, **arguments: Any) -> Refused:
        """Call a tool and expect an error."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, result.structured_content
        assert isinstance(result.structured_content, dict)
        return Refused(**result.structured_content["error"])

    async def session(self, **arguments: Any) -> str:
        """Open a session and return its id."""
        return str((await self.done("GetSession", **arguments))["session_id"])

    async def locked(self, name: str, kind: Kind = CLASS) -> dict[str, str]:
        """Create an object and lock it in a session of its own; return the arguments that name both."""
        named = {f"{kind.word}_name": name, "session_id": await self.session()}
        await self.done(f"Create{kind.Word}", **named)
        return {**named, "lock_handle": (await self.done(f"Lock{kind.Word}", **named))["lock_handle"]}

    async def source(self, named: Mapping[str, str], version: str = "inactive") -> str:
        """Read a class."""
        given = {name: value for name, value in named.items() if name != "lock_handle"}
        return str((await self("ReadClass", **given, version=version))["source_code"])


class Wire:
    """A client that sends exactly what it is told, in the modern era; `heard` collects all it was answered."""

    def __init__(self, http: httpx2.AsyncClient, url: str, token: str, heard: list[bytes]) -> None:
        self._http, self._url, self._heard = http, url, heard
        self._standing = {"authorization": f"Bearer {token}"} if token else {}

    async def post(self, body: bytes, **headers: str) -> httpx2.Response:
        """Send a body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        plain = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        answer = await self._http.post(self._url, content=body, headers={**plain, **self._standing, **named})
        self._heard += [repr(answer.headers.raw).encode(), answer.content]
        return answer

    async def body(self, body: bytes, tool: str) -> httpx2.Response:
        """Send a body with the headers of a call of this tool."""
        return await self.post(body, mcp_protocol_version=MODERN, mcp_method="tools/call", mcp_name=tool)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its result, an error or not."""
        answer = await self.body(call_of(tool, **arguments), tool)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["result"])

    async def done(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and expect success."""
        answer = (await self.call(tool, **arguments))["structuredContent"]
        assert answer.get("success") is True, answer
        return dict(answer)

    async def refused(self, tool: str, **arguments: Any) -> Refused:
        """Call a tool and expect an error."""
        result = await self.call(tool, **arguments)
        assert result.get("isError") is True, result
        return Refused(**result["structuredContent"]["error"])


def call_of(tool: str, **arguments: Any) -> bytes:
    """Return the body of a modern request that calls a tool."""
    params = {"name": tool, "arguments": arguments, "_meta": META}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


class Sap:
    """The administrator's view of the simulated system."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self.url, self._http = url, http

    async def rows(self, view: str) -> list[dict[str, Any]]:
        """Return the rows of sm04, sm05 or sm12."""
        return list((await self._http.get(f"{self.url}/_sim/{view}")).json())

    async def locked(self) -> list[str]:
        """Return the names of the locked objects (SM12)."""
        return sorted(row["object"] for row in await self.rows("sm12"))

    async def fault(self, effect: str, **rule: Any) -> None:
        """Let the next request that matches meet a fault."""
        answer = await self._http.post(f"{self.url}/_sim/faults", json={"effect": effect, **rule})
        assert answer.status_code == 200, answer.text

    async def faults_left(self) -> int:
        return len((await self._http.get(f"{self.url}/_sim/faults")).json())

    async def clear_faults(self) -> None:
        await self._http.delete(f"{self.url}/_sim/faults")

    async def switch(self, **changes: Any) -> None:
        """Change how the system behaves."""
        answer = await self._http.put(f"{self.url}/_sim/switches", json=changes)
        assert answer.status_code == 200, answer.text

    async def advance(self, seconds: float) -> None:
        """Let time pass for the system."""
        await self._http.post(f"{self.url}/_sim/clock/advance", json={"seconds": seconds})

    async def written(self, nonce: str) -> int:
        """Return how often a source with this mark was stored."""
        return int((await self._counters())["puts_by_nonce"].get(nonce, 0))

    async def sent(self) -> int:
        """Return how many requests have reached the system."""
        return int((await self._counters())["requests"])

    async def _counters(self) -> dict[str, Any]:
        return dict((await self._http.get(f"{self.url}/_sim/counters")).json())

    async def requests(self) -> list[dict[str, Any]]:
        return list((await self._http.get(f"{self.url}/_sim/requests")).json())

    async def running(self) -> bool:
        """Say whether a request runs in a context that lasts."""
        return any(row["running"] for row in await self.rows("sm04"))

    async def free(self, name: str, within: float = CALM_S) -> None:
        """Wait until an object is locked no more."""
        with anyio.fail_after(within):
            while name in await self.locked():
                await anyio.sleep(0.05)


class AbapWorld:
    """The processes. `log` is what the servers have said, `store` their file."""

    def __init__(
        self, folder: Path, sap: Sap, workers: Cluster, env: Mapping[str, str], http: httpx2.AsyncClient
    ) -> None:
        self.folder, self.sap, self.workers, self.env, self.http = folder, sap, workers, env, http
        self.heard: list[bytes] = []

    @property
    def url(self) -> str:
        return f"{self.workers.url}/mcp"

    @property
    def store(self) -> str:
        return self.env["HOLDFAST_STORE"]

    def log(self) -> str:
        """Return all that the servers have written to stdout and stderr."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    @asynccontextmanager
    async def agent(self, mode: str = MODERN) -> AsyncIterator[Agent]:
        """Connect a client of the official SDK."""
        async with Client(self.url, mode=mode) as client:
            yield Agent(client)

    def wire(self, url: str = "", token: str | None = None) -> Wire:
        """Return a client that speaks JSON-RPC; all that any of them is answered is in `heard`."""
        known = self.env.get("HOLDFAST_TOKEN", "")
        return Wire(self.http, url or self.url, known if token is None else token, self.heard)

    @asynccontextmanager
    async def server(self, **settings: str) -> AsyncIterator[str]:
        """Run one more server, configured differently, and yield its URL."""
        env = {**self.env, **environment(settings)}
        async with cluster(lambda port: serving(self.folder, port), count=1, env=env) as workers:
            yield f"{workers.url}/mcp"

    async def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command of `holdfast` with the servers' configuration."""
        with anyio.fail_after(START_S):
            command = [sys.executable, "-m", "holdfast", *arguments]
            return await anyio.run_process(command, env={**self.env, **environment(settings)}, check=False)

    async def nothing_left(self, within: float = CALM_S) -> None:
        """Wait until the system shows neither lock nor context nor logon of ours (A30)."""
        left: list[Any] = []
        with anyio.move_on_after(within):
            while True:
                left = [row for view in ("sm12", "sm04", "sm05") for row in await self.sap.rows(view)]
                if not left:
                    return
                await anyio.sleep(0.05)
        await self.http.post(f"{self.sap.url}/_sim/reset")  # so that the tests after this one do not fail as well
        raise AssertionError(f"left behind in the ABAP system: {left}")


@asynccontextmanager
async def abap_world(
    folder: Path, *, count: int = 2, tap: "Tap | None" = None, **settings: str
) -> AsyncIterator[AbapWorld]:
    """Run a simulated system and `count` servers until the block ends; `settings` are `HOLDFAST_…` in lower case.

    With `tap`, everything between the servers and the system passes through it.
    """
    async with simulator() as url, httpx2.AsyncClient(timeout=PATIENCE_S) as http, _through(tap, url) as seen:
        sap = {"sap_url": seen, "sap_client": "001", "sap_user": USER, "sap_password": PASSWORD}
        places = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
        outside = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        store = {"store": f"sqlite:///{folder / 'holdfast.db'}"}
        env = {**outside, **places, **environment({**sap, **store, **settings})}
        async with cluster(lambda port: serving(folder, port), count=count, env=env) as workers:
            yield AbapWorld(folder, Sap(url, http), workers, env, http)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings as environment variables."""
    return {f"HOLDFAST_{name.upper()}": value for name, value in settings.items()}


def serving(folder: Path, port: int) -> list[str]:
    """Return the command of a server that says everything it does into a file."""
    into_log = 'log="$1"; shift; exec "$@" >>"$log" 2>&1'
    server = [sys.executable, "-m", "holdfast", "--verbose", "serve", "--port", str(port)]
    return ["/bin/sh", "-c", into_log, "sh", str(folder / f"{port}.log"), *server]


@asynccontextmanager
async def simulator(*options: str) -> AsyncIterator[str]:
    """Run the simulator as a process of its own, in memory, and yield its URL."""
    command = [sys.executable, "-m", "holdfast.simulator", "--port", "0", *options]
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None) as process:
        try:
            assert process.stdout is not None
            line = b""
            with anyio.fail_after(START_S):
                while not line.endswith(b"\n"):
                    line += await process.stdout.receive()
            yield next(word for word in line.decode().split() if word.startswith("http://"))
        finally:
            with anyio.CancelScope(shield=True):
                process.terminate()
                await process.wait()


class Tap:
    """Listens in on everything between servers and system: the secrets that must be seen nowhere else."""

    def __init__(self) -> None:
        self.heard = b""

    async def relay(self, client: ByteStream, port: int) -> None:
        """Pass bytes both ways until one side closes."""
        async with client, await anyio.connect_tcp("127.0.0.1", port) as system, anyio.create_task_group() as tasks:

            async def copy(source: ByteStream, target: ByteStream) -> None:
                try:
                    async for data in source:
                        self.heard += data
                        await target.send(data)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(copy, client, system)
            tasks.start_soon(copy, system, client)


@asynccontextmanager
async def _through(tap: Tap | None, url: str) -> AsyncIterator[str]:
    if tap is None:
        yield url
        return
    port = int(url.rpartition(":")[2])
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, lambda client: tap.relay(client, port))
        try:
            yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        finally:
            tasks.cancel_scope.cancel()
