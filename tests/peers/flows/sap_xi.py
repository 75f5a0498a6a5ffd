"""An integration engine: takes XI messages and answers as S/4HANA and PO do.

It reads MIME with the `email` package. A message that is taken exactly once and comes again is answered with
DUPLICATE_DETECTED. `?mode=…`: `fault`, `system_error`, `application_error` refuse; `transient` does the first time;
`stranger` answers a message that nobody has sent; `unacknowledged` says nothing to a message that is taken once.
"""

import email
import email.policy
import re
import uuid
import xml.etree.ElementTree as ElementTree
from typing import Any

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
XI = "http://sap.com/xi/XI/Message/30"
XLINK = "http://www.w3.org/1999/xlink"
XML = "text/xml; charset=utf-8"
Answer = tuple[int, str, bytes]


class Service:
    """Keeps the messages that it has taken."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def key(self, headers: Any, body: bytes) -> str:
        """Return what is the same in a repeated call."""
        found = re.search(rb"MessageId>([^<]*)<", body)
        return found[1].decode() if found else ""

    def take(self, received: Any) -> Answer:
        try:
            message = read(received)
        except (LookupError, AttributeError, ElementTree.ParseError):
            return fault("XIProtocol", "PARSER", "ITEM_MISSING", "XIMessage/Header/Main")
        refused = refusal(received, message)
        if refused is not None:
            return refused
        once = message["quality"] != "BestEffort"
        known = any(message["id"] == earlier["id"] for earlier in self.messages)
        if not (once and known):
            self.messages.append(message)
        if not once:
            return response(message, len(self.messages), received.mode)
        if known:
            return acknowledged(message, "Error", "permanent", error("XIProtocol", "MESSAGE", "DUPLICATE_DETECTED"))
        if message["version"] == ("3", "1") or received.mode == "unacknowledged":
            return 202, XML, b""
        return acknowledged(message, "OK", "permanent")


def read(received: Any) -> dict[str, Any]:
    """Return what a message says."""
    if received.query.get("type") != "receiver" or not received.query.get("sap-client"):
        raise LookupError("this is not the engine's address")
    head = f"Content-Type: {received.headers['content-type']}\r\n\r\n".encode()
    whole = email.message_from_bytes(head + received.body, policy=email.policy.HTTP)
    parts = {part["content-id"]: part for part in whole.iter_parts()}
    envelope = ElementTree.fromstring(parts[whole.get_param("start")].get_payload(decode=True))
    main, reliable = (envelope.find(f"{{{SOAP}}}Header/{{{XI}}}{name}") for name in ("Main", "ReliableMessaging"))
    payloads = envelope.findall(f"{{{SOAP}}}Body/{{{XI}}}Manifest/{{{XI}}}Payload")
    listed = [payload_of(payload, parts) for payload in payloads]
    text = {element.tag.rpartition("}")[2]: element.text for element in main.iter()}
    interface = main.find(f"{{{XI}}}Interface")
    return {
        "id": text["MessageId"],
        "version": (main.get("versionMajor"), main.get("versionMinor")),
        "class": text["MessageClass"],
        "mode": text["ProcessingMode"],
        "sent": text["TimeSent"],
        "sender": party_of(main.find(f"{{{XI}}}Sender")),
        "receiver": party_of(main.find(f"{{{XI}}}Receiver")),
        "interface": [interface.get("namespace"), interface.text],
        "quality": reliable.findtext(f"{{{XI}}}QualityOfService"),
        "queue": reliable.findtext(f"{{{XI}}}QueueId"),
        "requested": sorted(name for name, value in reliable.items() if name.endswith("Requested") and value == "true"),
        "payload": listed[0]["content"],
        "parts": listed,
        "understood": [block.get(f"{{{SOAP}}}mustUnderstand") for block in envelope.find(f"{{{SOAP}}}Header")],
    }


def payload_of(payload: Any, parts: Any) -> dict[str, Any]:
    part = parts[f"<{payload.get(f'{{{XLINK}}}href').removeprefix('cid:')}>"]
    return {
        "name": payload.findtext(f"{{{XI}}}Name"),
        "kind": payload.findtext(f"{{{XI}}}Type"),
        "type": part["content-type"],
        "content": part.get_payload(decode=True).decode("latin-1"),
    }


def party_of(element: Any) -> list[str]:
    return [element.findtext(f"{{{XI}}}Party") or "", element.findtext(f"{{{XI}}}Service")]


def refusal(received: Any, message: dict[str, Any]) -> Answer | None:
    mode = received.mode
    if mode == "fault":
        return fault("XIProxy", "ABAP", "INTERFACE_SIGNATURE_ERROR", "no such interface")
    if mode == "system_error":
        return plain(500, message, "SystemError", error("XIAdapterFramework", "MESSAGE", "GENERAL", "Read timed out"))
    if mode == "application_error":
        told = error("Application", "UNKNOWN", "APPLICATION_ERROR", "no such order")
        return related(500, message, "ApplicationError", told, [("MainDocument", "Application", b"<why>4711</why>")])
    if mode == "transient" and not received.again:
        return acknowledged(message, "Error", "transient", error("XIServer", "INTERNAL", "QUEUE_LOCKED"))
    return None


def response(message: dict[str, Any], number: int, mode: str) -> Answer:
    answered = {**message, "id": "00000000-0000-0000-0000-00000000dead"} if mode == "stranger" else message
    attachments = [
        (part["name"], "ApplicationAttachment", part["content"].encode("latin-1")) for part in message["parts"][1:]
    ]
    main = ("MainDocument", "Application", f"<answer number='{number}'/>".encode())
    return related(200, answered, "ApplicationResponse", "", [main, *attachments])


def acknowledged(message: dict[str, Any], status: str, category: str, more: str = "") -> Answer:
    ack = f"<x:Ack s:mustUnderstand='1'><x:Status>{status}</x:Status><x:Category>{category}</x:Category></x:Ack>"
    return plain(200, message, "SystemAck", more + ack)


def plain(status: int, message: dict[str, Any], kind: str, blocks: str) -> Answer:
    return status, XML, envelope(header(message, kind) + blocks, "<x:Manifest/>")


def related(status: int, message: dict[str, Any], kind: str, blocks: str, payloads: list[Any]) -> Answer:
    entries = "".join(
        f"<x:Payload l:href='cid:{number}@erp'><x:Name>{name}</x:Name><x:Type>{what}</x:Type></x:Payload>"
        for number, (name, what, _) in enumerate(payloads)
    )
    root = envelope(header(message, kind) + blocks, f"<x:Manifest xmlns:l='{XLINK}'>{entries}</x:Manifest>")
    parts = [("root", XML, root), *((f"{number}@erp", XML, payload[2]) for number, payload in enumerate(payloads))]
    body = b"".join(
        f"--edge\r\nContent-Type: {kind}\r\nContent-Id: <{cid}>\r\n\r\n".encode() + content + b"\r\n"
        for cid, kind, content in parts
    )
    return status, 'multipart/related; boundary=edge; type="text/xml"; start="<root>"', body + b"--edge--\r\n"


def header(message: dict[str, Any], kind: str) -> str:
    return (
        f"<x:Main versionMajor='3' versionMinor='0' s:mustUnderstand='1'><x:MessageClass>{kind}</x:MessageClass>"
        f"<x:ProcessingMode>synchronous</x:ProcessingMode><x:MessageId>{str(uuid.uuid4()).upper()}</x:MessageId>"
        f"<x:RefToMessageId>{message['id'].upper()}</x:RefToMessageId><x:TimeSent>2023-04-14T11:31:01Z</x:TimeSent></x:Main>"
    )


def error(category: str, area: str, code: str, text: str = "") -> str:
    return (
        f"<x:Error xmlns:x='{XI}' s:mustUnderstand='1'><x:Category>{category}</x:Category><x:Code area='{area}'>{code}"
        f"</x:Code><x:P1>one</x:P1><x:P2/><x:AdditionalText>{text}</x:AdditionalText><x:Stack/></x:Error>"
    )


def fault(category: str, area: str, code: str, text: str) -> Answer:
    told = error(category, area, code, text)
    said = f"<faultcode>s:Client</faultcode><faultstring>Error in XI message</faultstring><detail>{told}</detail>"
    return 500, XML, envelope("", f"<s:Fault>{said}</s:Fault>")


def envelope(header: str, body: str) -> bytes:
    return (
        f"<s:Envelope xmlns:s='{SOAP}' xmlns:x='{XI}'><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()
