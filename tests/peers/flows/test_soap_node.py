"""The adapter `soap` against node's `soap` on express, with a WSDL in a file and at a URL (F16)."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from e2e.flows_fixtures import fixtures_of
from e2e.flows_world import Receiver
from holdfast.errors import LogonFailed
from holdfast.flows.adapters.envelope import parsed
from holdfast.flows.failures import CallRefused, SoapFault
from holdfast.flows.runtime import StepFailed
from peers.flows.soap_world import COUNT, REUSES, THREE_CALLS, called, failed, node

ORDER = {"id": "ä<&>", "due": "2026-11-21", "item": [{"name": "bolt", "count": 3}, {"name": "nut", "count": 4}]}
NOTICE = {"text": "closed on Monday"}


receiver_process, erp = fixtures_of(node)


def receiver(erp: Receiver, more: str, path: str = "/orders", user: str = "anna") -> str:
    auth = f", auth: {{basic: {user}}}" if user else ""
    return f"adapter: soap, url: '{erp.url}{path}'{auth}, {more}"


@pytest.mark.parametrize("where", ["file", "url"])
async def test_values_go_out_and_come_back_as_the_wsdl_and_what_it_imports_say(erp: Receiver, where: str) -> None:
    wsdl = "orders.wsdl" if where == "file" else f"{erp.url}/orders?wsdl"
    answer = await called(receiver(erp, f"wsdl: '{wsdl}', operation: Place"), ORDER)
    assert answer.body == {
        "id": "ä<&>",
        "total": 7,
        "price": Decimal("12.50"),
        "ready": datetime(2026, 11, 21, 10, tzinfo=UTC),
        "line": [{"name": "bolt", "count": 3, "unit": "kg"}, {"name": "nut", "count": 4, "unit": "kg"}],
        "_value_1": None,
    }
    told = erp.tell()
    assert told["orders"] == [{"id": "ä<&>", "due": "2026-11-21T00:00:00.000Z", "items": ORDER["item"]}]
    assert told["requests"][-1]["action"] == '"urn:shop:orders/Place"'


@pytest.mark.parametrize("reuse", REUSES)
@pytest.mark.parametrize("wsdl", [False, True])
async def test_calls_of_a_message_are_one_session_or_each_its_own(erp: Receiver, reuse: str, wsdl: bool) -> None:
    # F1, F2, F5, statements 1, 2 and 9
    more = "wsdl: orders.wsdl, operation: Count" if wsdl else "action: urn:shop:orders/Count"
    counts, opened = REUSES[reuse]
    steps = THREE_CALLS % ("{}" if wsdl else f'"{COUNT}"')
    answer = await called(receiver(erp, more), None, reuse=reuse, steps=steps)
    assert (answer.body if wsdl else [int(parsed(text).findtext("{*}calls") or 0) for text in answer.body]) == counts
    assert (erp.authentications, erp.sessions) == (opened, opened)
    requests = erp.tell()["requests"]
    assert [request["authorized"] for request in requests] == ([True] * 3 if reuse == "none" else [True, False, False])


@pytest.mark.parametrize("more", ["port: Plain", "port: Newer, version: '1.2'", "service: Shop, gzip: true"])
async def test_an_operation_without_output_is_one_way(erp: Receiver, more: str) -> None:
    answer = await called(receiver(erp, f"wsdl: orders.wsdl, operation: Notify, {more}"), NOTICE)
    assert answer.body is None
    told = erp.tell()
    assert told["notices"] == [NOTICE["text"]]
    assert told["requests"][-1]["coding"] == ("gzip" if "gzip" in more else "")


async def test_xml_can_be_sent_one_way_without_a_wsdl(erp: Receiver) -> None:
    body = "<Notify xmlns='urn:shop:orders'><text>&lt;closed&gt;</text></Notify>"
    answer = await called(receiver(erp, "action: urn:shop:orders/Notify, one_way: true"), body)
    assert answer.body is None
    assert erp.tell()["notices"] == ["<closed>"]


async def test_a_fault_is_an_error_of_its_own(erp: Receiver) -> None:
    text = r"erp answered with a fault: no such plant \(soap:Client\.NoPlant\)"
    await failed(receiver(erp, "wsdl: orders.wsdl, operation: Place"), {"id": "refused"}, SoapFault, text)


async def test_a_fault_of_the_newer_form_is_read_in_an_older_envelope_too(erp: Receiver) -> None:
    # what this service says of its own errors, here of a SOAPAction that it does not know
    text = r"erp answered with a fault: TypeError: .* \(InternalServerError\)"
    await failed(receiver(erp, "action: urn:unknown"), COUNT, SoapFault, text)


@pytest.mark.parametrize("digest", [False, True])
async def test_a_username_token_says_who_calls_in_every_envelope(erp: Receiver, digest: bool) -> None:
    # OASIS UsernameToken Profile 1.1.1 §3.1, judged by the service
    token = f"wsdl: orders.wsdl, operation: Place, token: {{credential: '${{body.id}}', digest: {str(digest).lower()}}}"
    secured = receiver(erp, token, "/secured", user="")
    answer = await called(secured, {"id": "anna"}, steps="- send: erp\n- call: erp", reuse="on_exchange")
    assert answer.body["id"] == "anna"
    assert erp.tell()["tokens"] == [{"user": "anna", "digested": digest}] * 2
    assert len(erp.tell()["orders"]) == 2


@pytest.mark.parametrize("digest", [False, True])
async def test_a_wrong_username_token_is_refused_and_the_password_told_nowhere(erp: Receiver, digest: bool) -> None:
    token = f"wsdl: orders.wsdl, operation: Place, token: {{credential: eve, digest: {str(digest).lower()}}}"
    with pytest.raises(StepFailed, match="erp answered 401") as caught:
        await called(receiver(erp, token, "/secured", user=""), {"id": "7"})
    assert isinstance(caught.value.cause, LogonFailed | CallRefused)
    assert "wrong" not in str(caught.value)
    assert erp.tell()["orders"] == []
