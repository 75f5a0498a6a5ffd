"""SOAP envelopes, for all adapters that speak SOAP: put around what goes out, opened when they come back.

Source: SOAP 1.1 (W3C Note, 8 May 2000) §4, SOAP 1.2 Part 1 §5. Neither lets a document type declaration in.
"""

from collections.abc import Iterable
from copy import deepcopy
from typing import Final, Literal

import msgspec
from lxml import etree
from lxml.builder import ElementMaker

from holdfast._xml import closed_parser
from holdfast.errors import BackendError, BadInput
from holdfast.flows.adapters.sending import MAYBE_DONE, SHOWN_CHARS, TURNED_AWAY, Answer, Sending
from holdfast.flows.failures import SoapFault
from holdfast.flows.message import Message

Element = etree._Element
Version = Literal["1.1", "1.2"]
NAMESPACES: Final[dict[Version, str]] = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}
CONTENT_TYPES: Final[dict[Version, str]] = {
    "1.1": "text/xml; charset=utf-8",
    "1.2": "application/soap+xml; charset=utf-8",
}
XML_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"
SAID_CHARS: Final = 500  # of a text that a receiver says, in a message of ours
STATUS_SPEAKS: Final = {401, TURNED_AWAY, *MAYBE_DONE}  # whatever the body says, these decide what is done next


class Envelope(msgspec.Struct, frozen=True):
    """What stands in an envelope, without it."""

    header: tuple[Element, ...] = ()
    body: tuple[Element, ...] = ()

    @property
    def payload(self) -> Element | None:
        """The first element of the body."""
        return self.body[0] if self.body else None


def parsed(content: bytes | str) -> Element:
    """Return the root of a document. Raises ValueError: it is no XML, or has a document type declaration."""
    raw = content.encode() if isinstance(content, str) else content
    encoding = "utf-8" if isinstance(content, str) else None  # a text has been decoded, whatever it says it was
    try:
        root = etree.fromstring(raw.strip(), closed_parser(encoding=encoding, comments=False, instructions=False))
    except etree.XMLSyntaxError as exc:
        raise ValueError(f"it is no XML ({exc.msg})" if exc.msg else "it is no XML") from None
    if root is None or root.getroottree().docinfo.doctype:
        raise ValueError("it has a document type declaration")
    return root


def written(element: Element) -> str:
    """Return an element as a text, with the namespaces it needs and without what stands behind it."""
    return etree.tostring(element, encoding="unicode", with_tail=False)


def body_of(message: Message) -> Element:
    """Return a message's body, XML as bytes or text, as an element. Raises BadInput."""
    if not isinstance(message.body, bytes | str):
        raise BadInput(f"the body is no XML, but a {type(message.body).__name__}")
    try:
        return parsed(message.body)
    except ValueError as exc:
        raise BadInput(f"the body cannot be sent: {exc}") from exc


def wrapped(body: Iterable[Element], header: Iterable[Element] = (), version: Version = "1.1") -> bytes:
    """Return an envelope around these elements, as a document in UTF-8. They themselves stay where they are."""
    namespace = NAMESPACES[version]
    make = ElementMaker(namespace=namespace, nsmap={"soap": namespace})
    blocks = [deepcopy(block) for block in header]
    envelope = make.Envelope(*([make.Header(*blocks)] if blocks else []), make.Body(*map(deepcopy, body)))
    return etree.tostring(envelope, encoding="utf-8", xml_declaration=True)


def opened(root: Element) -> Envelope:
    """Return what an envelope of either version holds. Raises ValueError: this is none."""
    for namespace in NAMESPACES.values():
        if root.tag == f"{{{namespace}}}Envelope":
            header, body = root.find(f"{{{namespace}}}Header"), root.find(f"{{{namespace}}}Body")
            if body is None:
                raise ValueError("its envelope has no body")
            return Envelope(() if header is None else tuple(header), tuple(body))
    raise ValueError("it is no SOAP envelope")


def fault_in(envelope: Envelope, name: str, status: int) -> SoapFault | None:
    """Return the fault that the receiver `name` has put into an envelope, if there is one.

    There are servers that write one of SOAP 1.2 into an envelope of 1.1: it is read by what it holds.
    """
    found = envelope.payload
    namespace = next(
        (each for each in NAMESPACES.values() if found is not None and found.tag == f"{{{each}}}Fault"), None
    )
    if found is None or namespace is None:
        return None
    of = f"{{{namespace}}}"
    newer = found.findtext(f"{of}Code/{of}Subcode/{of}Value") or found.findtext(f"{of}Code/{of}Value")
    code, text = found.findtext("faultcode") or newer or "", found.findtext("faultstring") or _reason(found, of) or ""
    detail = next((part for part in found if part.tag in ("detail", f"{of}Detail")), None)
    said = "" if detail is None else written(detail)
    shown, why = code.strip()[:SHOWN_CHARS], text.strip()[:SHOWN_CHARS]
    return SoapFault(name, shown, why, detail=said, http_status=status)


def envelope_of(adapter: Sending, answer: Answer) -> Envelope:
    """Return the envelope in an answer, whatever its status; an empty one if a call succeeded without a word.

    Raises:
        NotCarriedOut, BackendUnavailable, LogonFailed, CallRefused: What the status means, where there is no envelope.
        BackendError: Something else than an envelope.
    """
    failed = answer.status >= 300
    if not answer.content.strip() and not failed:
        return Envelope()
    try:
        return opened(parsed(answer.content))
    except ValueError as exc:
        if failed:
            raise adapter.refused(answer) from exc
        name = adapter.channel.name
        raise BackendError(f"{name} answered {answer.status} with something that is not SOAP: {exc}") from exc


def read(adapter: Sending, answer: Answer) -> Envelope:
    """Return what a receiver has answered, as `envelope_of` does.

    Raises:
        SoapFault: It answered with a fault, whatever the status.
        NotCarriedOut, BackendUnavailable, LogonFailed, CallRefused: What the status means.
        BackendError: It answered with something else than an envelope.
    """
    envelope = envelope_of(adapter, answer)
    fault = fault_in(envelope, adapter.channel.name, answer.status)
    if answer.status >= 300 and (fault is None or answer.status in STATUS_SPEAKS):
        raise adapter.refused(answer, "" if fault is None else fault.said)
    if fault is not None:
        raise fault
    return envelope


def _reason(fault: Element, of: str) -> str | None:
    """Return why in English, if it is told in English, else in the first language."""
    texts = fault.findall(f"{of}Reason/{of}Text")
    english = [text for text in texts if (text.get(XML_LANG) or "").lower().startswith("en")]
    return next((text.text for text in [*english, *texts]), None)
