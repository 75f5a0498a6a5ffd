"""Adapters: each module has the settings of one kind of receiver, and what speaks its protocol (F5, F16)."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.flows.adapters.adapter import Adapter, Credential, Credentials, Means, no_credentials
from holdfast.flows.adapters.as2 import As2, As2Adapter
from holdfast.flows.adapters.http import Http, HttpAdapter
from holdfast.flows.adapters.idoc import Idoc, IdocAdapter
from holdfast.flows.adapters.odata_v2 import ODataV2, ODataV2Adapter
from holdfast.flows.adapters.odata_v4 import ODataV4, ODataV4Adapter
from holdfast.flows.adapters.odc import Odc, OdcAdapter
from holdfast.flows.adapters.sap_rm import SapRm, SapRmAdapter
from holdfast.flows.adapters.soap import Soap, SoapAdapter
from holdfast.flows.adapters.successfactors_odata import (
    SuccessFactorsODataV2,
    SuccessFactorsODataV2Adapter,
    SuccessFactorsODataV4,
    SuccessFactorsODataV4Adapter,
)
from holdfast.flows.adapters.successfactors_rest import SuccessFactorsRest, SuccessFactorsRestAdapter
from holdfast.flows.adapters.successfactors_soap import SuccessFactorsSoap, SuccessFactorsSoapAdapter
from holdfast.flows.adapters.xi import Xi, XiAdapter
from holdfast.flows.parts import Receiver

Make = Callable[[str, Any, Means], Adapter]  # a receiver's name, its settings
AnyReceiver = (
    As2
    | Http
    | Idoc
    | ODataV2
    | ODataV4
    | Odc
    | SapRm
    | Soap
    | SuccessFactorsODataV2
    | SuccessFactorsODataV4
    | SuccessFactorsRest
    | SuccessFactorsSoap
    | Xi
)
ADAPTERS: Final[Mapping[type[Receiver], Make]] = {
    As2: As2Adapter,
    Http: HttpAdapter,
    Idoc: IdocAdapter,
    ODataV2: ODataV2Adapter,
    ODataV4: ODataV4Adapter,
    Odc: OdcAdapter,
    SapRm: SapRmAdapter,
    Soap: SoapAdapter,
    SuccessFactorsODataV2: SuccessFactorsODataV2Adapter,
    SuccessFactorsODataV4: SuccessFactorsODataV4Adapter,
    SuccessFactorsRest: SuccessFactorsRestAdapter,
    SuccessFactorsSoap: SuccessFactorsSoapAdapter,
    Xi: XiAdapter,
}
NAMES: Final = tuple(str(settings.__struct_config__.tag) for settings in ADAPTERS)

__all__ = [
    "ADAPTERS",
    "NAMES",
    "Adapter",
    "AnyReceiver",
    "Credential",
    "Credentials",
    "Make",
    "Means",
    "no_credentials",
]
