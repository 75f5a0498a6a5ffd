"""Flows that call the SAP system of `sap_system`, which runs as a process of its own."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2

from holdfast.engine import open_engine
from holdfast.flows import flow_kinds
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import Credential, DeployedFlow, Message, Patience, deployed

SCRIPT = Path(__file__).with_name("sap_system.py")
PATIENCE_S = 30.0
REUSES = {
    "none": (6, 6),
    "on_exchange": (3, 3),
    "on_integration_flow": (1, 1),
}  # logons, sessions: 3 messages of 2 calls


class System:
    """A running system."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def tell(self, what: str = "stats") -> dict[str, Any]:
        """Ask it what has arrived, or to do something."""
        return dict(httpx2.post(f"{self.url}/admin/{what}").json())

    def __getattr__(self, name: str) -> Any:
        return self.tell()[name]


@contextmanager
def running_system() -> Iterator[System]:
    with subprocess.Popen([sys.executable, str(SCRIPT)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield System(int(process.stdout.readline()))
        finally:
            process.kill()


async def no_sleep(seconds: float) -> None:
    """Wait for nothing."""


@asynccontextmanager
async def flow(
    receiver: str, reuse: str = "none", steps: str = "- call: erp", password: str = "secret"
) -> AsyncIterator[DeployedFlow]:
    """Deploy a flow whose only receiver has these settings; its steps begin in line 5."""
    text = f"""\
flow: orders
http_session_reuse: {reuse}
receivers: {{erp: {{{receiver}, auth: {{basic: anna}}}}}}
steps:
"""
    known = partial(Credential, secret=password)
    patience = Patience(no_sleep, lambda: 1.0)
    definition = read_flow(text + steps, "orders.yaml")
    with anyio.fail_after(PATIENCE_S):
        async with (
            open_engine("memory://", kinds=flow_kinds()) as engine,
            deployed(definition, engine.manager, credentials=known, patience=patience) as running,
        ):
            yield running


async def sent(receiver: str, message: Message, **more: Any) -> Message:
    """Send one message through a flow and return what comes of it."""
    async with flow(receiver, **more) as running:
        result = await running.process(message)
        assert result is not None
        return result


async def send_three(receiver: str, reuse: str, body: Any) -> None:
    """Let three messages at a time make two calls each."""
    async with flow(receiver, reuse, "- send: erp\n- call: erp") as running, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(running.process, Message(body=body))
