"""What the three programs share: the server as a process of its own, a flow of this folder, messages in parallel."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx2
import msgspec
from server import PASSWORDS

from holdfast.engine import open_engine
from holdfast.errors import HoldfastError
from holdfast.flows import flow_kinds
from holdfast.flows.model import Definition, load_flow
from holdfast.flows.runtime import Credential, Message, deployed

HERE = Path(__file__).parent


@contextmanager
def server() -> Iterator[int]:
    """Run the server; return its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(HERE / "server.py"), str(port)])
    try:
        for _ in range(400):
            try:
                httpx2.get(f"http://127.0.0.1:{port}/counted")
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def flow(name: str, setting: str = "") -> Definition:
    """Return a flow of this folder, with another setting if one is given."""
    found = load_flow(os.path.relpath(HERE / name))
    changed = msgspec.structs.replace(found.flow, http_session_reuse=setting or found.flow.http_session_reuse)
    return msgspec.structs.replace(found, flow=changed)


async def processed(definition: Definition, messages: int) -> list[object]:
    """Return the bodies or errors that messages end with; print what the flow warned of and the server counted."""
    results: list[object] = [None] * messages
    at_a_time = anyio.Semaphore(16)
    with server() as port:
        async with (
            open_engine("memory://", kinds=flow_kinds()) as engine,
            deployed(definition, engine.manager, credentials=lambda name: Credential(name, PASSWORDS[name])) as made,
            anyio.create_task_group() as tasks,
        ):

            async def process(number: int) -> None:
                try:
                    async with at_a_time:
                        message = await made.process(Message(headers={"port": str(port)}))
                    results[number] = message.body if message else None
                except HoldfastError as exc:
                    results[number] = exc

            for number in range(messages):
                tasks.start_soon(process, number)
        for finding in made.deployment.findings:
            print(f"  warning: {finding.text}")
        counted = httpx2.get(f"http://127.0.0.1:{port}/counted").json()
    print("  the server counted " + ", ".join(f"{number} {what}" for what, number in counted.items()))
    return results
