"""SOAP envelopes: what is put in comes out, faults of both versions, and what is no envelope."""

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BackendError, BadInput, LogonFailed
from holdfast.flows.adapters import Means
from holdfast.flows.adapters.envelope import (
    CONTENT_TYPES,
    NAMESPACES,
    Version,
    body_of,
    opened,
    parsed,
    read,
    wrapped,
    written,
)
from holdfast.flows.adapters.http import Http
from holdfast.flows.adapters.sending import Answer, Sending
from holdfast.flows.failures import CallRefused, SoapFault, Unavailable
from holdfast.flows.message import Message

ERP = Sending("erp", Http(url="http://erp"), Means())
FAULT_11 = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault><faultcode>e:Server</faultcode>'
    "<faultstring> no such plant </faultstring><detail><why>0815</why></detail></e:Fault></e:Body></e:Envelope>"
)
FAULT_12 = (
    '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><e:Fault><e:Code><e:Value>e:Sender</e:Value>'
    "<e:Subcode><e:Value>app:NoPlant</e:Value></e:Subcode></e:Code>"
    '<e:Reason><e:Text xml:lang="de">kein Werk</e:Text><e:Text xml:lang="en-GB">no such plant</e:Text></e:Reason>'
    "<e:Detail><why>0815</why></e:Detail></e:Fault></e:Body></e:Envelope>"
)
BOMB = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'


def answer(content: str | bytes, status: int = 200, kind: str = "text/xml") -> Answer:
    raw = content.encode() if isinstance(content, str) else content
    return Answer(status, httpx2.Headers({"content-type": kind}), raw)


@pytest.mark.parametrize("version", NAMESPACES)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=30))
@settings(max_examples=50, deadline=None)
def test_what_is_put_into_an_envelope_comes_out_of_it(version: Version, text: str) -> None:
    payload = parsed("<order xmlns='urn:shop'><note/></order>")
    payload[0].text = text
    block = parsed("<h:id xmlns:h='urn:head'>1</h:id>")
    envelope = opened(parsed(wrapped([payload], [block], version)))
    assert [element.tag for element in envelope.header] == ["{urn:head}id"]
    assert envelope.payload is not None
    assert envelope.payload.findtext("{urn:shop}note") in (text, text if text else None)
    assert payload.getparent() is None
    assert NAMESPACES[version] in wrapped([payload], version=version).decode()
    assert CONTENT_TYPES[version].endswith("charset=utf-8")


def test_an_envelope_without_blocks_has_no_header_and_an_empty_one_no_payload() -> None:
    assert b"Header" not in wrapped([])
    assert opened(parsed(wrapped([]))).payload is None


def test_a_part_that_is_taken_out_keeps_its_namespaces_and_leaves_what_stands_behind_it() -> None:
    text = '<e:Envelope xmlns:e="{}" xmlns:x="urn:x"><e:Body> <a x:b="x:c">d</a> tail </e:Body></e:Envelope>'
    payload = opened(parsed(text.format(NAMESPACES["1.1"]))).payload
    assert payload is not None
    again = parsed(written(payload))
    assert (again.text, again.get("{urn:x}b"), again.nsmap["x"]) == ("d", "x:c", "urn:x")
    assert "tail" not in written(payload)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "no XML, but a NoneType"),
        ({"a": 1}, "no XML, but a dict"),
        ("", "cannot be sent: it is no XML"),
        ("<a>", "cannot be sent: it is no XML"),
        (b"\xff\xfe\x00", "cannot be sent: it is no XML"),
        (BOMB, "document type"),
    ],
)
def test_a_body_that_is_no_xml_is_told_before_anything_is_sent(body: object, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        body_of(Message(body=body))


def test_a_text_is_read_as_the_text_it_is_whatever_encoding_it_names() -> None:
    assert body_of(Message(body='<?xml version="1.0" encoding="ISO-8859-1"?><a>ä</a>')).text == "ä"
    assert body_of(Message(body='<?xml version="1.0" encoding="ISO-8859-1"?><a>ä</a>'.encode("latin-1"))).text == "ä"


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(("fault", "code"), [(FAULT_11, "Server"), (FAULT_12, "NoPlant")])
def test_a_fault_is_an_error_whatever_its_status(fault: str, code: str, status: int) -> None:
    with pytest.raises(SoapFault, match="erp answered with a fault: no such plant") as caught:
        read(ERP, answer(fault, status))
    error = caught.value
    assert (error.code, error.fault, error.text, error.http_status) == ("soap_fault", code, "no such plant", status)
    assert parsed(error.detail).findtext("why") == "0815"
    assert error.answer == error.detail


def test_of_a_long_fault_only_the_beginning_is_told() -> None:
    with pytest.raises(SoapFault) as caught:
        read(ERP, answer(FAULT_11.replace("no such plant", "no " * 5000)))
    assert (len(caught.value.text), len(str(caught.value)) < 2100) == (2000, True)


@pytest.mark.parametrize(
    ("status", "error"), [(401, LogonFailed), (503, Unavailable), (429, Unavailable), (404, CallRefused)]
)
def test_a_status_says_what_is_done_next_and_the_fault_is_told_with_it(status: int, error: type[BackendError]) -> None:
    with pytest.raises(error, match=f"erp answered {status}$"):
        read(ERP, answer("<html><body>sorry</body></html>", status))
    with pytest.raises(error, match="no such plant"):
        read(ERP, answer(FAULT_11, status))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<html/>", "no SOAP envelope"),
        ("<a", "no XML"),
        (BOMB, "document type"),
        (f'<e:Envelope xmlns:e="{NAMESPACES["1.1"]}"/>', "no body"),
    ],
)
def test_an_answer_that_is_no_envelope_is_told(content: str, said: str) -> None:
    with pytest.raises(BackendError, match=f"erp answered 200 with something that is not SOAP: .*{said}"):
        read(ERP, answer(content))


def test_an_answer_of_nothing_is_an_empty_envelope() -> None:
    assert read(ERP, answer(" ", 202)).payload is None
