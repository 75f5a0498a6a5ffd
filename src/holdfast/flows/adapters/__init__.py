"""Adapters: each module has the settings of one kind of receiver, and what speaks its protocol (F5, F16)."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.flows.adapters.adapter import Adapter, Credential, Credentials, Means, no_credentials
from holdfast.flows.adapters.http import Http, HttpAdapter
from holdfast.flows.parts import Receiver

Make = Callable[[str, Any, Means], Adapter]  # a receiver's name, its settings
AnyReceiver = Http
ADAPTERS: Final[Mapping[type[Receiver], Make]] = {Http: HttpAdapter}
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
