"""The adapter `soap` against spyne: SOAP 1.1 and 1.2, with XML and with values (F16)."""

import json
from typing import Any

import anyio
import pytest

from e2e.flows_fixtures import fixtures_of
from e2e.flows_world import Receiver
from holdfast.errors import BackendUnavailable, BadInput, ConfigurationError, LogonFailed
from holdfast.flows.adapters.envelope import parsed, wrapped
from holdfast.flows.failures import SoapFault
from holdfast.flows.runtime import Message, StepFailed
from peers.flows.soap_world import COUNT, REUSES, THREE_CALLS, called, failed, flow, spyne

VERSIONS = {"1.1": "/soap11", "1.2": "/soap12"}
ORDER = {"id": "7", "due": "2026-11-21", "items": {"Item": [{"name": "bolt", "count": 3}, {"name": "nut", "count": 4}]}}
PLACE = (
    "<?xml version='1.0' encoding='ISO-8859-1'?><!-- an order --><p:Place xmlns:p='urn:shop:orders'><p:id>ä</p:id>"
    "<p:items><p:Item><p:name>nut</p:name><p:count>2</p:count></p:Item></p:items></p:Place>"
)


receiver_process, erp = fixtures_of(spyne)


def by_xml(erp: Receiver, more: str = "", *, version: str = "1.1", query: str = "", user: str = "anna") -> str:
    url = f"{erp.url}{VERSIONS[version]}{query}"
    return f"adapter: soap, url: '{url}', version: '{version}', auth: {{basic: {user}}}{more}"


def by_wsdl(erp: Receiver, operation: str, more: str = "", *, version: str = "1.1", query: str = "") -> str:
    wsdl = f", wsdl: '{erp.url}{VERSIONS[version]}?wsdl', operation: {operation}"
    return by_xml(erp, wsdl + more, version=version, query=query)


@pytest.mark.parametrize("version", VERSIONS)
async def test_values_go_out_and_come_back_as_the_wsdl_says(erp: Receiver, version: str) -> None:
    answer = await called(by_wsdl(erp, "Place", version=version), {**ORDER, "id": "ä<&>"})
    assert answer.body == {"id": "ä<&>", "total": 7, "call": 1, "user": "anna"}
    assert answer.headers["http-status"] == 200
    told = erp.tell()
    assert told["orders"] == [{"id": "ä<&>", "due": "2026-11-21", "items": [["bolt", 3], ["nut", 4]]}]
    request = told["requests"][-1]
    assert request["action"] == ('"Place"' if version == "1.1" else None)
    assert request["type"].startswith("text/xml;" if version == "1.1" else "application/soap+xml;")
    assert ('action="Place"' in request["type"]) == (version == "1.2")


@pytest.mark.parametrize("wsdl", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
async def test_xml_goes_out_as_it_is_and_comes_back_as_xml(erp: Receiver, version: str, wsdl: bool) -> None:
    receiver = by_wsdl(erp, "Place", version=version) if wsdl else by_xml(erp, ", action: Place", version=version)
    for body in (PLACE, PLACE.encode("latin-1")):
        answer = await called(receiver, body)
        result = parsed(answer.body)
        assert result.tag == "{urn:shop:orders}PlaceResponse"
        assert result.findtext("{*}PlaceResult/{*}total") == "2"
        assert answer.headers["content-type"] == "application/xml"
    assert erp.tell()["orders"] == [{"id": "ä", "due": "None", "items": [["nut", 2]]}] * 2


@pytest.mark.parametrize("reuse", REUSES)
@pytest.mark.parametrize("wsdl", [False, True])
async def test_calls_of_a_message_are_one_session_or_each_its_own(erp: Receiver, reuse: str, wsdl: bool) -> None:
    # F1, F2, F5, statements 1, 2 and 9
    receiver, body = (by_wsdl(erp, "Count"), "{}") if wsdl else (by_xml(erp), f'"{COUNT}"')
    counts, opened = REUSES[reuse]
    answer = await called(receiver, None, reuse=reuse, steps=THREE_CALLS % body)
    assert (
        answer.body if wsdl else [int(parsed(text).findtext("{*}CountResult") or 0) for text in answer.body]
    ) == counts
    assert (erp.authentications, erp.sessions) == (opened, opened)
    requests = erp.tell()["requests"]
    assert [request["authorized"] for request in requests] == ([True] * 3 if reuse == "none" else [True, False, False])
    assert [request["cookie"] is None for request in requests] == [request["authorized"] for request in requests]


@pytest.mark.parametrize("reuse", ["none", "on_exchange"])
async def test_messages_in_parallel_see_nothing_of_each_others_sessions(erp: Receiver, reuse: str) -> None:
    # F1, statement 3
    answers: list[Any] = []
    async with flow(by_wsdl(erp, "Count"), reuse=reuse, steps=THREE_CALLS % "{}") as running:

        async def process() -> None:
            answers.append(await running.process(Message()))

        async with anyio.create_task_group() as tasks:
            for _ in range(16):
                tasks.start_soon(process)
    counts, opened = REUSES[reuse]
    assert [answer.body for answer in answers] == [counts] * 16
    assert (erp.authentications, erp.sessions) == (16 * opened, 16 * opened)


async def test_messages_have_sessions_of_their_own_or_share_the_flows(erp: Receiver) -> None:
    # F1, statements 3 and 4
    for reuse, counts in (("on_exchange", [1, 1]), ("on_integration_flow", [1, 2])):
        erp.tell("reset")
        async with flow(by_wsdl(erp, "Count"), reuse=reuse) as running:
            answers = [await running.process(Message(body={})) for _ in range(2)]
        assert [answer.body for answer in answers if answer] == counts
        assert erp.sessions == len(counts) + 1 - counts[-1]


async def test_calls_by_other_adapters_to_the_same_host_are_in_the_same_session(erp: Receiver) -> None:
    # F19, statement 5
    envelope = wrapped([parsed(COUNT)]).decode()
    receivers = f"""{by_wsdl(erp, "Count")}}},
  web: {{adapter: http, url: '{erp.url}/soap12', auth: {{basic: bert}}, headers: {{Content-Type: text/xml}}}},
  notices: {{adapter: sap_rm, url: '{erp.url}/rm', auth: {{basic: carl}}"""
    steps = f"""\
- modify: {{body: {json.dumps(envelope)}}}
- send: {{receiver: web, accept_errors: true}}
- modify: {{body: "<Notify xmlns='urn:shop:orders'/>"}}
- send: notices
- modify: {{body: {{}}}}
- call: erp"""
    answer = await called(receivers, None, reuse="on_exchange", steps=steps)
    assert (answer.body, erp.authentications, erp.sessions) == (3, 1, 1)


async def test_a_session_that_idled_out_is_opened_anew_and_the_call_is_not_lost(erp: Receiver) -> None:
    # F7
    async with flow(by_wsdl(erp, "Place"), reuse="on_integration_flow") as running:
        await running.process(Message(body=ORDER))
        erp.tell("expire")
        answer = await running.process(Message(body=ORDER))
    assert answer is not None
    assert answer.body["call"] == 1
    assert (len(erp.tell()["orders"]), erp.authentications) == (2, 2)


async def test_a_receiver_without_cookies_keeps_getting_credentials(erp: Receiver) -> None:
    # F2
    async with flow(by_wsdl(erp, "Count", query="?mode=plain"), reuse="on_integration_flow") as running:
        for _ in range(2):
            await running.process(Message(body={}))
        assert [finding.code for finding in running.deployment.findings] == ["no_cookie"]
    assert [request["authorized"] for request in erp.tell()["requests"]] == [True, True]


@pytest.mark.parametrize("query", ["", "?mode=fault_200"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_fault_is_an_error_of_its_own(erp: Receiver, version: str, query: str) -> None:
    receiver = by_wsdl(erp, "Refuse", version=version, query=query)
    fault = await failed(receiver, {"why": "0815"}, SoapFault, r"erp answered with a fault: no such plant: 0815")
    assert isinstance(fault, SoapFault)
    assert (fault.code, fault.text) == ("soap_fault", "no such plant: 0815")
    assert fault.fault in ("Client.NoPlant", "NoPlant")
    assert "0815" in fault.detail


async def test_a_flow_can_go_on_with_what_a_fault_says(erp: Receiver) -> None:
    # F15
    steps = "- try: {do: [{call: erp}], on_error: [{modify: {body: '${properties.error}'}}]}"
    answer = await called(by_wsdl(erp, "Refuse"), {"why": "0815"}, steps=steps)
    assert (
        answer.body.items()
        >= {
            "code": "soap_fault",
            "faultcode": "Client.NoPlant",
            "faultstring": "no such plant: 0815",
            "http_status": 500,
        }.items()
    )


async def test_a_value_that_the_service_refuses_is_its_fault(erp: Receiver) -> None:
    body = {"id": "7", "items": {"Item": [{"name": "bolt", "count": "many"}]}}
    await failed(by_wsdl(erp, "Place"), body, SoapFault, "many")
    assert erp.tell()["orders"] == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"due": "2026-11-21"}, "the body does not fit the operation 'Place': ValidationError: Missing element id"),
        ({"id": "7", "colour": "red"}, "the body does not fit .*unexpected keyword argument 'colour'"),
        ({"id": "7", "items": {"Item": [{"count": 1}]}}, "Missing element name"),
        ({"id": {"secret": 1}}, "the body does not fit the operation 'Place': "),
        ({7: "id"}, "the body does not fit"),
        (None, "Missing element id"),
        ([1], "the body is no XML, but a list"),
    ],
)
async def test_values_that_do_not_fit_are_told_and_nothing_is_sent(erp: Receiver, body: Any, text: str) -> None:
    await failed(by_wsdl(erp, "Place"), body, BadInput, text)
    assert erp.tell()["requests"] == []


async def test_an_operation_that_is_not_there_is_told_with_those_that_are(erp: Receiver) -> None:
    with pytest.raises(
        ConfigurationError, match=r"orders\.yaml:3: .*no operation 'Plaice'; there are: Count, Place, Ref"
    ):
        await called(by_wsdl(erp, "Plaice"), {})
    assert erp.tell()["requests"] == []


async def test_a_step_names_the_operation_and_the_wsdl_is_loaded_once(erp: Receiver) -> None:
    receiver = by_xml(erp, f", wsdl: '{erp.url}/soap11?wsdl'")
    steps = "- call: {receiver: erp, operation: Place}\n- send: {receiver: erp, operation: Refuse}"
    with pytest.raises(StepFailed, match=r"orders\.yaml:6: send: the body does not fit the operation 'Refuse'"):
        await called(receiver, ORDER, steps=steps)
    assert len(erp.tell()["orders"]) == 1
    assert erp.tell()["wsdls"] == 1
    await failed(receiver, ORDER, BadInput, "the body holds values, and nothing says which operation they are for")


async def test_requests_are_compressed_if_that_is_wanted(erp: Receiver) -> None:
    answer = await called(by_wsdl(erp, "Place", ", gzip: true"), ORDER)
    assert answer.body["total"] == 7
    assert erp.tell()["requests"][-1]["coding"] == "gzip"


async def test_headers_of_http_and_of_soap_go_out_with_what_the_message_brings(erp: Receiver) -> None:
    header = '<h:from xmlns:h="urn:head" by="${body.id}">${body.items.Item[0].name}</h:from>'
    receiver = by_wsdl(erp, "Place", f", headers: {{SOAPAction: '\"mine\"'}}, soap_header: '{header}'")
    bolt = {"name": "</h:from><evil/>", "count": 1}
    await called(receiver, {"id": "\"'<7>", "items": {"Item": [bolt]}})
    request = erp.tell()["requests"][-1]
    block = parsed(request["body"]).find("{*}Header/{urn:head}from")
    assert block is not None
    assert (block.get("by"), block.text, len(block)) == ("\"'<7>", bolt["name"], 0)
    assert request["action"] == '"mine"'


async def test_a_wrong_password_is_a_failed_logon(erp: Receiver) -> None:
    await failed(by_xml(erp, user="eve"), COUNT, LogonFailed, "erp answered 401")


@pytest.mark.parametrize(("more", "times"), [("", 1), (", repeatable: true", 3)])
async def test_a_call_that_may_have_been_carried_out_is_repeated_only_if_told(
    erp: Receiver, more: str, times: int
) -> None:
    # F17: SOAP is POST
    await failed(by_wsdl(erp, "Place", more, query="?mode=cut"), ORDER, BackendUnavailable, "erp did not answer")
    assert len(erp.tell()["orders"]) == times
