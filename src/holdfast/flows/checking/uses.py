"""The calls that a flow can make, as far as its text tells: through which channel, where to, and as whom."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from holdfast.errors import ConfigurationError
from holdfast.flows.adapters import ADAPTERS, Make, Means
from holdfast.flows.model import Definition, WrongFlow, steps_of
from holdfast.flows.parts import Call, Receiver
from holdfast.flows.senders import channel_of
from holdfast.flows.sessions.scopes import Channel, Finding
from holdfast.flows.sessions.transport import receiver_of

AUTHORITY: Final = re.compile(r"https?://[^/?#$]+(?=[/?#])")


class Use(msgspec.Struct, frozen=True):
    """A call.

    Args:
        path: The step's; of what a receiver is by itself, the receiver's.
        defined: The path at which its URL and user stand.
        receiver: Host and port; empty if they are computed for each message.
        user: Whose credentials are sent, as the flow names them; empty for none.
    """

    path: str
    defined: str
    channel: Channel
    receiver: str
    user: str

    @property
    def host(self) -> str:
        """The receiver without its port."""
        return self.receiver.rpartition(":")[0]

    @property
    def where(self) -> str:
        """What the call goes to, in words and unlike any other: the receiver, or the channel to one that varies."""
        return self.receiver or f"the receiver of {self.channel.name!r}"


class Uses(msgspec.Struct, frozen=True):
    """All calls of a flow by the path of their step, and what its receivers are by name.

    `sender` is where its sender reads, if it does. No message's calls share a session with it but a whole flow's.
    """

    calls: Mapping[str, Use]
    receivers: Mapping[str, Use]
    sender: Channel | None = None


def uses_of(definition: Definition, adapters: Mapping[type, Make] = ADAPTERS) -> Uses:
    """Return the calls of a flow. Raises WrongFlow: adapters that cannot work with their settings."""
    flow, folder = definition.flow, Path(definition.source.file).parent
    wrong: list[Finding] = []

    def use(call: Call, path: str) -> Iterator[tuple[str, Use]]:
        settings = call.settings(flow.receivers[call.receiver])
        try:
            channel = adapters[type(settings)](call.receiver, settings, Means(folder=folder)).channel
        except ConfigurationError as exc:
            wrong.append(Finding("setting", str(exc), exc.hint, place=definition.source.place(path)))
        else:
            defined = path if {"url", "auth"} & call.changes.keys() else f"receivers.{call.receiver}"
            yield path, Use(path, defined, channel, _receiver(settings.url), _user(settings))

    defined = (found for name in flow.receivers for found in use(Call(name), f"receivers.{name}"))
    receivers = {path.partition(".")[2]: found for path, found in defined}
    calls: dict[str, Use] = {}
    for path, step in steps_of(flow):
        if isinstance(step.options, Call):
            at, call = f"{path}.{step.kind}", step.options
            if call.changes:
                calls.update(use(call, at))
            elif call.receiver in receivers:
                calls[at] = msgspec.structs.replace(receivers[call.receiver], path=at)
    sender: Channel | None = None
    try:
        sender = None if flow.sender is None else channel_of(flow.sender, Means(folder=folder))
    except ConfigurationError as exc:
        wrong.append(Finding("setting", str(exc), exc.hint, place=definition.source.place("sender")))
    if wrong:
        raise WrongFlow(*wrong)
    return Uses(calls, receivers, sender)


def _receiver(url: str) -> str:
    """Return host and port of a URL (template), or nothing if they are computed."""
    fixed = url if "${" not in url else found[0] if (found := AUTHORITY.match(url)) else ""
    try:
        return receiver_of(httpx2.URL(fixed)) if fixed else ""
    except httpx2.InvalidURL:
        return ""


def _user(settings: Receiver) -> str:
    auth = settings.auth
    return f"basic {auth.basic}" if auth.basic else f"bearer {auth.bearer}" if auth.bearer else ""
