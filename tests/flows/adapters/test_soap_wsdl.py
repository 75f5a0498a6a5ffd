"""WSDLs: what cannot be used is told when the flow is deployed, and nothing is fetched from elsewhere."""

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flows.adapters.wire import HANG, answering, called, http
from holdfast.errors import BackendError, ConfigurationError
from holdfast.flows.adapters import soap_documents
from holdfast.flows.adapters.envelope import opened, parsed
from holdfast.flows.runtime import StepFailed

TYPES = """
<xs:element name="Ask"><xs:complexType><xs:sequence>
  <xs:element name="day" type="xs:date" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>
<xs:element name="Answer"><xs:complexType><xs:sequence>
  <xs:element name="count" type="xs:int"/><xs:element name="on" type="xs:date" minOccurs="0"/>
  <xs:any minOccurs="0" processContents="skip"/></xs:sequence></xs:complexType></xs:element>"""
LONE = "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema' targetNamespace='urn:a' elementFormDefault='qualified'>"
ANSWER = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body>%s</e:Body></e:Envelope>"


def wsdl(types: str = TYPES, start: str = "", more: str = "") -> str:
    """Return a WSDL of one operation, `Ask`."""
    return f"""{start}<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/"
  xmlns:a="urn:a" targetNamespace="urn:a">{more}
<types>{LONE}{types}</xs:schema></types>
<message name="In"><part name="p" element="a:Ask"/></message>
<message name="Out"><part name="p" element="a:Answer"/></message>
<portType name="T"><operation name="Ask"><input message="a:In"/><output message="a:Out"/></operation></portType>
<binding name="B" type="a:T"><s:binding transport="http://schemas.xmlsoap.org/soap/http"/><operation name="Ask">
  <s:operation soapAction="urn:ask"/><input><s:body use="literal"/></input><output><s:body use="literal"/></output>
</operation></binding>
<service name="S"><port name="P" binding="a:B"><s:address location="http://127.0.0.1:9/"/></port></service>
</definitions>"""


async def asked(folder: Path, url: str = "http://127.0.0.1:9", more: str = "wsdl: a.wsdl", body: Any = None) -> Any:
    """Return what the operation answers; the flow and its WSDL are in the folder."""
    receiver = f"adapter: soap, url: '{url}', {more}, auth: {{basic: anna}}, timeout: 2"
    return (await called(receiver, body, file=str(folder / "orders.yaml"))).body


async def refused(folder: Path, text: str, more: str = "wsdl: a.wsdl", **settings: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"(?s)orders\.yaml:3: .*{text}"):
        await asked(folder, more=more, **settings)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hello", "a.wsdl is no WSDL that can be used: XMLSyntaxError"),
        ("<a/>", "a.wsdl has no port that speaks SOAP 1.1; there are: none"),
        (wsdl(start="<!DOCTYPE definitions [<!ENTITY a 'b'>]>"), "is no WSDL that can be used: DTDForbidden"),
        (wsdl(start="<!DOCTYPE d SYSTEM 'http://127.0.0.1:9/d.dtd'>"), "is no WSDL that can be used: DTDForbidden"),
        (wsdl(types=TYPES + "<xs:element name='x' type='a:nowhere'/>"), "is no WSDL that can be used: LookupError"),
        (wsdl().replace('type="a:T"', 'type="a:U"'), "is no WSDL that can be used: IndexError: .*U"),
        (wsdl().replace("</definitions>", ""), "is no WSDL that can be used: XMLSyntaxError"),
    ],
)
async def test_a_wsdl_that_is_wrong_is_told_with_the_flows_line(tmp_path: Path, content: str, text: str) -> None:
    (tmp_path / "a.wsdl").write_text(content)
    await refused(tmp_path, text)


@pytest.mark.filterwarnings("ignore::UserWarning")
async def test_an_operation_whose_message_is_nowhere_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.wsdl").write_text(wsdl().replace('element="a:Ask"', 'element="a:Else"'))
    await refused(tmp_path, "has no operation 'Ask'; there are: none", "wsdl: a.wsdl, operation: Ask")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("wsdl: b.wsdl", "b.wsdl cannot be read .FileNotFoundError"),
        ("wsdl: a.wsdl, version: '1.2'", r"has no port that speaks SOAP 1.2; there are: S/P \(SOAP 1.1\)"),
        ("wsdl: a.wsdl, service: T", r"has no T that speaks SOAP 1.1; there are: S/P"),
        ("wsdl: a.wsdl, service: S, port: Q", r"has no S/Q that speaks SOAP 1.1; there are: S/P"),
        ("wsdl: a.wsdl, operation: Tell", "has no operation 'Tell'; there are: Ask"),
        ("wsdl: 'http://127.0.0.1:9/a.wsdl'", r"http://127.0.0.1:9/a.wsdl cannot be loaded \(ConnectError\)"),
        ("wsdl: 'ftp://127.0.0.1/a.wsdl'", "`wsdl` is a file, or an http or https URL"),
        ("wsdl: 'file:///etc/hostname'", "`wsdl` is a file, or an http or https URL"),
    ],
)
async def test_settings_that_do_not_fit_the_wsdl_are_told(tmp_path: Path, more: str, text: str) -> None:
    (tmp_path / "a.wsdl").write_text(wsdl())
    await refused(tmp_path, text, more)


async def test_a_wsdl_imports_what_is_beside_it(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.xsd").write_text(f"{LONE}{TYPES}</xs:schema>")
    (tmp_path / "a.wsdl").write_text(wsdl("<xs:include schemaLocation='parts/a.xsd'/>"))
    async with answering(http(200, ANSWER % "<Answer xmlns='urn:a'><count>7</count></Answer>")) as wire:
        assert await asked(tmp_path, wire.url) == {"count": 7, "on": None, "_value_1": None}
    assert wire.requests[0].headers["soapaction"] == '"urn:ask"'


@pytest.mark.parametrize("form", ["types", "definitions"])
@pytest.mark.parametrize("where", ["../a.xsd", "{outside}", "file://{outside}", "{url}/a.xsd", "link.xsd"])
async def test_nothing_is_taken_from_elsewhere(tmp_path: Path, where: str, form: str) -> None:
    outside, inside = tmp_path / "a.xsd", tmp_path / "flows"
    outside.write_text(f"{LONE}{TYPES}</xs:schema>")
    inside.mkdir()
    (inside / "link.xsd").symlink_to(outside)
    async with answering(http(200, outside.read_text())) as wire:
        location = where.format(outside=outside, url=wire.url)
        kept = {"types": f"<xs:include schemaLocation='{location}'/>"}
        imported = {"more": f"<import namespace='urn:a' location='{location}'/>"}
        (inside / "a.wsdl").write_text(wsdl(**(kept if form == "types" else imported)))
        await refused(inside, r"a\.wsdl imports .*, which is elsewhere", url=wire.url)
    assert wire.requests == []


async def test_a_wsdl_at_a_url_imports_from_its_own_host_alone(tmp_path: Path) -> None:
    (tmp_path / "a.xsd").write_text(f"{LONE}{TYPES}</xs:schema>")
    async with answering(http(200, "never")) as other:
        for location in (f"{other.url}/a.xsd", f"file://{tmp_path}/a.xsd", "//localhost/a.xsd"):
            content = wsdl(f"<xs:include schemaLocation='{location}'/>")
            async with answering(http(200, content)) as wire:
                await refused(tmp_path, "which is elsewhere", f"wsdl: '{wire.url}/a.wsdl'")
            assert len(wire.requests) == 1
    assert other.requests == []


@pytest.mark.parametrize("own", [True, False])
async def test_the_password_goes_to_the_wsdls_host_only_if_it_is_the_receivers(tmp_path: Path, own: bool) -> None:
    told = http(200, ANSWER % "<Answer xmlns='urn:a'><count>7</count></Answer>")
    async with answering(http(200, wsdl()), told) as wire, answering(told) as other:
        await asked(tmp_path, wire.url if own else other.url, f"wsdl: '{wire.url}/a?wsdl'")
    assert wire.requests[0].line == "GET /a?wsdl HTTP/1.1"
    assert ("authorization" in wire.requests[0].headers) == own


async def test_the_password_goes_nowhere_if_a_message_says_where_the_receiver_is(tmp_path: Path) -> None:
    async with answering(
        http(200, wsdl()), http(200, ANSWER % "<Answer xmlns='urn:a'><count>7</count></Answer>")
    ) as wire:
        host, port = wire.url.rsplit(":", 1)
        receiver = f"adapter: soap, url: '{host}:${{properties.port}}', wsdl: '{wire.url}/a', auth: {{basic: anna}}"
        steps = f"- modify: {{properties: {{port: {port}}}}}\n- call: erp"
        assert (await called(receiver, None, steps=steps)).body["count"] == 7
    assert ["authorization" in request.headers for request in wire.requests] == [False, True]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (http(404), "cannot be loaded: it answered 404"),
        (http(302, Location="http://127.0.0.1:9/"), "cannot be loaded: it answered 302"),
        (http(200, wsdl())[:-10], r"cannot be loaded \(RemoteProtocolError\)"),
        (http(200, "<html>", "text/html"), "is no WSDL that can be used"),
        (HANG, "a.wsdl was not loaded within 0.5 s"),
    ],
)
async def test_a_wsdl_that_does_not_come_is_told(tmp_path: Path, answer: bytes | None, text: str) -> None:
    async with answering(answer) as wire:
        receiver = f"adapter: soap, url: '{wire.url}', wsdl: '{wire.url}/a.wsdl', timeout: 0.5"
        with pytest.raises(ConfigurationError, match=f"^orders.yaml:3: .*{text}"):
            await called(receiver, None)


async def test_a_wsdl_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soap_documents, "MOST_BYTES", 5000)
    (tmp_path / "a.wsdl").write_text(wsdl(more=" " * 5000))
    await refused(tmp_path, "more than 5,000 bytes")
    async with answering(http(200, wsdl(more=" " * 50_000))) as wire:
        await refused(tmp_path, "more than 5,000 bytes", f"wsdl: '{wire.url}/a.wsdl'")


async def test_a_wsdl_of_too_many_parts_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soap_documents, "MOST_DOCUMENTS", 3)
    for number in range(3):
        (tmp_path / f"{number}.xsd").write_text(f"{LONE}</xs:schema>")
    (tmp_path / "a.wsdl").write_text(wsdl("".join(f"<xs:include schemaLocation='{n}.xsd'/>" for n in range(3)) + TYPES))
    await refused(tmp_path, "3 documents")


GET = """<binding name="G" type="a:T"><h:binding xmlns:h="http://schemas.xmlsoap.org/wsdl/http/" verb="GET"/></binding>
<service name="S"><port name="G" binding="a:G"><h:address xmlns:h="http://schemas.xmlsoap.org/wsdl/http/" location=""/>
</port>"""


async def test_only_what_is_soap_counts_and_an_answer_without_parts_says_nothing(tmp_path: Path) -> None:
    content = wsdl().replace(
        '<message name="Out"><part name="p" element="a:Answer"/></message>', '<message name="Out"/>'
    )
    (tmp_path / "a.wsdl").write_text(content.replace('<service name="S">', GET))
    async with answering(http(200, ANSWER % "")) as wire:
        assert await asked(tmp_path, wire.url) is None
    await refused(tmp_path, r"there are: S/P \(SOAP 1.1\)$", "wsdl: a.wsdl, port: G")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<count> 7 </count>", {"count": 7, "on": None, "_value_1": None}),
        ("<count>7</count><on>2026-11-21</on>", {"count": 7, "on": date(2026, 11, 21), "_value_1": None}),
        ("<count>7</count><x:y xmlns:x='urn:x'>z</x:y>", {"count": 7, "on": None, "_value_1": "<x:y"}),
    ],
)
async def test_an_answer_becomes_plain_values(tmp_path: Path, content: str, expected: dict[str, Any]) -> None:
    (tmp_path / "a.wsdl").write_text(wsdl())
    async with answering(http(200, ANSWER % f"<Answer xmlns='urn:a'>{content}</Answer>")) as wire:
        found = await asked(tmp_path, wire.url, body={"day": "2026-11-21"})
    if expected["_value_1"]:
        assert found.pop("_value_1").startswith(expected.pop("_value_1"))
    assert found == expected
    assert b">2026-11-21<" in wire.requests[0].body


RPC = """<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/"
  xmlns:a="urn:a" xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:a">
<message name="In"><part name="one" type="xs:int"/><part name="two" type="xs:int"/></message>
<message name="Who"><part name="name" type="xs:string"/></message>
<message name="Out"><part name="sum" type="xs:int"/></message>
<portType name="T"><operation name="Add"><input message="a:In"/><output message="a:Out"/></operation></portType>
<binding name="B" type="a:T"><s:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
<operation name="Add"><s:operation soapAction=""/>
  <input><s:header message="a:Who" part="name" use="literal"/><s:body use="literal" namespace="urn:a"/></input>
  <output><s:body use="literal" namespace="urn:a"/></output></operation></binding>
<service name="S"><port name="P" binding="a:B"><s:address location="http://127.0.0.1:9/"/></port></service>
</definitions>"""


async def test_an_operation_in_the_style_of_rpc_is_called_with_its_parts(tmp_path: Path) -> None:
    (tmp_path / "a.wsdl").write_text(RPC)
    told = http(200, ANSWER % "<a:AddResponse xmlns:a='urn:a'><sum>5</sum></a:AddResponse>")
    async with answering(told) as wire:
        values = {"one": 2, "two": 3, "_soapheaders": {"name": "anna"}}
        assert await asked(tmp_path, wire.url, body=values) == 5
    sent = opened(parsed(wire.requests[0].body))
    assert sent.payload is not None
    assert (sent.payload.tag, [part.text for part in sent.payload]) == ("{urn:a}Add", ["2", "3"])
    assert [block.text for block in sent.header] == ["anna"]


@pytest.mark.parametrize(
    "content",
    [
        "<Answer xmlns='urn:a'><count>seven</count></Answer>",
        "<Answer xmlns='urn:a'><count>7</count><on>soon</on></Answer>",
        "<Answer xmlns='urn:a'><on>2026-11-21</on></Answer>",
        "<Reply xmlns='urn:a'><count>7</count></Reply>",
        "",
    ],
)
async def test_an_answer_that_does_not_fit_is_an_error_and_nothing_of_it_is_left_out(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.wsdl").write_text(wsdl())
    async with answering(http(200, ANSWER % content)) as wire:
        with pytest.raises(
            StepFailed, match="erp answered with something that does not fit the operation 'Ask'"
        ) as told:
            await asked(tmp_path, wire.url)
    assert isinstance(told.value.cause, BackendError)
    assert "seven" not in str(told.value) + caplog.text


async def test_without_zeep_a_wsdl_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "holdfast.flows.adapters.soap_wsdl")
    monkeypatch.setitem(sys.modules, "zeep", None)
    with pytest.raises(ConfigurationError, match=r"orders\.yaml:3: zeep is not installed") as told:
        await asked(tmp_path)
    assert told.value.hint == "pip install 'holdfast[soap]'"


def test_zeep_is_imported_where_there_is_a_wsdl_and_nowhere_else() -> None:
    code = "import sys, holdfast.flows.runtime; print({'zeep', 'requests'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout == "set()\n"
