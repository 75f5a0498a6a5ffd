"""SOAP services which we did not write, as processes of their own, and flows that call them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from e2e.flows_world import Receiver, started
from e2e.mcp_drivers import NODE
from flows.adapters import wire

HERE = Path(__file__).parent
COUNT = "<Count xmlns='urn:shop:orders'/>"
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
