"""Sends messages to an integration engine: best effort, exactly once, or exactly once in order.

The body is the main document of the message: XML as text or bytes. Best effort is synchronous: the response's main
document is the new body, its attachments are the property `attachments` (`name`, `type`, `content` as bytes). What is
sent exactly once is only accepted: the new body is None. Headers: `sapmessageidex` is the id that went out, `xi-class`,
`xi-message-id` and `xi-ack` are those of the answer.

Sources: as in `writing`; "Configure the XI Receiver Adapter" in SAP-docs/btp-integration-suite for what is taken from
where. That adapter has neither acknowledgements nor order; both are written here as engines write them. An engine that
has had a message answers it with DUPLICATE_DETECTED when it comes again: so it has been accepted (recorded of S/4HANA).
With 3.0 an engine acknowledges in the answer, with 3.1 the answer is empty (help.sap.com, "Configuring the XI Receiver
Adapter"); either is understood whichever was asked for.
"""

import re
import uuid
from typing import Annotated, Any, Final, Literal

import httpx2
from msgspec import Meta

from holdfast.errors import BackendError, BadInput, ConfigurationError
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.envelope import STATUS_SPEAKS
from holdfast.flows.adapters.ids import message_id
from holdfast.flows.adapters.sending import Answer, Sending
from holdfast.flows.adapters.xi.reading import Incoming, incoming
from holdfast.flows.adapters.xi.writing import MAIN_DOCUMENT, Ack, Address, Outgoing, Payload, Quality
from holdfast.flows.content import decoded, in_utf8
from holdfast.flows.expressions import filled, render
from holdfast.flows.failures import Unavailable
from holdfast.flows.message import Message
from holdfast.flows.parts import Part, Receiver

QUALITIES: Final[dict[str, Quality]] = {
    "best_effort": "BestEffort",
    "exactly_once": "ExactlyOnce",
    "exactly_once_in_order": "ExactlyOnceInOrder",
}
QUEUE: Final = re.compile(r"[0-9A-Z_\-/]{1,16}")
DUPLICATE: Final = "DUPLICATE_DETECTED"
MOST_ATTACHMENTS: Final = 500
Text = Annotated[str, Meta(min_length=1)]


class Component(Part, frozen=True, kw_only=True):
    """A business system or component (template), and the party it is of, if that is another company (template)."""

    service: Text
    party: str = ""


class Xi(Receiver, frozen=True, kw_only=True, tag_field="adapter", tag="xi"):
    """An integration engine. Its `url` ends in `/sap/xi/engine?type=receiver&sap-client=…`.

    Args:
        sender: Who sends.
        receiver: Whom the message is for.
        interface: The service interface (template), in `namespace` (template).
        quality: `best_effort` waits for a response; the others are taken once, so that a call is repeatable.
        queue: Of messages in order (template): at most 16 capital letters, digits, `_`, `-` and `/`. The order is that
            in which they arrive: messages that are processed in parallel have none.
        version: Of the protocol.
        message_id: What a message is taken once by (template), if not its delivery: an id that its sender repeats.
        attachments: `${…}` that says which: a list of mappings with `name`, `content` and `type`.
        acks: Which acknowledgements are asked for.
    """

    sender: Component
    receiver: Component
    interface: Text
    namespace: Text
    quality: Literal["best_effort", "exactly_once", "exactly_once_in_order"] = "exactly_once"
    queue: str = ""
    version: Literal["3.0", "3.1"] = "3.0"
    message_id: str = ""
    attachments: str = ""
    acks: tuple[Ack, ...] = ()


class XiAdapter(Sending):
    """Sends messages to an integration engine."""

    def __init__(self, name: str, options: Xi, means: Means) -> None:
        super().__init__(name, options, means)
        self._options = options
        if (options.quality == "exactly_once_in_order") != bool(options.queue):
            raise ConfigurationError("a `queue` belongs to the quality exactly_once_in_order, and to no other")
        if options.acks and options.quality == "best_effort":
            raise ConfigurationError("what is sent with best effort is not acknowledged: its response says all")

    def safe(self, message: Message) -> bool:
        """Say whether the engine takes it once."""
        return self._options.quality != "best_effort"

    async def call(self, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID) -> Message:
        """Send the message and return the response, or that it was accepted."""
        sent = self._outgoing(message, delivery)
        try:
            kind, content = sent.written()
        except ValueError as exc:
            raise BadInput(f"this message makes no XI message: {exc}") from exc
        headers = {"Content-Type": kind, "SOAPAction": '""', **self.authorization(message)}
        url = render(self._options.url, message.names, in_url=True)
        answer = await self.send(session, "POST", url, headers, content)
        return self._result(message, sent, answer, self._judged(sent, answer, incoming(self, answer)))

    def _outgoing(self, message: Message, delivery: uuid.UUID) -> Outgoing:
        options, names = self._options, message.names
        queue = render(options.queue, names)
        if options.queue and QUEUE.fullmatch(queue) is None:
            raise BadInput(f"{queue[:40]!r} is no queue: 1 to 16 of A-Z, 0-9, _, - and /")
        attachments = _attachments(filled(options.attachments, names) if options.attachments else None)
        return Outgoing(
            id=message_id(options.message_id, message, delivery),
            sent_at=self._means.clock(),
            quality=QUALITIES[options.quality],
            queue=queue,
            minor_version=options.version.partition(".")[2],
            sender=_address(options.sender, names),
            receiver=_address(options.receiver, names),
            interface=render(options.interface, names),
            namespace=render(options.namespace, names),
            acks=options.acks,
            payloads=(_main_document(message), *attachments),
        )

    def _judged(self, sent: Outgoing, answer: Answer, came: Incoming) -> Incoming:
        """Return an answer that says that all is well."""
        name, refusal = self.channel.name, came.error or came.fault
        if came.refers_to and came.refers_to.lower() != str(sent.id):
            raise BackendError(f"{name} answered another message than the one that was sent")
        if answer.status in STATUS_SPEAKS:
            raise self.refused(answer, refusal.said if refusal else "")
        if came.error is not None and came.error.fault == DUPLICATE and sent.quality != "BestEffort":
            return came
        if came.ack == "Error" and came.ack_category == "transient":
            raise Unavailable(f"{name} cannot take the message now: {refusal.said if refusal else 'no reason'}")
        if refusal is not None:
            raise refusal
        if answer.status >= 300 or came.ack == "Error" or came.kind in ("SystemError", "ApplicationError"):
            raise self.refused(answer, came.kind)
        if sent.quality == "BestEffort" and not came.payloads:
            raise BackendError(f"{name} answered without a response")
        return came

    def _result(self, message: Message, sent: Outgoing, answer: Answer, came: Incoming) -> Message:
        told = {"xi-class": came.kind, "xi-message-id": came.id, "xi-ack": came.ack}
        headers: dict[str, object] = {name: value for name, value in told.items() if value}
        headers |= {"sapmessageidex": str(sent.id), "http-status": answer.status}
        if sent.quality != "BestEffort":
            return message.changed(headers=headers, body=None)
        main, *others = came.payloads
        try:
            body = decoded(main.content, main.content_type)
        except ValueError as exc:
            raise BackendError(f"{self.channel.name} answered with something else than it says") from exc
        attachments = [{"name": other.name, "type": other.content_type, "content": other.content} for other in others]
        return message.changed(
            headers={**headers, "content-type": main.content_type}, body=body, properties={"attachments": attachments}
        )


def _main_document(message: Message) -> Payload:
    given = str(message.headers.get("content-type") or "")
    match message.body:
        case bytes() as content:
            return Payload(MAIN_DOCUMENT, _one_line(given or "application/xml"), content)
        case str() as text:
            return Payload(MAIN_DOCUMENT, "text/xml; charset=utf-8", in_utf8(text).encode())
    raise BadInput(f"the main document has to be a text or bytes, and is a {type(message.body).__name__}")


def _attachments(given: Any) -> list[Payload]:
    if given is None:
        return []
    if not isinstance(given, list | tuple) or len(given) > MOST_ATTACHMENTS:
        raise BadInput(f"`attachments` has to be a list of at most {MOST_ATTACHMENTS}")
    return [_attachment(one) for one in given]


def _attachment(given: Any) -> Payload:
    match given:
        case {"name": str() as name, "content": bytes() | str() as content}:
            kind = str(given.get("type") or "application/octet-stream")
            return Payload(name, _one_line(kind), content.encode() if isinstance(content, str) else content)
    raise BadInput("an attachment has to be a mapping with a `name` and a `content` of text or bytes")


def _one_line(kind: str) -> str:
    if not (kind.isprintable() and kind.isascii()):
        raise BadInput("a content type holds a character that cannot stand in it")
    return kind


def _address(component: Component, names: Any) -> Address:
    return Address(render(component.service, names), render(component.party, names))
