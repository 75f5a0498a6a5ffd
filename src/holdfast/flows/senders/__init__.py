"""Senders: what gives a flow its messages. Each module has the settings of one kind, and what brings the messages."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.sending import Sending
from holdfast.flows.parts import Part
from holdfast.flows.senders.http import FromHttp, HttpSender
from holdfast.flows.senders.schedule import Scheduled, ScheduleSender
from holdfast.flows.senders.sender import Sender, SenderMeans
from holdfast.flows.senders.successfactors_soap import FromSuccessFactorsSoap, SuccessFactorsSoapSender, reader
from holdfast.flows.sessions.scopes import Channel

Make = Callable[[Any, SenderMeans], Sender]  # its settings
AnySender = FromHttp | FromSuccessFactorsSoap | Scheduled
SENDERS: Final[Mapping[type[Part], Make]] = {
    FromHttp: HttpSender,
    FromSuccessFactorsSoap: SuccessFactorsSoapSender,
    Scheduled: ScheduleSender,
}
READERS: Final[Mapping[type[Part], Callable[[Any, Means], Sending]]] = {FromSuccessFactorsSoap: reader}
NAMES: Final = tuple(str(settings.__struct_config__.tag) for settings in SENDERS)


def channel_of(settings: AnySender, means: Means) -> Channel | None:
    """Return the way to where a sender reads, None if it does not. Raises ConfigurationError: a setting is wrong."""
    make = READERS.get(type(settings))
    return None if make is None else make(settings, means).channel


__all__ = ["NAMES", "SENDERS", "AnySender", "Make", "Sender", "SenderMeans", "channel_of"]
