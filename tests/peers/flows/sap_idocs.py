"""The service that takes IDocs. Its rules are those of message EA728: one IDoc, with an id, and each id once.

`?mode=locked` says the first time that an earlier call with the id has not ended; `fault` refuses; `numberless`
answers without a number.
"""

import xml.etree.ElementTree as ElementTree
from typing import Any

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
MESSAGES = "urn:sap-com:document:sap:idoc:soap:messages"
PREFIX = "urn:sap.com:msgid="
XML = "text/xml; charset=utf-8"
FIRST_NUMBER = 160_816
Answer = tuple[int, str, bytes]


class Service:
    """Keeps the IDocs that it has taken."""

    def __init__(self) -> None:
        self.idocs: list[dict[str, Any]] = []
        self.by_id: dict[str, dict[str, Any]] = {}

    def key(self, headers: Any, body: bytes) -> str:
        """Return what is the same in a repeated call."""
        return body.decode()

    def take(self, received: Any) -> Answer:
        document = self.document(received.body)
        if document is None:
            return fault("the body has no IDoc")
        namespace, name = split(document)
        once = namespace == MESSAGES
        if (
            once != (received.headers.get_content_type() == "application/x-sap.idoc")
            or "soapaction" not in received.headers
        ):
            return fault("this content type is not that of the namespace")
        if received.mode == "fault" or (received.mode == "locked" and not received.again):
            return fault(f"IDoc SOAP Namespace - Violation ({'MSGID_LOCKED' if received.mode == 'locked' else 'X'})")
        if once and len(document) > 1:
            return fault("IDoc SOAP Namespace - Violation (MULTIPLE_IDOCS_NOT_ALLOWED)")
        taken = [self.idoc(idoc, once=once) for idoc in document]
        if None in taken:
            return fault("IDoc SOAP Namespace - Violation (SOAP_MSGID_PREFIX_INVALID)")
        return answer(name, [] if received.mode == "numberless" else taken)

    def document(self, body: bytes) -> Any:
        try:
            return ElementTree.fromstring(body).find(f"{{{SOAP}}}Body/*")
        except ElementTree.ParseError:
            return None

    def idoc(self, idoc: Any, *, once: bool) -> dict[str, Any] | None:
        control = idoc[0]
        fields = {split(field)[1]: field.text for field in control}
        key = fields.get("ARCKEY") or ""
        if once and not key.startswith(PREFIX):
            return None
        if once and key in self.by_id:
            return self.by_id[key]
        taken = {
            "number": f"{FIRST_NUMBER + len(self.idocs):016}",
            "fields": fields,
            "order": list(fields),
            "segments": [split(segment)[1] for segment in idoc],
            "texts": [text for segment in idoc[1:] for text in segment.itertext() if text.strip()],
        }
        self.idocs.append(taken)
        if once:
            self.by_id[key] = taken
        return taken


def split(element: Any) -> tuple[str, str]:
    """Return an element's namespace and name."""
    namespace, _, name = str(element.tag).rpartition("}")
    return namespace.removeprefix("{"), name


def answer(name: str, taken: list[Any]) -> Answer:
    pairs = [(idoc["fields"].get("DOCNUM") or "", idoc["number"]) for idoc in taken]
    numbers = "".join(f"<IDocAssign><TransferId>{a}</TransferId><DbId>{b}</DbId></IDocAssign>" for a, b in pairs)
    return 200, XML, envelope(f'<n:{name}.Response xmlns:n="{MESSAGES}">{numbers}</n:{name}.Response>')


def fault(text: str) -> Answer:
    return 500, XML, envelope(f"<s:Fault><faultcode>s:Client</faultcode><faultstring>{text}</faultstring></s:Fault>")


def envelope(body: str) -> bytes:
    return f'<?xml version="1.0"?><s:Envelope xmlns:s="{SOAP}"><s:Header/><s:Body>{body}</s:Body></s:Envelope>'.encode()
