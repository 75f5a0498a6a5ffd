"""Flows that call the OData V2 service of `odata_v2_service`, which runs as a process of its own."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2

from e2e.flows_world import Receiver, started
from holdfast.engine import open_engine
from holdfast.flows import flow_kinds
from holdfast.flows.message import Message
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import Credential, DeployedFlow, Patience, deployed

SERVICE = Path(__file__).with_name("odata_v2_service.py")
PATIENCE_S = 40.0
GATEWAY = "/sap/opu/odata/sap/SHOP;v=2"


class Shop(Receiver):
    """The running service."""

    @property
    def orders(self) -> dict[str, dict[str, Any]]:
        """Its orders by their key, in the JSON of V2."""
        return {row["ID"]: row for row in self.tell()["rows"]["Orders"]}

    @property
    def methods(self) -> list[str]:
        """The methods of all requests, in order."""
        return [request["method"] for request in self.tell()["requests"]]

    @property
    def last(self) -> dict[str, Any]:
        """What was noted of the last request."""
        return dict(self.tell()["requests"][-1])

    def receiver(self, more: str = "", mode: str = "") -> str:
        """Return the settings of a receiver; `mode` is how the service misbehaves."""
        query = f"{{sap-client: '100'{f', sap-mode: {mode}' if mode else ''}}}"
        return f"adapter: odata_v2, url: '{self.url}{GATEWAY}', query: {query}, {more}".rstrip(", ")


@contextmanager
def running_shop() -> Iterator[Shop]:
    with started(sys.executable, SERVICE) as receiver:
        yield Shop(receiver.port)


async def no_sleep(seconds: float) -> None:
    """Wait for nothing."""


@asynccontextmanager
async def flow(
    receiver: str, reuse: str = "none", steps: str = "- call: erp", *, auth: str = "basic: anna", secret: str = "secret"
) -> AsyncIterator[DeployedFlow]:
    """Deploy a flow whose only receiver has these settings; its steps begin in line 5."""
    text = f"flow: orders\nhttp_session_reuse: {reuse}\nreceivers: {{erp: {{{receiver}, auth: {{{auth}}}}}}}\nsteps:\n"
    known = partial(Credential, secret=secret)
    patience = Patience(no_sleep, lambda: 1.0)
    with anyio.fail_after(PATIENCE_S):
        async with (
            open_engine("memory://", kinds=flow_kinds()) as engine,
            httpx2.AsyncHTTPTransport(verify=False) as network,  # reads no certificates
            deployed(
                read_flow(text + steps, "orders.yaml"),
                engine.manager,
                credentials=known,
                transport=network,
                patience=patience,
            ) as running,
        ):
            yield running


async def sent(receiver: str, message: Message, **more: Any) -> Message:
    """Send one message through a flow and return what comes of it."""
    async with flow(receiver, **more) as running:
        result = await running.process(message)
        assert result is not None
        return result
