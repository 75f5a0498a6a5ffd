"""The adapter `idoc`: IDocs as XML, in SOAP, for the service that SAP systems have at `/sap/bc/srt/idoc`.

The body is IDoc XML: `<ORDERS05><IDOC BEGIN="1"><EDI_DC40 SEGMENT="1">…` with the control record first. What comes
back is the answer's payload and, in the headers that SAP Cloud Integration has, the IDoc's numbers:

| header | what it holds |
|---|---|
| `sapidoctransferid`, `sapidocdbid` | the sender's number (DOCNUM) and the receiver's, of the first IDoc |
| `sapidocassignmap` | `transfer_id` and `db_id` of each IDoc |
| `sapidoctype` | IDOCTYP |
| `sapmessageid` | the id by which the receiver takes the IDoc once |

Sources: SAP note 1487606; message EA728 (one IDoc, once, in the namespace below, with an id in ARCKEY); "Configure the
IDoc Receiver Adapter" and "Headers and Exchange Properties" in SAP-docs/btp-integration-suite; IDoc XML: SAP Adapter
guide, "XML Format for Manually Defined IDocs"; mandatory control fields: Microsoft Learn, "Message schemas for IDoc
operations". Of the answer they say what it holds, not how the elements are written: those are known by their names,
`TransferId` and `DbId`, in any letter case, with and without underscore.
"""

import uuid
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import httpx2
from lxml import etree

from holdfast.errors import BackendError, BadInput
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.envelope import Element, Envelope, body_of, read, wrapped, written
from holdfast.flows.adapters.ids import message_id
from holdfast.flows.adapters.sending import Answer, Sending
from holdfast.flows.expressions import render
from holdfast.flows.failures import SoapFault, Unavailable
from holdfast.flows.message import Message
from holdfast.flows.parts import Receiver

NAMESPACE: Final = "urn:sap-com:document:sap:idoc:soap:messages"
ONCE: Final = "application/x-sap.idoc"
ID_PREFIX: Final = "urn:sap.com:msgid="
STILL_WORKING: Final = "MSGID_LOCKED"  # EA728: an earlier call with this id has not ended
NEEDED: Final = ("IDOCTYP", "MESTYP")


class Idoc(Receiver, frozen=True, kw_only=True, tag_field="adapter", tag="idoc"):
    """A receiver of IDocs. `auth`, `url` with `sap-client=…` and the rest are as everywhere.

    Args:
        content_type: `application/x-sap.idoc`: one IDoc, which the receiver takes once, so that a call is repeatable.
            `text/xml`: several, and each time that they come.
        message_id: What a message is taken once by (template), if not its delivery: an id that its sender repeats. It
            replaces what is in ARCKEY.
    """

    content_type: Literal["application/x-sap.idoc", "text/xml"] = ONCE
    message_id: str = ""


class IdocAdapter(Sending):
    """Sends IDocs to a receiver."""

    def __init__(self, name: str, options: Idoc, means: Means) -> None:
        super().__init__(name, options, means)
        self._options = options

    def safe(self, message: Message) -> bool:
        """Say whether the receiver takes it once."""
        return self._options.content_type == ONCE

    async def call(self, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID) -> Message:
        """Send the IDocs that are the message's body and return what the receiver says of them."""
        options, once = self._options, self.safe(message)
        identity = message_id(options.message_id, message, delivery).hex.upper()
        document = moved(body_of(message), NAMESPACE if once else "")
        controls = control_records(document)
        if once:
            _identify(controls, identity)
        headers = {"Content-Type": f"{options.content_type}; charset=utf-8", "SOAPAction": '""'}
        url = render(options.url, message.names, in_url=True)
        answer = await self.send(session, "POST", url, {**headers, **self.authorization(message)}, wrapped([document]))
        payload = self._envelope(answer).payload
        told = {
            **self._numbers(payload),
            "sapidoctype": _field(controls[0], "IDOCTYP"),
            **({"sapmessageid": identity} if once else {}),
            "content-type": "application/xml",
            "http-status": answer.status,
        }
        return message.changed(headers=told, body=None if payload is None else written(payload))

    def _envelope(self, answer: Answer) -> Envelope:
        try:
            return read(self, answer)
        except SoapFault as fault:
            if STILL_WORKING in f"{fault.text} {fault.detail}":
                raise Unavailable(f"{self.channel.name} is still busy with this IDoc") from fault
            raise

    def _numbers(self, payload: Element | None) -> dict[str, object]:
        """Return what the receiver made of the IDocs. An answer of nothing tells nothing."""
        if payload is None:
            return {}
        found = [
            {"transfer_id": fields.get("transferid", ""), "db_id": fields["dbid"]}
            for fields in map(_fields, payload.iter())
            if "dbid" in fields
        ]
        if not found:
            raise BackendError(f"{self.channel.name} answered with no number of an IDoc")
        first = found[0]
        return {
            "sapidoctransferid": first["transfer_id"],
            "sapidocdbid": first["db_id"],
            "sapidocassignmap": found,
        }


def moved(root: Element, namespace: str) -> Element:
    """Return an IDoc document in the namespace that says how it is taken. Raises BadInput: it is in a foreign one."""
    moved = etree.Element(_name_in(root, namespace), dict(root.attrib), {None: namespace} if namespace else None)
    moved.extend(list(root))
    for element in moved.iterdescendants():
        element.tag = _name_in(element, namespace)
    etree.cleanup_namespaces(moved)
    return moved


def control_records(document: Element) -> Sequence[Element]:
    """Return the control record of each IDoc. Raises BadInput: what is wrong with the document."""
    return [_control_record(idoc) for idoc in _idocs(document)]


def _idocs(document: Element) -> Iterator[Element]:
    if not len(document):
        raise BadInput("the body is no IDoc: there is no element IDOC in it")
    if len(document) > 1 and etree.QName(document).namespace:
        raise BadInput(
            "the body has several IDocs, where one is sent at a time",
            hint="Split it, or let the receiver's `content_type` be `text/xml`.",
        )
    for idoc in document:
        if etree.QName(idoc).localname != "IDOC":
            raise BadInput(f"the body is no IDoc: it has an element {etree.QName(idoc).localname} beside IDOC")
        yield idoc


def _control_record(idoc: Element) -> Element:
    names = [etree.QName(segment).localname for segment in idoc]
    if names[:1] != ["EDI_DC40"] or names.count("EDI_DC40") > 1:
        raise BadInput("the body is no IDoc: its first segment has to be the control record EDI_DC40")
    missing = [name for name in NEEDED if not _field(idoc[0], name)]
    if missing:
        raise BadInput(f"the IDoc's control record has no {' and no '.join(missing)}")
    return idoc[0]


def _identify(controls: Sequence[Element], identity: str) -> None:
    """Write the id into the control record, in the place that its field has there."""
    for control in controls:
        namespace = etree.QName(control).namespace
        for old in control.findall(f"{{{namespace}}}ARCKEY"):
            control.remove(old)
        key = etree.Element(f"{{{namespace}}}ARCKEY")
        key.text = ID_PREFIX + identity
        last = control.find(f"{{{namespace}}}SERIAL")
        control.insert(len(control) if last is None else control.index(last), key)


def _field(control: Element, name: str) -> str:
    return (control.findtext(f"{{*}}{name}") or "").strip()


def _fields(element: Element) -> dict[str, str]:
    """Return the texts of an element's children, by names that do not depend on how they are written."""
    return {etree.QName(child).localname.lower().replace("_", ""): (child.text or "").strip() for child in element}


def _name_in(element: Element, namespace: str) -> str:
    foreign, _, name = str(element.tag).rpartition("}")  # an IDoc has very many elements, and QName is slow
    if foreign not in ("", f"{{{NAMESPACE}"):
        raise BadInput(f"the body is no IDoc: its element {name} is in the namespace {foreign[1:]!r}")
    return f"{{{namespace}}}{name}" if namespace else name
