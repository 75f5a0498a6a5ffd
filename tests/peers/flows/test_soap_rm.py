"""The adapter `sap_rm` against a spyne service that takes each MessageId once (F16, F17)."""

import uuid

import pytest

from e2e.flows_fixtures import fixtures_of
from e2e.flows_world import Receiver
from holdfast.errors import BackendUnavailable, ConfigurationError
from holdfast.flows.failures import SoapFault
from holdfast.flows.runtime import Message, StepFailed
from peers.flows.soap_world import called, flow, spyne

NOTICE = "<Notify xmlns='urn:shop:orders'><text>closed on Monday</text></Notify>"
TWO = "- send: erp\n- send: erp"


receiver_process, erp = fixtures_of(spyne)


def receiver(erp: Receiver, more: str = "", query: str = "") -> str:
    return f"adapter: sap_rm, url: '{erp.url}/rm{query}', auth: {{basic: anna}}{more}"


def ids(erp: Receiver) -> list[str]:
    """Return the MessageId of each call."""
    return [request["query"]["MessageId"] for request in erp.tell()["requests"]]


async def test_a_message_goes_out_with_an_id_in_the_url(erp: Receiver) -> None:
    answer = await called(receiver(erp, query="?sap-client=100"), NOTICE)
    request = erp.tell()["requests"][-1]
    assert request["query"] == {"sap-client": "100", "MessageId": str(uuid.UUID(ids(erp)[0]))}
    assert (answer.body, answer.headers["sapmessageidex"], answer.headers["http-status"]) == (None, ids(erp)[0], 202)
    assert erp.tell()["notices"] == {ids(erp)[0]: {"text": "closed on Monday", "queue": ""}}


async def test_a_call_whose_connection_was_cut_is_repeated_and_carried_out_once(erp: Receiver) -> None:
    # F17
    await called(receiver(erp, query="?mode=cut_once"), NOTICE)
    assert len(ids(erp)) == 2
    assert len(erp.tell()["notices"]) == len(set(ids(erp))) == 1


async def test_a_message_that_is_sent_again_later_is_taken_once(erp: Receiver) -> None:
    # F17: first every try fails, and then the message is resent
    message = Message(id="order-7", body=NOTICE)
    async with flow(receiver(erp, query="?mode=cut")) as running:
        with pytest.raises(StepFailed, match=r"orders\.yaml:5: call: erp did not answer") as caught:
            await running.process(message)
        assert isinstance(caught.value.cause, BackendUnavailable)
    async with flow(receiver(erp)) as running:
        await running.process(message)
        await running.process(Message(id="order-8", body=NOTICE))
    assert len(ids(erp)) == 5
    assert len(erp.tell()["notices"]) == 2


@pytest.mark.parametrize("more", [", stateful: true", ", repeatable: false"])
async def test_a_receiver_can_say_that_nothing_is_to_be_repeated(erp: Receiver, more: str) -> None:
    with pytest.raises(StepFailed, match="erp did not answer"):
        await called(receiver(erp, more, query="?mode=cut"), NOTICE)
    assert len(ids(erp)) == 1


async def test_two_calls_of_a_message_are_two_messages(erp: Receiver) -> None:
    await called(receiver(erp), NOTICE, steps=TWO)
    assert len(erp.tell()["notices"]) == 2


async def test_an_id_that_the_sender_has_given_is_taken_over(erp: Receiver) -> None:
    given = "3F2504E04F8911D39A0C0305E82C3301"
    async with flow(receiver(erp, ", message_id: '${headers.sapmessageidex}'")) as running:
        for identity in (given, "invoice 7", "invoice 7", ""):
            await running.process(Message(body=NOTICE, headers={"SapMessageIdEx": identity}))
    first, second, third, last = ids(erp)
    assert first == "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
    assert second == third != last
    assert len(erp.tell()["notices"]) == 3


async def test_messages_of_a_queue_name_it(erp: Receiver) -> None:
    async with flow(receiver(erp, ", queue: '${properties.plant}'")) as running:
        for plant in ("A&B=1", ""):
            await running.process(Message(body=NOTICE, properties={"plant": plant}))
    assert [notice["queue"] for notice in erp.tell()["notices"].values()] == ["A&B=1", ""]
    assert ["QueueId" in request["query"] for request in erp.tell()["requests"]] == [True, False]


@pytest.mark.parametrize(("reuse", "opened"), [("none", 2), ("on_exchange", 1), ("on_integration_flow", 1)])
async def test_calls_are_one_session_or_each_its_own(erp: Receiver, reuse: str, opened: int) -> None:
    # F1, F5
    await called(receiver(erp), NOTICE, steps=TWO, reuse=reuse)
    assert (erp.authentications, erp.sessions, len(erp.tell()["notices"])) == (opened, opened, 2)


async def test_a_wsdl_says_what_a_one_way_operation_looks_like(erp: Receiver) -> None:
    await called(receiver(erp, ", wsdl: orders.wsdl, operation: Notify"), {"text": "<open>"})
    assert [notice["text"] for notice in erp.tell()["notices"].values()] == ["<open>"]
    assert erp.tell()["requests"][-1]["action"] == '"urn:shop:orders/Notify"'


async def test_an_operation_that_answers_is_refused_when_the_flow_is_deployed(erp: Receiver) -> None:
    with pytest.raises(ConfigurationError, match=r"orders\.yaml:3: the operation 'Ask' answers, but SAP RM is for one"):
        await called(receiver(erp, f", wsdl: '{erp.url}/rm?wsdl', operation: Ask"), {"text": "?"})
    assert erp.tell()["requests"] == []


async def test_a_fault_is_an_error_and_the_message_is_not_taken(erp: Receiver) -> None:
    with pytest.raises(StepFailed, match="erp answered with a fault") as caught:
        await called(receiver(erp), "<Unknown xmlns='urn:shop:orders'/>")
    assert isinstance(caught.value.cause, SoapFault)
    assert erp.tell()["notices"] == {}
