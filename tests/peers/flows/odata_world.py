"""Flows that call the OData V2 service of `odata_v2_service`, which runs as a process of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from e2e.flows_world import Receiver, started

SERVICE = Path(__file__).with_name("odata_v2_service.py")
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

    def receiver(self, more: str = "", adapter: str = "odata_v2") -> str:
        """Return the settings of a receiver."""
        return f"adapter: {adapter}, url: '{self.url}{GATEWAY}', query: {{sap-client: '100'}}, {more}"


@contextmanager
def running_shop() -> Iterator[Shop]:
    with started(sys.executable, SERVICE) as receiver:
        yield Shop(receiver.port)
