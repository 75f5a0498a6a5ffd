"""The adapter `odata_v4`: entities, functions and actions of an OData V4 service, in JSON.

Operations: query, read (one entity by its key), create, update (PUT), patch, delete, function, action. Numbers are
those of JSON; who needs all digits of decimals asks for texts by the header `Accept:
application/json;IEEE754Compatible=true`. There are no batches. Source: OData Protocol 4.01 §11.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from holdfast.flows.adapters import odata_urls as urls
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.odata import ODataAdapter
from holdfast.flows.adapters.odata_payloads import JsonV4
from holdfast.flows.adapters.odata_settings import OData
from holdfast.flows.expressions import filled
from holdfast.flows.message import Message


class ODataV4(OData, frozen=True, kw_only=True, tag_field="adapter", tag="odata_v4"):
    """A service in V4. `parameters` of an action are its body, else the message's is."""

    operation: Literal["query", "read", "create", "update", "patch", "delete", "function", "action"] = "query"


class ODataV4Adapter(ODataAdapter):
    """Carries out one operation on a V4 service."""

    methods: ClassVar[Mapping[str, str]] = {**ODataAdapter.methods, "function": "GET", "action": "POST"}

    def __init__(self, name: str, options: ODataV4, means: Means) -> None:
        self._v4 = options
        self.payloads = JsonV4()
        super().__init__(name, options, means)

    def protocol(self) -> dict[str, str]:
        """Return the version, and how many entities a page is to have."""
        size = self._v4.page_size
        prefer = {"Prefer": f"odata.maxpagesize={size}"} if isinstance(size, int) and self.lists else {}
        return {"OData-Version": "4.0", "OData-MaxVersion": "4.0", **prefer}

    def options(self, message: Message) -> dict[str, str]:
        """Return the query options."""
        return super().options(message) | ({"$count": "true"} if self._v4.count and self.lists else {})

    def resource(self, message: Message) -> str:
        """Return the URL of the resource; a function's parameters are part of it."""
        called = f"({urls.arguments(self._parameters(message))})" if self._v4.operation == "function" else ""
        return super().resource(message) + called

    def content(self, message: Message) -> bytes | None:
        """Return the body of the request: an action's are its parameters."""
        if self._v4.operation == "action" and (self._v4.parameters or message.body in (None, "", b"")):
            return self.payloads.write(self._parameters(message))
        return super().content(message)

    def _parameters(self, message: Message) -> dict[str, Any]:
        found: dict[str, Any] = filled(self._v4.parameters, message.names)
        return found
