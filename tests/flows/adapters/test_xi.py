"""The adapter `xi`: answers as engines of several kinds write them, and settings. `tests/peers/flows` has the wire.

The answers have the shape of those that S/4HANA, Process Orchestration 7.5 and Cloud Integration gave, as recorded in
github.com/rsugio/karlutka.
"""

import re
import uuid

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.flows_world import running_flow
from flows.adapters.wire import answering, called, http
from holdfast.errors import BackendError, BackendUnavailable, ConfigurationError
from holdfast.flows.adapters import Means
from holdfast.flows.adapters.http import Http
from holdfast.flows.adapters.mime import multipart
from holdfast.flows.adapters.sending import Answer, Sending
from holdfast.flows.adapters.xi.adapter import Component, Xi, XiAdapter
from holdfast.flows.adapters.xi.reading import Incoming, incoming
from holdfast.flows.adapters.xi.writing import Address, Outgoing, Payload
from holdfast.flows.failures import CallRefused, SoapFault, Unavailable
from holdfast.flows.message import Message
from holdfast.flows.runtime import StepFailed

WHO = "sender: {service: SHOP}, receiver: {service: ERP}, interface: I, namespace: n"
ERP = Sending("erp", Http(url="http://erp"), Means())
XML = "text/xml; charset=utf-8"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
XI = "http://sap.com/xi/XI/Message/30"
OURS = "00000000-0000-0000-0000-000000000033"
S4_ACK = f"""\
<SOAP:Envelope xmlns:SOAP="{SOAP}"><SOAP:Header xmlns:SOAP="{SOAP}"><SAP:Main versionMajor="003" versionMinor="001"
 SOAP:mustUnderstand="1" xmlns:SAP="{XI}" xmlns:SOAP="{SOAP}"><SAP:MessageClass>SystemAck</SAP:MessageClass>
<SAP:MessageId>005056BF-38E0-1EDD-B88D-3831DA9DF40F</SAP:MessageId><SAP:RefToMessageId>{OURS}</SAP:RefToMessageId>
<SAP:Sender><SAP:Service/></SAP:Sender></SAP:Main><SAP:Ack SOAP:mustUnderstand="1" arrivedAtFinalReceiver="true"
 xmlns:SAP="{XI}"><SAP:Status>OK</SAP:Status><SAP:Category>permanent</SAP:Category></SAP:Ack></SOAP:Header>
<SOAP:Body xmlns:SOAP="{SOAP}"><SAP:Manifest xmlns:SAP="{XI}"/></SOAP:Body></SOAP:Envelope>"""
PO_ACK = f"""\
<SOAP:Envelope xmlns:SOAP='{SOAP}'><SOAP:Header><sap:Ack xmlns:sap='{XI}'><sap:Status>OK</sap:Status></sap:Ack>
<sap:Main xmlns:sap='{XI}' versionMajor='3' versionMinor='1'><sap:MessageClass>SystemAck</sap:MessageClass>
<sap:MessageId>68b6b46a-e068-11ed-80be-000000417ca6</sap:MessageId><sap:RefToMessageId>{OURS}</sap:RefToMessageId>
</sap:Main></SOAP:Header><SOAP:Body/></SOAP:Envelope>"""
ABAP_ERROR = f"""\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?><!-- incoming -->
<SOAP:Envelope xmlns:SOAP="{SOAP}"><SOAP:Header><SAP:Main xmlns:SAP="{XI}"><SAP:MessageClass>SystemError
</SAP:MessageClass><SAP:RefToMessageId>{OURS}</SAP:RefToMessageId></SAP:Main>
<SAP:Error xmlns:SAP="{XI}"><SAP:Category>XIAdapterFramework</SAP:Category><SAP:Code area="MESSAGE">GENERAL
</SAP:Code><SAP:P1/><SAP:P2>two</SAP:P2><SAP:AdditionalText>Read timed out</SAP:AdditionalText><SAP:Retry>M</SAP:Retry>
</SAP:Error></SOAP:Header><SOAP:Body/></SOAP:Envelope>"""
STACK_FAULT = f"""\
<soap:Envelope xmlns:soap="{SOAP}"><soap:Body><soap:Fault><faultcode>soap:Client</faultcode><faultstring>Server Error
</faultstring><faultactor>{XI}</faultactor><detail><SAP:Error xmlns:SAP="{XI}" soap:mustUnderstand="1">
<SAP:Category>XIProtocol</SAP:Category><SAP:Code area="PARSING">GENERAL</SAP:Code><SAP:Stack><![CDATA[No receiver found
\tat com.example.Handler(Handler.java:839)]]></SAP:Stack></SAP:Error></detail></soap:Fault></soap:Body>
</soap:Envelope>"""
CI_ROOT = f"""\
<soap:Envelope xmlns:soap="{SOAP}"><soap:Header xmlns:xi="{XI}"><xi:Main soap:mustUnderstand="1"><xi:MessageClass>
ApplicationResponse</xi:MessageClass><xi:RefToMessageId>{OURS}</xi:RefToMessageId></xi:Main></soap:Header><soap:Body
 xmlns:xi="{XI}" xmlns:xlink="http://www.w3.org/1999/xlink"><xi:Manifest><xi:Payload xlink:href="cid:7-9@cxf"><xi:Name>
MainDocument</xi:Name><xi:Type>Application</xi:Type></xi:Payload></xi:Manifest></soap:Body></soap:Envelope>"""
CI_TYPE = 'multipart/related; type="text/xml"; boundary="uuid:26"; start="<root.message@cxf>"; start-info="text/xml"'
CI_RESPONSE = (
    f"\r\n--uuid:26\r\nContent-Type: text/xml\r\nContent-ID: <7-9@cxf>\r\n\r\n<answer/>\r\n"
    f"--uuid:26\r\nContent-Type: text/xml\r\nContent-ID: <root.message@cxf>\r\n\r\n{CI_ROOT}\r\n--uuid:26--\r\n\r\n"
)


def came(content: str | bytes, kind: str = XML, status: int = 200) -> Incoming:
    raw = content.encode() if isinstance(content, str) else content
    return incoming(ERP, Answer(status, httpx2.Headers({"content-type": kind}), raw))


@pytest.mark.parametrize(("content", "category"), [(S4_ACK, "permanent"), (PO_ACK, "")])
def test_acknowledgements_of_either_kind_of_engine_are_read(content: str, category: str) -> None:
    read = came(content)
    assert (read.kind, read.ack, read.ack_category, read.refers_to) == ("SystemAck", "OK", category, OURS)
    assert (read.error, read.fault, list(read.payloads)) == (None, None, [])


def test_the_response_is_found_wherever_it_stands_among_the_parts() -> None:
    read = came(CI_RESPONSE, CI_TYPE)
    assert (read.kind, read.refers_to) == ("ApplicationResponse", OURS)
    assert read.payloads == [Payload("MainDocument", "text/xml", b"<answer/>")]
    parts = CI_RESPONSE.partition("--uuid:26\r\n")[2].split("--uuid:26")
    turned = f"--uuid:26{parts[1]}--uuid:26\r\n{parts[0]}--uuid:26--"
    assert came(turned, CI_TYPE.replace("start=", "begin=")).payloads == read.payloads


@pytest.mark.parametrize("status", [200, 500])
def test_an_error_is_read_from_the_header_and_from_a_fault(status: int) -> None:
    error = came(ABAP_ERROR, status=status).error
    assert error is not None
    assert (error.category, error.area, error.fault) == ("XIAdapterFramework", "MESSAGE", "GENERAL")
    assert (error.text, error.parameters, error.http_status) == ("Read timed out", ("", "two", "", ""), status)
    told = came(STACK_FAULT, status=status)
    assert told.error is not None
    assert (told.error.said, told.fault) == ("No receiver found (XIProtocol.PARSING.GENERAL)", None)


def test_an_envelope_of_nothing_accepts_and_one_of_something_else_is_told() -> None:
    assert came(f'<e:Envelope xmlns:e="{SOAP}"><e:Header/><e:Body/></e:Envelope>') == Incoming()
    with pytest.raises(BackendError, match="answered 200 with something that is no XI message"):
        came(f'<e:Envelope xmlns:e="{SOAP}"><e:Body><other/></e:Body></e:Envelope>')


def test_what_an_engine_says_is_cut_before_it_is_told() -> None:
    error = came(ABAP_ERROR.replace("Read timed out", "o" * 5000)).error
    assert error is not None
    assert (len(error.text), len(str(error.answer))) == (500, 2000)


def test_a_fault_of_something_that_is_no_engine_stays_a_fault() -> None:
    text = (
        f'<e:Envelope xmlns:e="{SOAP}"><e:Body><e:Fault><faultcode>e:Server</faultcode></e:Fault></e:Body></e:Envelope>'
    )
    read = came(text, status=500)
    assert read.error is None
    assert read.fault is not None
    assert read.fault.fault == "Server"


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (CI_RESPONSE, "multipart/related", "malformed: it names no boundary"),
        (CI_RESPONSE[:-20], CI_TYPE, "malformed: it has no end"),
        ("--uuid:26--", CI_TYPE, "malformed: it has no part"),
        (CI_RESPONSE.replace("cid:7-9", "cid:8"), CI_TYPE, "a payload that is not there"),
        (CI_RESPONSE.replace("cid:7-9@cxf", "http://evil/"), CI_TYPE, "a payload that is not there"),
        (CI_RESPONSE.replace("soap:Envelope", "soap:Envelop"), CI_TYPE, "no SOAP envelope"),
    ],
)
def test_a_malformed_answer_is_told(content: str, kind: str, said: str) -> None:
    with pytest.raises(BackendError, match=said):
        came(content, kind)
    with pytest.raises(CallRefused if "payload" not in said else BackendError):
        came(content, kind, 500)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
PAYLOADS = st.builds(
    Payload, name=TEXTS.filter(str.strip).map(str.strip), content_type=st.just("a/b"), content=st.binary()
)


@given(payloads=st.lists(PAYLOADS, min_size=1, max_size=4), text=TEXTS, id=st.uuids())
@settings(max_examples=50, deadline=None)
def test_what_is_written_can_be_read(payloads: list[Payload], text: str, id: uuid.UUID) -> None:  # noqa: A002
    message = Outgoing(
        id=id,
        sent_at=0.0,
        quality="ExactlyOnceInOrder",
        queue="Q",
        minor_version="0",
        sender=Address(text, text),
        receiver=Address(text),
        interface=text,
        namespace=text,
        acks=("system",),
        payloads=payloads,
    )
    kind, content = message.written()
    assert b"<SAP:TimeSent>1970-01-01T00:00:00Z</SAP:TimeSent>" in content
    read = came(content, kind)
    assert (read.kind, read.id, read.payloads) == ("ApplicationMessage", str(id), payloads)


@given(st.binary(max_size=120), st.sampled_from([XML, CI_TYPE, "text/html"]), st.sampled_from([200, 500]))
@settings(max_examples=60, deadline=None)
def test_any_answer_is_read_or_told(content: bytes, kind: str, status: int) -> None:
    for raw in (content, b"--uuid:26\r\n\r\n" + content + b"\r\n--uuid:26--"):
        try:
            assert isinstance(came(raw, kind, status), Incoming)
        except BackendError:
            continue


def permanent(category: str = "permanent") -> str:
    """Return an acknowledgement of a failure that does not say which."""
    ack = f"<x:Ack><x:Status>Error</x:Status><x:Category>{category}</x:Category></x:Ack>"
    main = "<x:Main><x:MessageClass>SystemAck</x:MessageClass></x:Main>"
    return f"<e:Envelope xmlns:e='{SOAP}' xmlns:x='{XI}'><e:Header>{main}{ack}</e:Header><e:Body/></e:Envelope>"


@pytest.mark.parametrize(
    ("answer", "error", "said", "times"),
    [
        (http(200, permanent()), CallRefused, "erp answered 200: SystemAck", 1),
        (http(200, permanent("transient")), Unavailable, "cannot take the message now: no reason", 3),
        (http(500, PO_ACK.replace(OURS, "")), CallRefused, "erp answered 500: SystemAck", 1),
        (http(503, STACK_FAULT), Unavailable, r"erp answered 503: No receiver found \(XIProtocol", 3),
        (
            http(500, STACK_FAULT.replace("SAP:Error", "SAP:Other")),
            SoapFault,
            r"a fault: Server Error \(soap:Client",
            1,
        ),
        (b"", BackendUnavailable, "erp did not answer", 3),
    ],
)
async def test_an_answer_that_does_not_accept_is_an_error(
    answer: bytes, error: type[BackendError], said: str, times: int
) -> None:
    async with answering(answer) as erp:
        with pytest.raises(StepFailed, match=said) as caught:
            await called(f"adapter: xi, url: '{erp.url}', {WHO}", "<order/>")
        assert isinstance(caught.value.cause, error)
        assert len(erp.requests) == times
        assert len({re.search(b"MessageId>([^<]*)", request.body)[1] for request in erp.requests}) == 1  # type: ignore[index]


async def test_a_response_is_what_it_says_it_is_or_told() -> None:
    root = CI_ROOT.replace(f"<xi:RefToMessageId>{OURS}</xi:RefToMessageId>", "")
    for content, body in ((b'{"n": 1}', {"n": 1}), (b"{", None)):
        kinds = (("7-9@cxf", "application/json", content), ("root.message@cxf", "text/xml", root.encode()))
        parts = [({"Content-ID": f"<{cid}>", "Content-Type": kind}, part) for cid, kind, part in kinds]
        async with answering(http(200, multipart(parts, "uuid:26"), CI_TYPE)) as erp:
            receiver = f"adapter: xi, url: '{erp.url}', {WHO}, quality: best_effort"
            if body is not None:
                assert (await called(receiver, "<order/>")).body == body
                continue
            with pytest.raises(StepFailed, match="erp answered with something else than it says"):
                await called(receiver, "<order/>")


async def test_an_order_without_a_declaration_of_its_own_goes_out_in_utf_8() -> None:
    async with answering(http(202)) as erp:
        await called(f"adapter: xi, url: '{erp.url}', {WHO}", "<?xml version='1.0' encoding='ISO-8859-1'?><a>ä</a>")
        (request,) = erp.requests
    assert "<?xml version='1.0' encoding='utf-8'?><a>ä</a>".encode() in request.body
    assert request.headers["soapaction"] == '""'
    assert "authorization" not in request.headers


def adapter(**more: object) -> XiAdapter:
    who = Component(service="A")
    options = Xi(url="http://erp", sender=who, receiver=who, interface="I", namespace="n", **more)  # type: ignore[arg-type]
    return XiAdapter("erp", options, Means())


def test_a_call_is_repeatable_where_the_engine_takes_a_message_once() -> None:  # F17
    qualities = [{}, {"quality": "exactly_once_in_order", "queue": "Q"}, {"quality": "best_effort"}]
    assert [adapter(**more).repeatable(Message()) for more in qualities] == [True, True, False]
    assert not adapter(stateful=True).repeatable(Message())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (f"{WHO}, queue: Q", r"orders\.yaml:2: a `queue` belongs to the quality exactly_once_in_order"),
        (f"{WHO}, quality: exactly_once_in_order", r"orders\.yaml:2: a `queue` belongs"),
        (f"{WHO}, quality: best_effort, acks: [system]", r"orders\.yaml:2: .* is not acknowledged"),
        (f"{WHO}, quality: twice", r"orders\.yaml:2: invalid enum value 'twice'"),
        (f"{WHO}, version: '2.0'", r"orders\.yaml:2: invalid enum value '2\.0'"),
        (WHO.replace("SHOP", "''"), r"orders\.yaml:2: "),
        (WHO.replace("interface: I, ", ""), r"orders\.yaml:2: .*missing required field `interface`"),
        (f"{WHO}, attachments: '${{no}}'", r"orders\.yaml:2: the name 'no'"),
    ],
)
async def test_settings_that_make_no_sense_are_told_with_their_line(options: str, said: str) -> None:
    text = f"flow: f\nreceivers: {{erp: {{adapter: xi, url: 'http://erp', {options}}}}}\nsteps:\n- call: erp"
    with pytest.raises(ConfigurationError, match=said):
        async with running_flow(text):
            pass
