"""What an XI message says that comes back: a response, an acknowledgement, an error.

Errors come in three places, all of which are looked at: a SOAP fault with `SAP:Error` in its detail, an error in the
header of a response, and one in the header of an acknowledgement. Sources: as in `writing`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from holdfast.errors import BackendError
from holdfast.flows.adapters.envelope import SAID_CHARS, Element, Envelope, envelope_of, fault_in, parsed, written
from holdfast.flows.adapters.mime import Part, parameter, parts_of
from holdfast.flows.adapters.sending import SHOWN_CHARS, Answer, Sending
from holdfast.flows.adapters.xi.writing import MAIN_DOCUMENT, NAMESPACE, XLINK, Payload
from holdfast.flows.failures import SoapFault, XiError

PARAMETERS: Final = ("P1", "P2", "P3", "P4")


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A message that came back. `fault` is a SOAP fault without an error of XI; empty texts are not in the message.

    Args:
        kind: ApplicationResponse, SystemAck, ApplicationAck, SystemError or ApplicationError.
        refers_to: The id of the message that it answers.
        ack: OK, Error or AckRequestNotSupported.
        ack_category: `transient` if another try may succeed, else `permanent` or nothing.
        payloads: The main document, if there is one, and then the attachments.
    """

    kind: str = ""
    id: str = ""
    refers_to: str = ""
    ack: str = ""
    ack_category: str = ""
    error: XiError | None = None
    fault: SoapFault | None = None
    payloads: Sequence[Payload] = ()


def incoming(adapter: Sending, answer: Answer) -> Incoming:
    """Return what an answer says, whatever its status.

    Raises:
        NotCarriedOut, BackendUnavailable, LogonFailed, CallRefused: What the status means, where there is no message.
        BackendError: It is malformed.
    """
    name, parts = adapter.channel.name, _parts(adapter, answer)
    content = answer.content if parts is None else _root(answer, parts).content
    envelope = envelope_of(adapter, msgspec.structs.replace(answer, content=content))
    fault = fault_in(envelope, name, answer.status)
    if fault is not None:
        told = _error_of_fault(name, fault)
        return Incoming(error=told, fault=fault if told is None else None)
    try:
        payloads = _payloads(envelope, {part.content_id: part for part in parts or ()})
    except ValueError as exc:
        raise BackendError(f"{name} answered with a message that is malformed: {exc}") from exc
    blocks = {block.tag: block for block in envelope.header}
    main, ack, error = (blocks.get(_tag(block)) for block in ("Main", "Ack", "Error"))
    if main is None and envelope.payload is not None and answer.status < 300:
        raise BackendError(f"{name} answered {answer.status} with something that is no XI message")
    return Incoming(
        kind=_text(main, "MessageClass"),
        id=_text(main, "MessageId"),
        refers_to=_text(main, "RefToMessageId"),
        ack=_text(ack, "Status"),
        ack_category=_text(ack, "Category"),
        error=None if error is None else _error(name, error, answer.status, payloads),
        payloads=payloads,
    )


def _parts(adapter: Sending, answer: Answer) -> Sequence[Part] | None:
    """Return the parts of an answer that has some. Raises what its status means, or BackendError: it is malformed."""
    if not answer.media_type.startswith("multipart/"):
        return None
    try:
        parts = parts_of(str(answer.headers["content-type"]), answer.content)
        if not parts:
            raise ValueError("it has no part")
        return parts
    except ValueError as exc:
        if answer.status >= 300:
            raise adapter.refused(answer) from exc
        raise BackendError(f"{adapter.channel.name} answered with a message that is malformed: {exc}") from exc


def _root(answer: Answer, parts: Sequence[Part]) -> Part:
    """Return the part that the others belong to: the one that is named, else the first (RFC 2387 §3.2)."""
    start = parameter(str(answer.headers["content-type"]), "start").strip("<>")
    return next((part for part in parts if start and part.content_id == start), parts[0])


def _payloads(envelope: Envelope, parts: Mapping[str, Part]) -> Sequence[Payload]:
    manifest = envelope.payload
    if manifest is None or manifest.tag != _tag("Manifest"):
        return ()
    entries = manifest.findall(_tag("Payload"))
    main = [entry for entry in entries if _text(entry, "Type") == "Application"]
    main = main or [entry for entry in entries if _text(entry, "Name") == MAIN_DOCUMENT]
    return [_payload(entry, parts) for entry in [*main, *(entry for entry in entries if entry not in main)]]


def _payload(entry: Element, parts: Mapping[str, Part]) -> Payload:
    href = (entry.get(f"{{{XLINK}}}href") or "").strip()
    part = parts.get(href.removeprefix("cid:"))
    if part is None:
        raise ValueError(f"its manifest has a payload that is not there ({href[:100]!r})")
    return Payload(_text(entry, "Name"), part.content_type, part.content)


def _error_of_fault(name: str, fault: SoapFault) -> XiError | None:
    error = parsed(fault.detail).find(_tag("Error")) if fault.detail else None
    return None if error is None else _error(name, error, fault.http_status, ())


def _error(name: str, error: Element, status: int, payloads: Sequence[Payload]) -> XiError:
    """Return an error with what was sent along, which in an application's error is what the application says."""
    code = error.find(_tag("Code"))
    text = _text(error, "AdditionalText") or _text(error, "Stack").partition("\n")[0]
    return XiError(
        name,
        category=_text(error, "Category")[:SAID_CHARS],
        area="" if code is None else (code.get("area") or "")[:SAID_CHARS],
        fault=_text(error, "Code")[:SAID_CHARS],
        text=text.strip()[:SAID_CHARS],
        parameters=tuple(_text(error, parameter) for parameter in PARAMETERS),
        http_status=status,
        answer=(payloads[0].content.decode(errors="replace") if payloads else written(error))[:SHOWN_CHARS],
    )


def _text(element: Element | None, name: str) -> str:
    return "" if element is None else (element.findtext(_tag(name)) or "").strip()


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"
