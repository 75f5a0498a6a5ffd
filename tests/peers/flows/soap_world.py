"""SOAP services which we did not write, as processes of their own, and flows that call them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from e2e.flows_world import Receiver, started
from e2e.mcp_drivers import NODE
from flows.adapters import wire
from holdfast.errors import HoldfastError
from holdfast.flows.runtime import StepFailed

HERE = Path(__file__).parent
COUNT = "<Count xmlns='urn:shop:orders'/>"
THREE_CALLS = "- split: {over: '[1, 2, 3]', do: [{modify: {body: %s}}, {call: erp}]}"
REUSES = {  # what the service counts in its sessions then, and how many there are
    "none": ([1, 1, 1], 3),
    "on_exchange": ([1, 2, 3], 1),
    "on_integration_flow": ([1, 2, 3], 1),
}
flow = partial(wire.flow, file=str(HERE / "orders.yaml"))  # beside the WSDL
called = partial(wire.called, file=str(HERE / "orders.yaml"))


@contextmanager
def spyne() -> Iterator[Receiver]:
    with started(sys.executable, "-W", "ignore", HERE / "soap_spyne.py") as receiver:
        yield receiver


@contextmanager
def node() -> Iterator[Receiver]:
    with started(NODE, HERE / "soap_node.mjs") as receiver:
        yield receiver


async def failed(receiver: str, body: Any, error: type[HoldfastError], text: str) -> HoldfastError:
    """Return why a call failed; the flow's file and line are told with it."""
    with pytest.raises(StepFailed, match=rf"orders\.yaml:5: call: .*{text}") as caught:
        await called(receiver, body)
    assert isinstance(caught.value.cause, error)
    return caught.value.cause
