"""The adapter `xi` against an integration engine in a process of its own: what arrives there, and how often."""

import re
import uuid
from typing import Any

import anyio
import pytest

from e2e.flows_fixtures import fixtures_of
from flows.adapters.wire import flow
from holdfast.errors import BackendError, BackendUnavailable, BadInput, LogonFailed
from holdfast.flows.failures import CallRefused, Unavailable, XiError
from holdfast.flows.message import Message
from holdfast.flows.runtime import StepFailed
from peers.flows.sap_world import REUSES, System, running_system, send_three, sent

WHO = "sender: {service: SHOP}, receiver: {service: 'ERP_${headers.client}'}"
WHAT = "interface: SI_Order, namespace: 'urn:example:shop'"
ORDER = "<order note='größer &gt; klein'/>"
BEST = ", quality: best_effort"
GIVEN = "00000000-0000-0000-0000-000000000033"


receiver_process, erp = fixtures_of(running_system)


def receiver(erp: System, more: str = "", mode: str = "", user: str = "anna") -> str:
    url = f"{erp.url}/sap/xi/engine?type=receiver&sap-client=100&mode={mode}"
    return f"adapter: xi, url: '{url}', auth: {{basic: {user}}}, {WHO}, {WHAT}, retry: {{times: 2}}{more}"


async def failure(erp: System, more: str = "", mode: str = "", body: Any = ORDER, **headers: Any) -> Any:
    with pytest.raises(StepFailed, match=r"^orders\.yaml:5: call: ") as caught:
        await sent(receiver(erp, more, mode), Message(body=body, headers=headers))
    return caught.value.cause


async def test_a_message_arrives_and_is_acknowledged(erp: System) -> None:  # F16
    answer = await sent(receiver(erp), Message(body=ORDER, headers={"client": 100}))
    (message,) = erp.messages
    assert message["payload"].encode("latin-1").decode() == ORDER
    assert message["parts"] == [
        {
            "name": "MainDocument",
            "kind": "Application",
            "type": 'text/xml; charset="utf-8"',
            "content": message["payload"],
        }
    ]
    assert (message["class"], message["mode"], message["quality"]) == (
        "ApplicationMessage",
        "asynchronous",
        "ExactlyOnce",
    )
    assert (message["sender"], message["receiver"]) == (["", "SHOP"], ["", "ERP_100"])
    assert (message["interface"], message["version"]) == (["urn:example:shop", "SI_Order"], ["3", "0"])
    assert (message["queue"], message["requested"], set(message["understood"])) == (None, [], {"1"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", message["sent"])
    assert uuid.UUID(message["id"]) == uuid.UUID(answer.headers["sapmessageidex"])
    assert (answer.body, answer.headers["xi-class"], answer.headers["xi-ack"]) == (None, "SystemAck", "OK")
    assert (erp.requests[0]["user"], erp.authentications) == ("anna", 1)


async def test_a_response_to_best_effort_is_the_new_body_with_its_attachments(erp: System) -> None:
    more = BEST + ", attachments: '${properties.files}'"
    files = [
        {"name": "photo", "type": "image/png", "content": b"\x89PNG\r\n\x1a\n--\xff\r\n"},
        {"name": "Größe.txt", "content": "groß"},
    ]
    answer = await sent(receiver(erp, more), Message(body=ORDER.encode(), properties={"files": files}))
    (message,) = erp.messages
    assert (message["mode"], message["quality"]) == ("synchronous", "BestEffort")
    assert [(part["name"], part["kind"], part["type"]) for part in message["parts"]] == [
        ("MainDocument", "Application", "application/xml"),
        ("photo", "ApplicationAttachment", "image/png"),
        ("Größe.txt", "ApplicationAttachment", "application/octet-stream"),
    ]
    assert answer.body == "<answer number='1'/>"
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"
    assert answer.headers["xi-class"] == "ApplicationResponse"
    back = [(file["name"], file["content"]) for file in answer.properties["attachments"]]
    assert back == [("photo", files[0]["content"]), ("Größe.txt", "groß".encode())]


async def test_messages_in_order_name_their_queue(erp: System) -> None:
    more = ", quality: exactly_once_in_order, queue: 'ORD_${headers.shop}', acks: [system, application_error]"
    await sent(receiver(erp, more), Message(body=ORDER, headers={"shop": "B2"}))
    (message,) = erp.messages
    assert (message["quality"], message["queue"]) == ("ExactlyOnceInOrder", "ORD_B2")
    assert message["requested"] == ["ApplicationErrorAckRequested", "SystemAckRequested"]
    assert isinstance(await failure(erp, more, shop="too long for a queue"), BadInput)
    assert len(erp.requests) == 1


@pytest.mark.parametrize(("more", "mode"), [(", version: '3.1'", ""), ("", "unacknowledged")])
async def test_an_answer_of_nothing_accepts_what_is_taken_once(erp: System, more: str, mode: str) -> None:
    answer = await sent(receiver(erp, more, mode), Message(body=ORDER))
    assert (answer.body, len(erp.messages), answer.headers["http-status"]) == (None, 1, 202)
    assert "xi-ack" not in answer.headers


@pytest.mark.parametrize(
    ("mode", "version"),
    [*((mode, "3.0") for mode in ("cut", "half", "transient", "unavailable", "busy")), ("cut", "3.1")],
)
async def test_a_message_that_is_sent_again_is_taken_once(erp: System, mode: str, version: str) -> None:  # F17
    await sent(receiver(erp, f", version: '{version}'", mode), Message(body=ORDER))
    assert (len(erp.requests), len(erp.messages)) == (2, 1)


async def test_a_message_that_is_resent_is_the_same_and_each_call_another_one(erp: System) -> None:
    for _ in range(2):
        await sent(receiver(erp), Message(id="m1", body=ORDER), steps="- send: erp\n- call: erp")
    assert (len(erp.requests), len(erp.messages)) == (4, 2)
    named = ", message_id: '${headers.sapmessageidex}'"
    for _ in range(2):
        await sent(receiver(erp, named), Message(body=ORDER, headers={"SapMessageIdEx": GIVEN}))
    assert [message["id"] for message in erp.messages][2:] == [GIVEN]


@pytest.mark.parametrize("mode", ["cut", "half"])
async def test_best_effort_is_not_sent_again(erp: System, mode: str) -> None:
    assert isinstance(await failure(erp, BEST, mode), BackendUnavailable)
    assert (len(erp.requests), len(erp.messages)) == (1, 1)


@pytest.mark.parametrize("reuse", REUSES)
@pytest.mark.parametrize("more", ["", BEST])
async def test_sessions_are_those_of_the_flow(erp: System, reuse: str, more: str) -> None:  # F1, F2, F5, statement 30
    await send_three(receiver(erp, more), reuse, ORDER)
    assert (erp.authentications, erp.sessions) == REUSES[reuse]
    assert len(erp.messages) == 6


async def test_another_adapter_at_the_same_host_shares_the_session(erp: System) -> None:  # F19, statement 5
    both = receiver(erp, f"}}, orders: {{adapter: http, url: '{erp.url}/sap/xi/engine', accept_errors: true")
    async with flow(both, reuse="on_exchange", steps="- send: erp\n- send: orders\n- send: erp") as running:
        await running.process(Message(body=ORDER))
    assert (erp.authentications, erp.sessions, len(erp.messages)) == (1, 1, 2)
    assert [bool(request["cookie"]) for request in erp.requests] == [False, True, True]


async def test_a_session_that_was_dropped_is_opened_anew_and_the_message_taken_once(erp: System) -> None:  # F7
    async with flow(receiver(erp), reuse="on_integration_flow") as running:
        await running.process(Message(body=ORDER))
        erp.tell("expire")
        await running.process(Message(body=ORDER))
    assert (erp.authentications, erp.sessions, len(erp.messages)) == (2, 2, 2)


@pytest.mark.parametrize(
    ("mode", "what", "said"),
    [
        ("fault", ("XIProxy", "ABAP", "INTERFACE_SIGNATURE_ERROR"), "no such interface"),
        ("system_error", ("XIAdapterFramework", "MESSAGE", "GENERAL"), "Read timed out"),
        ("application_error", ("Application", "UNKNOWN", "APPLICATION_ERROR"), "no such order"),
    ],
)
@pytest.mark.parametrize("more", ["", BEST])
async def test_an_error_is_told_as_the_engine_tells_it(
    erp: System, mode: str, what: tuple[str, str, str], said: str, more: str
) -> None:
    error = await failure(erp, more, mode)
    assert isinstance(error, XiError)
    assert (error.code, error.category, error.area, error.fault) == ("xi_error", *what)
    assert str(error) == f"erp answered with an error: {said} ({'.'.join(what)})"
    assert (error.text, error.parameters, error.http_status) == (said, ("one", "", "", ""), 500)
    assert ("<why>4711</why>" in str(error.answer)) == (mode == "application_error")
    assert (len(erp.requests), erp.messages) == (1, [])


@pytest.mark.parametrize(
    ("mode", "more", "said"),
    [
        ("html", "", "answered 200 with something that is not SOAP"),
        ("broken", BEST, "something that is not SOAP: it is no XML"),
        ("doctype", "", "document type declaration"),
        ("empty", BEST, "answered without a response"),
        ("stranger", BEST, "answered another message than the one that was sent"),
        ("long", ", max_answer: 1000", "more than 1,000 bytes"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_told(erp: System, mode: str, more: str, said: str) -> None:
    cause = await failure(erp, more, mode)
    assert isinstance(cause, BackendError)
    assert said in str(cause)
    assert (len(erp.requests), len(erp.messages)) == (1, 1)


async def test_an_engine_that_stays_unable_is_told_with_its_reason(erp: System) -> None:
    text = receiver(erp, mode="transient").replace("times: 2", "times: 0")
    with pytest.raises(
        StepFailed, match=r"erp cannot take the message now: .*XIServer\.INTERNAL\.QUEUE_LOCKED"
    ) as caught:
        await sent(text, Message(body=ORDER))
    assert isinstance(caught.value.cause, Unavailable)


async def test_an_engine_that_does_not_answer_is_given_up_and_has_the_message_once(erp: System) -> None:
    cause = await failure(erp, ", timeout: 0.2", "hang")
    await anyio.to_thread.run_sync(erp.tell, "release")
    assert isinstance(cause, BackendUnavailable)
    assert (len(erp.requests), len(erp.messages)) == (3, 1)


@pytest.mark.parametrize(
    ("body", "properties", "said"),
    [
        ({"a": 1}, {}, "the main document has to be a text or bytes, and is a dict"),
        (None, {}, "is a NoneType"),
        (ORDER, {"files": "one"}, "`attachments` has to be a list"),
        (ORDER, {"files": [{"name": "a"}]}, "an attachment has to be a mapping"),
        (ORDER, {"files": [{"name": "a", "content": "b", "type": "text/x\r\nEvil: 1"}]}, "a content type holds"),
        (ORDER, {"files": [{"name": "\x00", "content": "b"}]}, "makes no XI message"),
    ],
)
async def test_what_makes_no_message_is_told_before_anything_is_sent(
    erp: System, body: Any, properties: dict[str, Any], said: str
) -> None:
    text = receiver(erp, ", attachments: '${properties.files}'")
    with pytest.raises(StepFailed, match=said) as caught:
        await sent(text, Message(body=body, properties=properties))
    assert isinstance(caught.value.cause, BadInput)
    assert erp.requests == []


async def test_wrong_credentials_are_told_without_them(erp: System) -> None:
    with pytest.raises(StepFailed, match=r"call: erp answered 401$") as caught:
        await sent(receiver(erp, user="eve"), Message(body=ORDER))
    assert isinstance(caught.value.cause, LogonFailed)
    assert "wrong" not in repr(caught.value.cause)
    assert erp.messages == []


async def test_a_message_to_another_address_than_an_engines_is_refused_by_it(erp: System) -> None:
    text = receiver(erp).replace("type=receiver&", "")
    with pytest.raises(StepFailed, match=r"XIProtocol\.PARSER\.ITEM_MISSING") as caught:
        await sent(text, Message(body=ORDER))
    assert isinstance(caught.value.cause, CallRefused)
    assert not isinstance(caught.value.cause, Unavailable)
