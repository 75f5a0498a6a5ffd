"""The adapter `odc`: a service of a SAP Gateway, named by client, namespace, name and version.

`url` is the server alone. What is spoken is the Gateway's public OData V2, below `/sap/opu/odata`, and not the protocol
between a Gateway and its back end, which is SAP's own. The session is in `SAP_SESSIONID_…`, beside `sap-usercontext`.
Source: SAP Gateway Foundation, "Service Versioning" and "SAP Gateway URLs".
"""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta

from holdfast.errors import ConfigurationError
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.odata_v2 import ODataV2, ODataV2Adapter
from holdfast.flows.message import Message

TECHNICAL: Final = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
CLIENT: Final = re.compile(r"\d{3}|", re.ASCII)


class Odc(ODataV2, frozen=True, kw_only=True, tag_field="adapter", tag="odc"):
    """A service of a SAP Gateway, as `odata_v2` but for its URL.

    Args:
        client: Three digits; the server's own client if it is left out.
        namespace: Without slashes.
        service: Its technical name; `version` is the service's.
    """

    service: str
    client: str = ""
    namespace: str = "sap"
    version: Annotated[int, Meta(ge=1, le=9999)] = 1


class OdcAdapter(ODataV2Adapter):
    """Carries out one operation on a service of a SAP Gateway."""

    def __init__(self, name: str, options: Odc, means: Means) -> None:
        self._odc = options
        for key, value in (("service", options.service), ("namespace", options.namespace)):
            if not TECHNICAL.fullmatch(value):
                raise ConfigurationError(f"{key}: {value!r} is no technical name of a SAP system")
        if not CLIENT.fullmatch(options.client):
            raise ConfigurationError(f"client: {options.client!r} is none; a client has three digits, in quotes")
        if urlsplit(options.url).path.strip("/"):
            raise ConfigurationError("url: it is that of the server alone; namespace and service say the rest")
        super().__init__(name, options, means)

    def service(self, message: Message) -> str:
        """Return the root of the service."""
        options = self._odc
        return f"{super().service(message)}/sap/opu/odata/{options.namespace}/{options.service};v={options.version}"

    def always(self, message: Message) -> dict[str, str]:
        """Return the client, beside what the settings say: it is asked for at every logon."""
        return super().always(message) | ({"sap-client": self._odc.client} if self._odc.client else {})
