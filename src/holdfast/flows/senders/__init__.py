"""Senders: what gives a flow its messages. Each module has the settings of one kind, and what brings the messages."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.flows.parts import Part
from holdfast.flows.senders.http import FromHttp, HttpSender
from holdfast.flows.senders.schedule import Scheduled, ScheduleSender
from holdfast.flows.senders.sender import Sender, SenderMeans
from holdfast.flows.senders.successfactors_soap import FromSuccessFactorsSoap, SuccessFactorsSoapSender

Make = Callable[[Any, SenderMeans], Sender]  # its settings
AnySender = FromHttp | FromSuccessFactorsSoap | Scheduled
SENDERS: Final[Mapping[type[Part], Make]] = {
    FromHttp: HttpSender,
    FromSuccessFactorsSoap: SuccessFactorsSoapSender,
    Scheduled: ScheduleSender,
}
NAMES: Final = tuple(str(settings.__struct_config__.tag) for settings in SENDERS)

__all__ = ["NAMES", "SENDERS", "AnySender", "Make", "Sender", "SenderMeans"]
