"""The adapter `soap` on the wire: what goes out, and answers that are not what they ought to be.

Services that answer as they ought to are in tests/peers/flows.
"""

import gzip
from typing import Any

import pytest

from flows.adapters.wire import HANG, answering, called, http
from holdfast.errors import (
    BackendError,
    BackendUnavailable,
    BadInput,
    ConfigurationError,
    HoldfastError,
    LogonFailed,
)
from holdfast.flows.adapters.envelope import NAMESPACES, opened, parsed
from holdfast.flows.failures import CallRefused, NotCarriedOut, SoapFault
from holdfast.flows.runtime import StepFailed

SOAP = NAMESPACES["1.1"]
HELLO = "<hello xmlns='urn:greet'>world</hello>"
BOMB = (
    "<!DOCTYPE b [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;&b;&b;&b;'>]>"
    f"<e:Envelope xmlns:e='{SOAP}'><e:Body><x>&c;&c;&c;&c;</x></e:Body></e:Envelope>"
)
OUTSIDE = f"<!DOCTYPE b SYSTEM 'http://127.0.0.1:9/b.dtd'><e:Envelope xmlns:e='{SOAP}'><e:Body/></e:Envelope>"
FAULT = "<e:Fault><faultcode>e:Server</faultcode><faultstring>out of order</faultstring></e:Fault>"


def envelope(body: str, version: str = "1.1") -> str:
    namespace = NAMESPACES["1.1" if version == "1.1" else "1.2"]
    return f"<?xml version='1.0'?><e:Envelope xmlns:e='{namespace}'><e:Body>{body}</e:Body></e:Envelope>"


async def failed(url: str, error: type[HoldfastError], text: str, body: Any = HELLO) -> None:
    """Let a call fail: with the flow's file and line, and without the password."""
    with pytest.raises(StepFailed, match=rf"^orders\.yaml:5: call: .*{text}") as caught:
        await called(f"adapter: soap, url: '{url}', auth: {{basic: anna}}, timeout: 0.5, max_answer: 5000", body)
    assert isinstance(caught.value.cause, error)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "kind", "action"),
    [
        ("", "text/xml; charset=utf-8", '""'),
        (", action: 'urn:${body[1:6]}'", "text/xml; charset=utf-8", '"urn:hello"'),
        (", action: 'a\"b'", "text/xml; charset=utf-8", '"a%22b"'),
        (", version: '1.2'", "application/soap+xml; charset=utf-8", None),
        (", version: '1.2', action: urn:greet", 'application/soap+xml; charset=utf-8; action="urn:greet"', None),
    ],
)
async def test_a_body_of_xml_goes_out_in_an_envelope(more: str, kind: str, action: str | None) -> None:
    # F16; SOAP 1.1 §6.1.1, SOAP 1.2 Part 2 §6.5.3
    async with answering(http(200, envelope("<ok/>"))) as wire:
        await called(f"adapter: soap, url: '{wire.url}/greet?a=b'{more}", HELLO)
    request = wire.requests[0]
    assert request.line == "POST /greet?a=b HTTP/1.1"
    assert (request.headers["content-type"], request.headers.get("soapaction")) == (kind, action)
    assert request.body.startswith(b"<?xml version='1.0' encoding='utf-8'?>")
    root = parsed(request.body)
    assert root.tag.startswith(f"{{{NAMESPACES['1.2' if '1.2' in more else '1.1']}}}")
    payload = opened(root).payload
    assert payload is not None
    assert (payload.tag, payload.text) == ("{urn:greet}hello", "world")


@pytest.mark.parametrize("version", NAMESPACES)
async def test_what_stands_in_the_answers_body_becomes_the_body(version: str) -> None:
    content = "<ok xmlns='urn:x' a='1'>ä&amp;</ok> <more xmlns='urn:x'/>"
    async with answering(http(200, envelope(content, version).encode("utf-16"), "text/xml; charset=utf-16")) as wire:
        answer = await called(f"adapter: soap, url: '{wire.url}'", HELLO)
    first, second = [parsed(line) for line in answer.body.split("\n")]
    assert (first.tag, first.get("a"), first.text, second.tag) == ("{urn:x}ok", "1", "ä&", "{urn:x}more")
    assert answer.headers["content-type"] == "application/xml"


async def test_compressed_envelopes_go_out_and_come_in() -> None:
    packed = gzip.compress(envelope("<ok/>").encode())
    async with answering(http(200, packed, **{"Content-Encoding": "gzip"})) as wire:
        answer = await called(f"adapter: soap, url: '{wire.url}', gzip: true", HELLO)
    assert parsed(answer.body).tag == "ok"
    assert wire.requests[0].headers["content-encoding"] == "gzip"
    assert b"world" in gzip.decompress(wire.requests[0].body)


async def test_a_session_cookie_is_no_header_of_the_message() -> None:
    async with answering(http(200, envelope("<ok/>"), **{"Set-Cookie": "JSESSIONID=1"})) as wire:
        answer = await called(f"adapter: soap, url: '{wire.url}'", HELLO)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("answer", "error", "text", "times"),
    [
        (http(500, envelope(FAULT)), SoapFault, "erp answered with a fault: out of order", 1),
        (http(200, envelope(FAULT)), SoapFault, "out of order", 1),
        (http(401, envelope(FAULT)), LogonFailed, "erp answered 401: out of order", 1),
        (http(503, envelope(FAULT)), BackendUnavailable, "erp answered 503: out of order", 1),
        (http(429), NotCarriedOut, "erp answered 429", 3),
        (http(500, "<html>sorry", "text/html"), CallRefused, "erp answered 500", 1),
        (http(302, "", Location="http://127.0.0.1:9/"), CallRefused, "erp answered 302", 1),
        (http(200, "<html/>", "text/html"), BackendError, "something that is not SOAP: it is no SOAP envelope", 1),
        (http(200, "hello"), BackendError, "not SOAP: it is no XML", 1),
        (http(200, envelope("<a>")), BackendError, "not SOAP: it is no XML", 1),
        (http(200, f"<e:Envelope xmlns:e='{SOAP}'/>"), BackendError, "not SOAP: its envelope has no body", 1),
        (http(200, "<e:Envelope xmlns:e='urn:else'/>"), BackendError, "it is no SOAP envelope", 1),
        (http(200, BOMB), BackendError, "not SOAP: it has a document type declaration", 1),
        (http(200, OUTSIDE), BackendError, "not SOAP: it has a document type declaration", 1),
        (http(200, envelope("x" * 6000)), BackendError, "erp answered with more than 5,000 bytes", 1),
        (
            http(200, gzip.compress(b"x" * 90_000), **{"Content-Encoding": "gzip"}),
            BackendError,
            "erp answered with more than 5,000 bytes",
            1,
        ),
        (http(200, b"no gzip", **{"Content-Encoding": "gzip"}), BackendUnavailable, "erp did not answer", 1),
        (http(200, envelope("<ok/>"))[:-20], BackendUnavailable, "erp did not answer", 1),
        (b"", BackendUnavailable, "erp did not answer", 1),
        (b"what?\r\n\r\n", BackendUnavailable, "erp did not answer", 1),
        (HANG, BackendUnavailable, "erp did not answer within 0.5 s", 1),
    ],
)
async def test_an_answer_that_is_not_what_it_ought_to_be_is_told(
    answer: bytes | None, error: type[HoldfastError], text: str, times: int
) -> None:
    # F17: a POST is not repeated unless it was not carried out
    async with answering(answer) as wire:
        await failed(wire.url, error, text)
    assert len(wire.requests) == times


async def test_an_answer_of_nothing_is_an_error_unless_the_receiver_is_one_way() -> None:
    async with answering(http(202)) as wire:
        await failed(wire.url, BackendError, "erp answered 202 and nothing else")
        answer = await called(f"adapter: soap, url: '{wire.url}', one_way: true", HELLO)
    assert (answer.body, answer.headers["http-status"]) == (None, 202)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"a": 1}, "the body holds values, and nothing says which operation they are for"),
        (None, "the body is no XML, but a NoneType"),
        (7, "the body is no XML, but a int"),
        ("hello", "the body cannot be sent: it is no XML"),
        (BOMB, "the body cannot be sent: it has a document type declaration"),
        (envelope("<a/>"), "the body is an envelope already"),
    ],
)
async def test_a_body_that_cannot_be_sent_is_told_and_nothing_goes_out(body: Any, text: str) -> None:
    async with answering(http(200)) as wire:
        await failed(wire.url, BadInput, text, body=body)
    assert wire.requests == []


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("operation: Place", "`operation`, `service` and `port` are those of a `wsdl`, and there is none"),
        ("soap_header: '<a>'", "`soap_header` cannot be used: it is no XML"),
        ("soap_header: '<a/>'", "each element of `soap_header` needs a namespace"),
        ("version: '2.0'", "invalid enum value '2.0'"),
        ("token: {digest: true}", "missing required field `credential`"),
    ],
)
@pytest.mark.parametrize("adapter", ["soap", "sap_rm"])
async def test_settings_that_cannot_be_are_told_with_their_line(adapter: str, more: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^orders\.yaml:3: .*{text}"):
        await called(f"adapter: {adapter}, url: 'http://127.0.0.1:9', {more}", HELLO)
