"""The adapter `idoc`: what makes an IDoc, and how it goes out. `tests/peers/flows` has it on the wire."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from flows.adapters.wire import answering, called, http
from holdfast.errors import BadInput, ConfigurationError
from holdfast.flows.adapters import ADAPTERS, Means
from holdfast.flows.adapters.envelope import parsed
from holdfast.flows.adapters.idoc import NAMESPACE, Idoc, IdocAdapter, control_records, moved
from holdfast.flows.adapters.ids import message_id
from holdfast.flows.message import Message
from holdfast.flows.model import read_flow

CONTROL = '<EDI_DC40 SEGMENT="1"><IDOCTYP>ORDERS05</IDOCTYP><MESTYP>ORDERS</MESTYP></EDI_DC40>'
UNSAID = '<IDOC xmlns="" BEGIN="1">'  # in no namespace, whatever is around it
FOREIGN = '<E1EDK01 xmlns="urn:y"/>'
IDOC = f'<IDOC BEGIN="1">{CONTROL}<E1EDK01 SEGMENT="1"><BELNR>1</BELNR></E1EDK01></IDOC>'
DELIVERY = uuid.UUID("0f3b6a52-6d8e-4a51-9f0c-6d2f2d1f5b7e")


def checked(text: str, namespace: str = NAMESPACE) -> str:
    document = moved(parsed(text), namespace)
    control_records(document)
    return etree.tostring(document, encoding="unicode")


@pytest.mark.parametrize(
    "given",
    [
        f"<ORDERS05>{IDOC}</ORDERS05>",
        f'<ORDERS05 xmlns="{NAMESPACE}">{IDOC}</ORDERS05>',
        f'<n:ORDERS05 xmlns:n="{NAMESPACE}">{IDOC}</n:ORDERS05>',
        f'<ORDERS05 xmlns="{NAMESPACE}"><!-- of today -->\n{UNSAID}{IDOC[16:]}</ORDERS05>',
    ],
)
def test_an_idoc_goes_out_in_the_namespace_of_how_it_is_taken(given: str) -> None:
    once, each_time = parsed(checked(given)), parsed(checked(given, ""))
    names = ["ORDERS05", "IDOC", "EDI_DC40", "IDOCTYP", "MESTYP", "E1EDK01", "BELNR"]
    assert [element.tag for element in once.iter()] == [f"{{{NAMESPACE}}}{name}" for name in names]
    assert [element.tag for element in each_time.iter()] == names
    assert once[0].get("BEGIN") == each_time[0].get("BEGIN") == "1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<ORDERS05/>", "no element IDOC"),
        (f"<ORDERS05>{IDOC}<OTHER/></ORDERS05>", "several IDocs"),
        ("<ORDERS05><E1EDK01/></ORDERS05>", "an element E1EDK01 beside IDOC"),
        ("<ORDERS05><IDOC/></ORDERS05>", "control record EDI_DC40"),
        ("<ORDERS05><IDOC><E1EDK01/></IDOC></ORDERS05>", "control record EDI_DC40"),
        (f"<ORDERS05><IDOC><E1EDK01/>{CONTROL}</IDOC></ORDERS05>", "control record EDI_DC40"),
        (f"<ORDERS05><IDOC>{CONTROL}{CONTROL}</IDOC></ORDERS05>", "control record EDI_DC40"),
        ("<ORDERS05><IDOC><EDI_DC40/></IDOC></ORDERS05>", "no IDOCTYP and no MESTYP"),
        (f"<ORDERS05>{IDOC.replace('<MESTYP>ORDERS', '<MESTYP> ')}</ORDERS05>", "has no MESTYP"),
        (f"<ORDERS05>{IDOC}{IDOC}</ORDERS05>", "several IDocs, where one is sent at a time"),
        (f"<ORDERS05 xmlns='urn:x'>{IDOC}</ORDERS05>", "in the namespace 'urn:x'"),
        (f"<ORDERS05><IDOC>{CONTROL}{FOREIGN}</IDOC></ORDERS05>", "in the namespace 'urn:y'"),
    ],
)
def test_what_is_no_idoc_is_told_before_anything_is_sent(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        checked(text)


def test_several_idocs_are_one_document_where_each_is_taken_each_time() -> None:
    assert len(control_records(moved(parsed(f"<ORDERS05>{IDOC}{IDOC}</ORDERS05>"), ""))) == 2


async def test_the_id_stands_in_its_place_whatever_was_there() -> None:
    old = CONTROL.replace("</EDI_DC40>", "<ARCKEY>old</ARCKEY><SERIAL>1</SERIAL></EDI_DC40>")
    async with answering(http(202)) as erp:
        for control in (CONTROL, old):
            await called(f"adapter: idoc, url: '{erp.url}'", f"<ORDERS05><IDOC>{control}</IDOC></ORDERS05>")
        assert {request.headers["content-type"] for request in erp.requests} == {
            "application/x-sap.idoc; charset=utf-8"
        }
        first, second = (parsed(request.body).find(".//{*}EDI_DC40") for request in erp.requests)
    assert first is not None
    assert second is not None
    assert [etree.QName(field).localname for field in first] == ["IDOCTYP", "MESTYP", "ARCKEY"]
    assert [etree.QName(field).localname for field in second] == ["IDOCTYP", "MESTYP", "ARCKEY", "SERIAL"]
    assert (second.findtext("{*}ARCKEY") or "").startswith("urn:sap.com:msgid=")


@pytest.mark.parametrize(
    ("settings", "repeatable"),
    [
        ({}, True),
        ({"content_type": "text/xml"}, False),
        ({"content_type": "text/xml", "repeatable": True}, True),
        ({"stateful": True}, False),
    ],
)
def test_a_call_is_repeatable_where_the_receiver_takes_an_idoc_once(
    settings: dict[str, object], repeatable: bool
) -> None:
    # F17
    options = Idoc(url="http://erp/sap/bc/srt/idoc", **settings)  # type: ignore[arg-type]
    assert ADAPTERS[Idoc] is IdocAdapter
    assert IdocAdapter("erp", options, Means()).repeatable(Message()) is repeatable


@given(st.text(max_size=40))
@settings(max_examples=50)
def test_an_id_is_made_of_what_names_the_message_and_of_its_delivery_where_nothing_does(name: str) -> None:
    message = Message(headers={"id": name})
    made = message_id("${headers.id}", message, DELIVERY)
    assert made == message_id("${headers.id}", Message(headers={"id": f" {name} "}), DELIVERY)
    assert (made == DELIVERY) == (not name.strip())
    assert message_id(str(made).upper(), message, DELIVERY) == message_id(made.hex, message, DELIVERY) == made
    assert message_id("", message, DELIVERY) == DELIVERY


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("content_type: application/json", r"orders\.yaml:2: invalid enum value"),
        ("message_id: '${headers.}'", r"orders\.yaml:2: "),
        ("path: /x", "'path' is not known"),
    ],
)
def test_settings_that_make_no_sense_are_told_with_their_line(settings: str, said: str) -> None:
    text = f"flow: f\nreceivers: {{erp: {{adapter: idoc, url: 'http://erp', {settings}}}}}\nsteps:\n- call: erp"
    with pytest.raises(ConfigurationError, match=said):
        read_flow(text, "orders.yaml")
