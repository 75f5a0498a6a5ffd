"""Flows that call the SAP system of `sap_system`, which runs as a process of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from e2e.flows_world import Receiver, started
from flows.adapters.wire import flow
from holdfast.flows.runtime import Message

SCRIPT = Path(__file__).with_name("sap_system.py")
REUSES = {
    "none": (6, 6),
    "on_exchange": (3, 3),
    "on_integration_flow": (1, 1),
}  # logons, sessions: 3 messages of 2 calls


class System(Receiver):
    """A running system, and what has arrived there."""

    @property
    def requests(self) -> list[dict[str, Any]]:
        return list(self.tell()["requests"])

    @property
    def idocs(self) -> list[dict[str, Any]]:
        return list(self.tell()["idocs"])

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.tell()["messages"])


@contextmanager
def running_system() -> Iterator[System]:
    with started(sys.executable, SCRIPT) as receiver:
        yield System(receiver.port)


async def sent(receiver: str, message: Message, **more: Any) -> Message:
    """Send one message through a flow and return what comes of it."""
    async with flow(receiver, **more) as running:
        result = await running.process(message)
        assert result is not None
        return result


async def send_three(receiver: str, reuse: str, body: Any) -> None:
    """Let three messages at a time make two calls each."""
    async with (
        flow(receiver, reuse=reuse, steps="- send: erp\n- call: erp") as running,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(3):
            tasks.start_soon(running.process, Message(body=body))
