"""How an XI message is written: SOAP with attachments, the payload being the first of them.

Sources: "Parts of an XI Message" and "Configuring the XI Receiver Adapter" (help.sap.com); the names and their order as
in the types of namespace http://sap.com/xi/XI/Message/30 and in messages of S/4HANA and Process Orchestration 7.5 that
are recorded in github.com/rsugio/karlutka. The types let a QueueId have hexadecimal digits, `_`, `-` and `/` only;
queues of real systems have any capital letter, and so they may here.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from lxml.builder import ElementMaker

from holdfast.flows.adapters.envelope import CONTENT_TYPES, NAMESPACES, Element, wrapped
from holdfast.flows.adapters.mime import multipart

NAMESPACE: Final = "http://sap.com/xi/XI/Message/30"
SYSTEM: Final = "http://sap.com/xi/XI/System"
XLINK: Final = "http://www.w3.org/1999/xlink"
MUST_UNDERSTAND: Final = {f"{{{NAMESPACES['1.1']}}}mustUnderstand": "1"}
MAIN_DOCUMENT: Final = "MainDocument"
PARTY: Final = {"agency": "http://sap.com/xi/XI", "scheme": "XIParty"}
Quality = Literal["BestEffort", "ExactlyOnce", "ExactlyOnceInOrder"]
Ack = Literal["system", "system_error", "application", "application_error"]
XI: Final = ElementMaker(namespace=NAMESPACE, nsmap={"SAP": NAMESPACE})


class Address(msgspec.Struct, frozen=True):
    """A communication component, of a party if it is another company's."""

    service: str
    party: str = ""


class Payload(msgspec.Struct, frozen=True):
    """The main document, or an attachment."""

    name: str
    content_type: str
    content: bytes


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A message that goes out; the first of `payloads` is the main document."""

    id: uuid.UUID
    sent_at: float
    quality: Quality
    queue: str
    minor_version: str
    sender: Address
    receiver: Address
    interface: str
    namespace: str
    acks: Sequence[Ack]
    payloads: Sequence[Payload]

    def written(self) -> tuple[str, bytes]:
        """Return content type and body. Raises ValueError: a text in it cannot stand in XML."""
        start, boundary = f"soap-{self.id.hex}@holdfast", f"SAP_{uuid.uuid4()}_END"
        envelope = wrapped([self._manifest()], [_main(self), _reliable(self), _diagnostic(), _hops(self)])
        parts = [({"Content-ID": f"<{start}>", "Content-Type": CONTENT_TYPES["1.1"]}, envelope)]
        for number, payload in enumerate(self.payloads):
            headers = {"Content-ID": f"<{self._cid(number)}>", "Content-Type": payload.content_type}
            parts.append(({**headers, "Content-Transfer-Encoding": "binary"}, payload.content))
        kind = f'multipart/related; boundary={boundary}; type="text/xml"; start="<{start}>"'
        return kind, multipart(parts, boundary)

    def _cid(self, number: int) -> str:
        return f"payload-{self.id.hex}-{number}@holdfast"

    def _manifest(self) -> Element:
        make = ElementMaker(namespace=NAMESPACE, nsmap={"SAP": NAMESPACE, "xlink": XLINK})
        return make.Manifest(*(self._entry(number, payload) for number, payload in enumerate(self.payloads)))

    def _entry(self, number: int, payload: Payload) -> Element:
        link = {f"{{{XLINK}}}type": "simple", f"{{{XLINK}}}href": f"cid:{self._cid(number)}"}
        kind = "ApplicationAttachment" if number else "Application"
        return XI.Payload(XI.Name(payload.name), XI.Description(), XI.Type(kind), link)


def _main(message: Outgoing) -> Element:
    synchronous = message.quality == "BestEffort"
    return XI.Main(
        {"versionMajor": "3", "versionMinor": message.minor_version, **MUST_UNDERSTAND},
        XI.MessageClass("ApplicationMessage"),
        XI.ProcessingMode("synchronous" if synchronous else "asynchronous"),
        XI.MessageId(str(message.id)),
        XI.TimeSent(_instant(message.sent_at)),
        XI.Sender(*_address(message.sender)),
        XI.Receiver(*_address(message.receiver)),
        XI.Interface(message.interface, namespace=message.namespace),
    )


def _reliable(message: Outgoing) -> Element:
    requested = {f"{ack.title().replace('_', '')}AckRequested": "true" for ack in message.acks}
    queue = [XI.QueueId(message.queue)] if message.queue else []
    attributes: dict[str, Any] = {**requested, **MUST_UNDERSTAND}
    return XI.ReliableMessaging(attributes, XI.QualityOfService(message.quality), *queue)


def _diagnostic() -> Element:
    return XI.Diagnostic(MUST_UNDERSTAND, XI.TraceLevel("Information"), XI.Logging("On"))


def _hops(message: Outgoing) -> Element:
    """Say who has had the message: its sender."""
    hop = XI.Hop(
        {"timeStamp": _instant(message.sent_at), "wasRead": "false"},
        XI.Engine(message.sender.service, type="BS"),
        XI.Adapter("XI", namespace=SYSTEM),
        XI.MessageId(str(message.id)),
        XI.Info("3.0"),
    )
    return XI.HopList(MUST_UNDERSTAND, hop)


def _address(address: Address) -> tuple[Element, Element]:
    return XI.Party(address.party, PARTY), XI.Service(address.service)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
