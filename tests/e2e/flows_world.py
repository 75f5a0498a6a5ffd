"""The receiver as a process, and flows that call it: what the end-to-end tests of flows share."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
from anyio.abc import Process

from e2e.cluster import free_port
from holdfast.engine import open_engine
from holdfast.flows import Channel, Deployment, ReusingTransport, flow_kinds
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import Credential, DeployedFlow, Patience, deployed

TESTS = Path(__file__).parent.parent
VIRTUAL = "http://www1.sales-system.cloud"  # what a flow calls a receiver behind a `Connector`
RECEIVER = Path(__file__).with_name("flows_receiver.py")


class Receiver:
    """A running receiver; `url` and `other_url` are two hosts to a client, and one server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url, self.other_url = f"http://127.0.0.1:{port}", f"http://localhost:{port}"

    def tell(self, what: str = "stats", value: Any = None) -> dict[str, Any]:
        """Ask it what it has seen, or to do something."""
        answer = httpx2.post(f"{self.url}/admin/{what}", json=value, verify=False)  # reads no certificates
        return dict(answer.json())

    @property
    def authentications(self) -> int:
        return int(self.tell()["authentications"])

    @property
    def sessions(self) -> int:
        return int(self.tell()["sessions"])

    @property
    def cookies(self) -> list[str | None]:
        """The Cookie headers of all requests, in order."""
        return [request["cookie"] for request in self.tell()["requests"]]

    @property
    def users(self) -> list[str]:
        """Whose credentials each request carried."""
        return [request["user"] for request in self.tell()["requests"]]

    def idle_out(self) -> None:
        """Let so much time pass that it drops every session."""
        self.tell("advance", 601)


class Connector(httpx2.AsyncBaseTransport):
    """What stands between a virtual host and the receiver, as the Cloud Connector does."""

    def __init__(self, receiver: Receiver) -> None:
        self._port, self._inner = receiver.port, httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        there = httpx2.Request(
            request.method, url, headers=request.headers.raw, stream=request.stream, extensions=request.extensions
        )
        return await self._inner.handle_async_request(there)

    async def aclose(self) -> None:
        await self._inner.aclose()


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    receiver = Receiver(free_port())
    process = subprocess.Popen([sys.executable, str(RECEIVER), str(receiver.port)])
    try:
        until = time.monotonic() + 20
        while True:
            try:
                receiver.tell()
                break
            except httpx2.TransportError:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
        yield receiver
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def started(*command: str | Path) -> Iterator[Receiver]:
    """Run a receiver that we did not write: a process that prints its port once it listens."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Receiver(int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate(timeout=10)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something has come about: a lease of a worker that has gone, and some seconds more, at most."""
    with anyio.fail_after(40):
        while not holds():
            await anyio.sleep(0.05)


@asynccontextmanager
async def module_process(module: str, *arguments: str) -> AsyncIterator[Process]:
    """Run a module of the tests as a process of its own; it is killed at the end of the block."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    process = await anyio.open_process([sys.executable, "-m", module, *arguments], stderr=None, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True), anyio.fail_after(10):
            await process.aclose()


async def first_line(process: Process) -> bytes:
    """Return the next line that a process prints; what came behind it already is passed over."""
    assert process.stdout is not None
    text = b""
    with anyio.fail_after(40):
        while b"\n" not in text:
            text += await process.stdout.receive()
    return text.partition(b"\n")[0]


class Flow:
    """A deployed flow and clients for its channels."""

    def __init__(self, deployment: Deployment, url: str) -> None:
        self.deployment, self.url = deployment, url
        self.exchange, self.split = deployment.exchange, deployment.split
        self._clients: dict[tuple[str, str], httpx2.AsyncClient] = {}

    def client(self, name: str = "erp", user: str = "anna", url: str = "", inner: Any = None, **channel: Any) -> Any:
        """Return the client of a channel."""
        key = name, user
        if key not in self._clients:
            transport = ReusingTransport(self.deployment, Channel(name=name, **channel), inner)
            auth = (user, "secret") if user else None
            self._clients[key] = httpx2.AsyncClient(transport=transport, auth=auth, base_url=url or self.url)
        return self._clients[key]

    async def get(self, path: str, **client: Any) -> Any:
        """Call a channel's receiver and return what it answered; any status but 200 is an error."""
        answer = await self.client(**client).get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @property
    def told(self) -> list[str]:
        """The codes of what was reported."""
        return [finding.code for finding in self.deployment.findings]

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()


@asynccontextmanager
async def flow(
    reuse: str | None,
    url: str,
    store: Any = "memory://",
    *,
    keys: str | None = None,
    clock: Callable[[], float] = time.time,
    **more: Any,
) -> AsyncIterator[Flow]:
    """Run a flow on an engine of its own."""
    async with open_engine(store, kinds=flow_kinds(), keys=keys, clock=clock) as engine:
        made = Flow(Deployment(engine.manager, "orders", reuse, **more), url)
        try:
            yield made
        finally:
            await made.close()


# -- flows of files


async def no_sleep(seconds: float) -> None:
    """Wait for nothing."""


def known(name: str) -> Credential:
    """Know every user, but eve's password is wrong."""
    return Credential(name, "wrong" if name == "eve" else "secret")


@asynccontextmanager
async def running_flow(text: str, file: str = "orders.yaml", **more: Any) -> AsyncIterator[DeployedFlow]:
    """Run the flow that a text says, which waits for nothing before it repeats a call; for a minute at most."""
    given = {"credentials": known, "patience": Patience(no_sleep, lambda: 1.0), **more}
    with anyio.fail_after(60):
        async with (
            open_engine("memory://", kinds=flow_kinds()) as engine,
            deployed(read_flow(text, file), engine.manager, **given) as running,
        ):
            yield running
