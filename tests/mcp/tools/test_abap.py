"""Who an ABAP tool is called by."""

from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.core.events import ADDRESS
from holdfast.mcp.protocol import Era
from holdfast.mcp.tools.abap import caller_of


@pytest.mark.parametrize(("principal", "client"), [("ann", "ann"), ("", "198.51.100.1")])
def test_a_client_without_a_name_is_the_address_behind_the_trusted_proxy(principal: str, client: str) -> None:  # E11
    context: Any = SimpleNamespace(principal=principal, scope={"client": ("10.0.0.7", 1)}, era=Era.MODERN, session=None)
    token = ADDRESS.set("198.51.100.1")  # the endpoint has found it out
    try:
        assert caller_of(context).client == client
    finally:
        ADDRESS.reset(token)
