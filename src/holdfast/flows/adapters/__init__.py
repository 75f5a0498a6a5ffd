"""Adapters: each module has the settings of one kind of receiver, and what speaks its protocol (F5, F16)."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.flows.adapters.adapter import Adapter, Credential, Credentials, Means, no_credentials
from holdfast.flows.adapters.as2 import As2, As2Adapter
from holdfast.flows.adapters.http import Http, HttpAdapter
from holdfast.flows.adapters.idoc import Idoc, IdocAdapter
from holdfast.flows.adapters.sap_rm import SapRm, SapRmAdapter
from holdfast.flows.adapters.soap import Soap, SoapAdapter
from holdfast.flows.adapters.xi.adapter import Xi, XiAdapter
from holdfast.flows.parts import Receiver

Make = Callable[[str, Any, Means], Adapter]  # a receiver's name, its settings
AnyReceiver = As2 | Http | Idoc | SapRm | Soap | Xi
ADAPTERS: Final[Mapping[type[Receiver], Make]] = {
    As2: As2Adapter,
    Http: HttpAdapter,
    Idoc: IdocAdapter,
    SapRm: SapRmAdapter,
    Soap: SoapAdapter,
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
