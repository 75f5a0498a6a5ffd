"""The adapter `idoc` against a system that takes IDocs, in a process of its own: what arrives there, and how often."""

from typing import Any

import anyio
import pytest

from e2e.flows_fixtures import fixtures_of
from flows.adapters.wire import flow
from holdfast.errors import BackendError, BackendUnavailable, LogonFailed
from holdfast.flows.failures import SoapFault
from holdfast.flows.message import Message
from holdfast.flows.runtime import StepFailed
from peers.flows.sap_world import REUSES, System, running_system, send_three, sent

ORDER = (
    '<ORDERS05><IDOC BEGIN="1"><EDI_DC40 SEGMENT="1"><TABNAM>EDI_DC40</TABNAM><DOCNUM>0000000000166099</DOCNUM>'
    "<IDOCTYP>ORDERS05</IDOCTYP><MESTYP>ORDERS</MESTYP><SERIAL>7</SERIAL></EDI_DC40>"
    '<E1EDK01 SEGMENT="1"><BELNR>Müller &amp; Söhne</BELNR></E1EDK01></IDOC></ORDERS05>'
)
TWO = ORDER.replace("</ORDERS05>", "") + ORDER.removeprefix("<ORDERS05>").replace("166099", "166100")


receiver_process, erp = fixtures_of(running_system)


def receiver(erp: System, mode: str = "", more: str = "", user: str = "anna") -> str:
    url = f"{erp.url}/sap/bc/srt/idoc?sap-client=100&mode={mode}"
    return f"adapter: idoc, url: '{url}', auth: {{basic: {user}}}, retry: {{times: 2}}{more}"


async def failure(erp: System, mode: str, more: str = "") -> Any:
    with pytest.raises(StepFailed, match=r"^orders\.yaml:5: call: ") as caught:
        await sent(receiver(erp, mode, more), Message(body=ORDER))
    return caught.value.cause


async def test_an_idoc_arrives_and_the_receivers_number_comes_back(erp: System) -> None:  # F16
    answer = await sent(receiver(erp), Message(body=ORDER, headers={"kept": 1}))
    (idoc,) = erp.idocs
    assert idoc["segments"] == ["EDI_DC40", "E1EDK01"]
    assert idoc["texts"] == ["Müller & Söhne"]
    assert idoc["order"] == ["TABNAM", "DOCNUM", "IDOCTYP", "MESTYP", "ARCKEY", "SERIAL"]
    assert idoc["fields"]["ARCKEY"] == f"urn:sap.com:msgid={answer.headers['sapmessageid']}"
    assert len(answer.headers["sapmessageid"]) == 32
    assert answer.headers["sapidocdbid"] == idoc["number"] == "0000000000160816"
    assert answer.headers["sapidoctransferid"] == "0000000000166099"
    assert (answer.headers["sapidoctype"], answer.headers["kept"]) == ("ORDERS05", 1)
    assert answer.body.startswith("<n:ORDERS05.Response")
    assert erp.requests == [
        {"path": "/sap/bc/srt/idoc?sap-client=100&mode=", "user": "anna", "cookie": None},
    ]


async def test_several_idocs_go_together_as_text_xml(erp: System) -> None:
    answer = await sent(receiver(erp, more=", content_type: text/xml"), Message(body=TWO.encode()))
    assert [idoc["fields"]["DOCNUM"] for idoc in erp.idocs] == ["0000000000166099", "0000000000166100"]
    assert not any("ARCKEY" in idoc["fields"] for idoc in erp.idocs)
    assert answer.headers["sapidocassignmap"] == [
        {"transfer_id": "0000000000166099", "db_id": "0000000000160816"},
        {"transfer_id": "0000000000166100", "db_id": "0000000000160817"},
    ]
    assert answer.headers["sapidocdbid"] == "0000000000160816"
    assert "sapmessageid" not in answer.headers


@pytest.mark.parametrize("mode", ["cut", "half", "locked", "unavailable", "busy"])
async def test_an_idoc_that_is_sent_again_is_taken_once(erp: System, mode: str) -> None:  # F17
    answer = await sent(receiver(erp, mode), Message(body=ORDER))
    assert len(erp.requests) == 2
    assert [idoc["number"] for idoc in erp.idocs] == [answer.headers["sapidocdbid"]]


async def test_a_message_that_is_resent_is_the_same_idoc_and_each_call_another_one(erp: System) -> None:
    steps = "- send: erp\n- call: erp"
    for _ in range(2):
        await sent(receiver(erp), Message(id="m1", body=ORDER), steps=steps)
    assert (len(erp.requests), len(erp.idocs)) == (4, 2)
    await sent(receiver(erp), Message(id="m2", body=ORDER))
    assert len(erp.idocs) == 3


async def test_what_its_sender_calls_a_message_can_be_what_it_is_taken_once_by(erp: System) -> None:
    more = ", message_id: '${headers.sapmessageid}'"
    given = "12a900b1-08ab-4812-a3ff-4f375b25c290"
    for name in (given, given, "order 4711", "order 4711"):
        await sent(receiver(erp, more=more), Message(body=ORDER, headers={"SapMessageId": name}))
    keys = [idoc["fields"]["ARCKEY"] for idoc in erp.idocs]
    assert len(keys) == 2
    assert keys[0] == f"urn:sap.com:msgid={given.replace('-', '').upper()}"


async def test_what_is_taken_each_time_is_not_sent_again(erp: System) -> None:
    cause = await failure(erp, "cut", ", content_type: text/xml")
    assert isinstance(cause, BackendUnavailable)
    assert (len(erp.requests), len(erp.idocs)) == (1, 1)


@pytest.mark.parametrize("reuse", REUSES)
async def test_sessions_are_those_of_the_flow(erp: System, reuse: str) -> None:  # F1, F2, F5, statement 30
    await send_three(receiver(erp), reuse, ORDER)
    assert (erp.authentications, erp.sessions) == REUSES[reuse]
    assert len(erp.idocs) == 6


async def test_a_session_that_was_dropped_is_opened_anew_and_the_idoc_taken_once(erp: System) -> None:  # F7
    async with flow(receiver(erp), reuse="on_integration_flow") as running:
        for _ in range(2):
            await running.process(Message(body=ORDER))
        erp.tell("expire")
        await running.process(Message(body=ORDER))
    assert (erp.authentications, erp.sessions, len(erp.idocs)) == (2, 2, 3)


@pytest.mark.parametrize(
    ("mode", "error", "said"),
    [
        ("fault", SoapFault, r"answered with a fault: IDoc SOAP Namespace - Violation \(X\) \(s:Client\)"),
        ("html", BackendError, "answered 200 with something that is not SOAP"),
        ("broken", BackendError, "something that is not SOAP: it is no XML"),
        ("doctype", BackendError, "document type declaration"),
        ("numberless", BackendError, "answered with no number of an IDoc"),
    ],
)
async def test_a_refusal_and_an_answer_that_makes_no_sense_are_told(
    erp: System, mode: str, error: type[BackendError], said: str
) -> None:
    cause = await failure(erp, mode)
    assert isinstance(cause, error)
    assert len(erp.requests) == 1
    with pytest.raises(error, match=said):
        raise cause


async def test_an_answer_that_is_too_long_is_not_read_to_its_end(erp: System) -> None:
    cause = await failure(erp, "long", ", max_answer: 1000")
    assert "more than 1,000 bytes" in str(cause)


async def test_an_answer_of_nothing_tells_no_number(erp: System) -> None:
    answer = await sent(receiver(erp, "empty"), Message(body=ORDER))
    assert answer.body is None
    assert "sapidocdbid" not in answer.headers
    assert len(erp.idocs) == 1


async def test_a_receiver_that_does_not_answer_is_given_up_and_has_the_idoc_once(erp: System) -> None:
    async with anyio.create_task_group() as tasks:

        async def released() -> None:
            assert isinstance(await failure(erp, "hang", ", timeout: 0.2"), BackendUnavailable)
            await anyio.to_thread.run_sync(erp.tell, "release")

        tasks.start_soon(released)
    assert (len(erp.requests), len(erp.idocs)) == (3, 1)


async def test_wrong_credentials_are_told_without_them(erp: System) -> None:
    with pytest.raises(StepFailed, match=r"call: erp answered 401$") as caught:
        await sent(receiver(erp, user="eve"), Message(body=ORDER))
    assert isinstance(caught.value.cause, LogonFailed)
    assert "wrong" not in repr(caught.value.cause)
    assert erp.idocs == []
