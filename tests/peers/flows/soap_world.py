"""Flows that call SOAP services which we did not write: what their tests share."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio

from e2e.flows_world import Receiver, started
from e2e.mcp_drivers import NODE
from holdfast.engine import open_engine
from holdfast.flows import flow_kinds
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import Credential, DeployedFlow, Message, Patience, deployed

HERE = Path(__file__).parent
PATIENT_S = 60.0
PLACE = "<Place xmlns='urn:shop:orders'><id>7</id></Place>"
COUNT = "<Count xmlns='urn:shop:orders'/>"


async def no_sleep(seconds: float) -> None:
    """Wait for nothing."""


def known(name: str) -> Credential:
    return Credential(name, "wrong" if name == "eve" else "secret")


@contextmanager
def spyne() -> Iterator[Receiver]:
    with started(sys.executable, "-W", "ignore", HERE / "soap_spyne.py") as receiver:
        yield receiver


@contextmanager
def node() -> Iterator[Receiver]:
    with started(NODE, HERE / "soap_node.mjs") as receiver:
        yield receiver


@asynccontextmanager
async def flow(
    receiver: str, *, steps: str = "- call: erp", reuse: str = "none", **more: Any
) -> AsyncIterator[DeployedFlow]:
    """Run a flow beside the WSDL: its receiver stands in line 4, its steps begin in line 6."""
    text = f"flow: orders\nhttp_session_reuse: {reuse}\nreceivers:\n  erp: {{{receiver}}}\nsteps:\n{steps}\n"
    definition = read_flow(text, str(HERE / "orders.yaml"))
    patience = Patience(no_sleep, lambda: 1.0)
    with anyio.fail_after(PATIENT_S):
        async with (
            open_engine("memory://", kinds=flow_kinds()) as engine,
            deployed(definition, engine.manager, credentials=known, patience=patience, **more) as running,
        ):
            yield running


async def called(receiver: str, body: Any, **more: Any) -> Message:
    """Return what one message becomes."""
    async with flow(receiver, **more) as running:
        answer = await running.process(Message(body=body))
    assert answer is not None
    return answer
