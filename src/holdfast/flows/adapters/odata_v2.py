"""The adapter `odata_v2`: entities and function imports of an OData V2 service, in JSON or Atom.

Operations have SAP Cloud Integration's names: query, read (one entity by its key), create, update (PUT), merge, patch,
delete, function_import. There are no batches. Source: OData V2 "Operations".
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from holdfast.errors import ConfigurationError
from holdfast.flows.adapters import odata_urls as urls
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.odata import TUNNELLED, ODataAdapter
from holdfast.flows.adapters.odata_atom import Atom
from holdfast.flows.adapters.odata_payloads import JsonV2
from holdfast.flows.adapters.odata_settings import POST, READING, OData
from holdfast.flows.expressions import filled
from holdfast.flows.message import Message

FUNCTION: Final = "function_import"
OF_ONE: Final = ("read", "update", "merge", "patch", "delete")


class V2(OData, frozen=True, kw_only=True):
    """What receivers that speak V2 are told besides.

    Args:
        format: Of bodies on the wire; in the flow they are mappings and lists.
        method: Of a function import, as its metadata says (`m:HttpMethod`).
        tunnel: Send PUT, MERGE, PATCH and DELETE as POST with `X-HTTP-Method`.
    """

    format: Literal["json", "atom"] = "json"
    method: Literal["GET", "POST"] = "GET"
    tunnel: bool = False
    csrf: bool = True


class ODataV2(V2, frozen=True, kw_only=True, tag_field="adapter", tag="odata_v2"):
    """A service in V2."""

    operation: Literal["query", "read", "create", "update", "merge", "patch", "delete", "function_import"] = "query"


class ODataV2Adapter(ODataAdapter):
    """Carries out one operation on a V2 service."""

    methods: ClassVar[Mapping[str, str]] = {**ODataAdapter.methods, "merge": "MERGE"}

    def __init__(self, name: str, options: V2, means: Means) -> None:
        self._v2 = options
        self.payloads = Atom() if options.format == "atom" else JsonV2()
        super().__init__(name, options, means)
        whole = options.resource and not options.resource.endswith((")", "}")) and "/" not in options.resource
        if whole and options.key is None and options.operation in OF_ONE:
            raise ConfigurationError(f"operation: a {options.operation} needs the `key` of one entity")

    @property
    def method(self) -> str:
        """The HTTP method of the operation."""
        return self._v2.method if self._v2.operation == FUNCTION else self.methods[self._v2.operation]

    def protocol(self) -> dict[str, str]:
        """Return the version, and the method where another one is sent."""
        tunnelled = self._v2.tunnel and self.method not in (*READING, POST)
        version = {"DataServiceVersion": "2.0", "MaxDataServiceVersion": "2.0"}
        return version | ({TUNNELLED: self.method} if tunnelled else {})

    def options(self, message: Message) -> dict[str, str]:
        """Return the query options; parameters of a function import are such too."""
        options, found = self._v2, super().options(message)
        if options.count and self.lists:
            found["$inlinecount"] = "allpages"
        if isinstance(options.page_size, int) and self.lists:
            found = {"$skip": "0", **found, "$top": str(options.page_size)}
        parameters: dict[str, Any] = filled(options.parameters, message.names)
        return {**found, **{urls.option(name, {}): urls.literal(value) for name, value in parameters.items()}}

    def content(self, message: Message) -> bytes | None:
        """Return the body of the request; a function import has none."""
        return None if self._v2.operation == FUNCTION else super().content(message)
