"""The adapter `successfactors_soap` against SFAPI by spyne: logons, sessions, pages, changes (F5, F16)."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from e2e.flows_fixtures import fixtures_of
from e2e.flows_world import Receiver, running_flow, started
from holdfast.errors import BackendError, BackendUnavailable, BadInput, HoldfastError, LogonFailed, SessionExpiredError
from holdfast.flows.failures import CallRefused, NotCarriedOut, SoapFault
from holdfast.flows.runtime import Credential, Message, StepFailed
from peers.flows.soap_world import called, flow

PEER = Path(__file__).with_name("sfapi_spyne.py")
SELECT = "SELECT id, firstName FROM User"
THREE_CALLS = "- split: {over: '[1, 2, 3]', do: [{call: erp}]}"

IDLING = "- call: erp\n- script: peers.flows.test_sfapi:idle_out\n- call: erp"


receiver_process, hr = fixtures_of(partial(started, sys.executable, "-W", "ignore", PEER))


def settings(hr: Receiver, more: str = "", *, mode: str = "", user: str = "anna") -> str:
    url = f"{hr.url}/sfapi" + (f"?mode={mode}" if mode else "")
    return f"adapter: successfactors_soap, url: '{url}', company: ACME, auth: {{basic: {user}}}{more}"


def query(hr: Receiver, text: str = SELECT, more: str = "", **where: str) -> str:
    return settings(hr, f', query: "{text}"{more}', **where)


def change(hr: Receiver, operation: str, more: str = "", **where: str) -> str:
    return settings(hr, f", operation: {operation}, object: User{more}", **where)


def operations(hr: Receiver) -> list[str]:
    return list(hr.tell()["operations"])


async def failed(
    receiver: str, error: type[HoldfastError], text: str, body: Any = None, reuse: str = "none"
) -> HoldfastError:
    """Return why a call failed; the flow's file and line are told with it, and no secret."""
    with pytest.raises(StepFailed, match=rf"orders\.yaml:5: call: .*{text}") as caught:
        await called(receiver, body, reuse=reuse)
    assert type(caught.value.cause) is error
    assert "secret" not in str(caught.value)
    return caught.value.cause


async def test_a_query_logs_on_once_and_brings_all_pages(hr: Receiver) -> None:
    answer = await called(query(hr), None, reuse="on_exchange")
    assert len(answer.body) == 450
    assert answer.body[7] == {
        "id": "u0007",
        "type": "User",
        "firstName": "Ann<u0007>",
        "lastName": "Name7",
        "lastModified": "2026-01-01T00:00:00Z",
    }
    assert [row["id"] for row in answer.body] == sorted(row["id"] for row in answer.body)
    assert operations(hr)[:4] == ["login", "query", "queryMore", "queryMore"]
    assert (hr.authentications, hr.sessions) == (1, 1)
    told = hr.tell()["requests"]
    assert [request["cookie"] is None for request in told[:4]] == [True, False, False, False]
    assert told[1]["param"] == {"maxRows": "200"}
    assert {request["user"] for request in told[1:4]} == {"anna"}


async def test_values_are_put_into_a_query_and_none_can_end_its_place(hr: Receiver) -> None:
    receiver = query(hr, SELECT + " WHERE lastName = '${body}'", ", page: 50")
    answer = await called(receiver, "Name3")
    assert [row["id"] for row in answer.body[:2]] == ["u0003", "u0013"]
    assert len(answer.body) == 45
    for evil in ("x' OR id > '", 'x"', "x\\"):
        await failed(receiver, BadInput, "put into the query has a quote", evil)
    assert operations(hr).count("query") == 1


@pytest.mark.parametrize(("reuse", "sessions"), [("none", 3), ("on_exchange", 1), ("on_integration_flow", 1)])
async def test_three_calls_log_on_as_often_as_the_setting_says(hr: Receiver, reuse: str, sessions: int) -> None:
    # F1, F2, statements 1, 2, 4 and 30
    receiver = query(hr, SELECT + " WHERE id = 'u0001'")
    async with flow(receiver, reuse=reuse, steps=THREE_CALLS) as running:
        result = await running.process(Message())
    assert result is not None
    assert [[row["id"] for row in rows] for rows in result.body] == [["u0001"]] * 3
    assert (hr.authentications, hr.sessions) == (sessions, sessions)
    assert operations(hr).count("query") == 3


@pytest.mark.parametrize(("reuse", "sessions"), [("on_exchange", 8), ("on_integration_flow", 1)])
async def test_messages_in_parallel_log_on_once_each_or_once_in_all(hr: Receiver, reuse: str, sessions: int) -> None:
    # F1, statements 3 and 4
    receiver = query(hr, SELECT + " WHERE id = 'u0001'")
    async with (
        flow(receiver, reuse=reuse, steps="- call: erp\n- call: erp") as running,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(8):
            tasks.start_soon(running.process, Message())
    assert (hr.authentications, hr.sessions) == (sessions, sessions)
    assert operations(hr).count("query") == 16


@pytest.mark.parametrize("idles", [False, True])
async def test_the_session_is_logged_off_at_the_end_of_the_message(hr: Receiver, *, idles: bool) -> None:
    # one that the receiver has dropped by itself does not keep the message's node from being closed
    steps = "- call: erp" + ("\n- script: peers.flows.test_sfapi:idle_out" if idles else "")
    receiver = query(hr, SELECT + " WHERE id = 'u0001'")
    async with flow(receiver, reuse="on_exchange", steps=steps) as running:
        await running.process(Message(properties={"url": hr.url}))
        with anyio.fail_after(20):
            while "logout" not in operations(hr):
                await anyio.sleep(0.05)
        exchanges = [record async for record in running.deployment.manager.each("kind", "exchange")]
        with anyio.fail_after(20):
            for record in exchanges:
                assert await running.deployment.manager.gone(record.ref, timeout=15)
    assert hr.tell()["ended"] == (0 if idles else 1)
    assert operations(hr) == ["login", "query", "logout"]


async def test_that_nothing_is_re_used_is_told_at_load(hr: Receiver) -> None:
    # statement 31
    for reuse, told in (("none", ["reuse_wanted"]), ("on_exchange", [])):
        async with flow(query(hr), reuse=reuse) as running:
            assert [finding.code for finding in running.deployment.findings] == told
    assert operations(hr) == []


async def test_another_user_of_the_same_session_is_told(hr: Receiver) -> None:
    # F3, statement 10: here the second user is computed
    receiver = query(hr, SELECT + " WHERE id = 'u0001'", user="'${properties.user}'")
    steps = "- call: erp\n- modify: {properties: {user: berta}}\n- call: erp"
    async with flow(receiver, reuse="on_exchange", steps=steps) as running:
        await running.process(Message(properties={"user": "anna"}))
        assert "second_user" in [finding.code for finding in running.deployment.findings]
    assert hr.authentications == 1
    assert [request["user"] for request in hr.tell()["requests"] if request["operation"] == "query"] == ["anna"] * 2


@pytest.mark.parametrize("reuse", ["on_exchange", "on_integration_flow"])
async def test_a_session_that_idled_out_is_opened_anew_and_nothing_is_lost(hr: Receiver, reuse: str) -> None:
    # F7, statement 13
    receiver = query(hr, SELECT + " WHERE id = 'u0001'")
    async with flow(
        receiver, reuse=reuse, steps="- call: erp\n- script: peers.flows.test_sfapi:idle_out\n- call: erp"
    ) as running:
        result = await running.process(Message(properties={"url": hr.url}))
    assert result is not None
    assert [row["id"] for row in result.body] == ["u0001"]
    assert (hr.authentications, hr.sessions) == (2, 2)
    assert operations(hr)[:5] == ["login", "query", "query", "login", "query"]


def idle_out(message: Message) -> None:
    """Let the sessions at the receiver idle out."""
    receiver = Receiver(0)
    receiver.url = message.properties["url"]
    receiver.tell("advance", 601)


async def test_a_query_goes_on_behind_the_last_row_when_its_session_is_gone(hr: Receiver) -> None:
    answer = await called(query(hr, mode="drop"), None, reuse="on_exchange")
    ids = [row["id"] for row in answer.body]
    assert ids == [f"u{number:04}" for number in range(450)]
    assert hr.authentications > 1
    assert any(request.get("param", {}).get("startRow") == "200" for request in hr.tell()["requests"])


async def test_a_stateful_receiver_whose_session_is_gone_fails_the_message(hr: Receiver) -> None:
    # F7
    receiver = query(hr, SELECT + " WHERE id = 'u0001'", ", stateful: true")
    async with flow(receiver, reuse="on_exchange", steps=IDLING) as running:
        with pytest.raises(StepFailed) as caught:
            await running.process(Message(properties={"url": hr.url}))
    assert isinstance(caught.value.cause, SessionExpiredError)
    assert hr.authentications == 1


async def test_objects_are_inserted_updated_and_deleted_in_batches(hr: Receiver) -> None:
    new = [{"id": f"n{number}", "firstName": f"<{number}>", "lastName": None} for number in range(5)]
    answer = await called(change(hr, "insert", ", page: 2"), new, reuse="on_exchange")
    assert [(each["id"], each["editStatus"]) for each in answer.body] == [
        (f"n{number}", "INSERTED") for number in range(5)
    ]
    assert operations(hr)[:4] == ["login", "insert", "insert", "insert"]
    await called(change(hr, "update"), {"id": "n1", "firstName": "Ada"})
    await called(change(hr, "upsert", ", parameters: {mode: delta}"), [{"id": "n9", "firstName": "Eve"}])
    await called(change(hr, "delete"), [{"id": "n0"}])
    users = hr.tell()["users"]
    assert "n0" not in users
    assert [users[name]["firstName"] for name in ("n1", "n2", "n9")] == ["Ada", "<2>", "Eve"]
    assert "<processingParam><name>mode</name><value>delta</value>" in hr.tell()["requests"][-3]["body"]


async def test_objects_that_were_not_changed_are_an_error_unless_they_may_be(hr: Receiver) -> None:
    objects = [{"id": "n1"}, {"id": "u0001"}]
    error = await failed(
        change(hr, "insert"), CallRefused, "did not insert 1 of 2 objects, .*: not INSERTED: u0001", objects
    )
    assert isinstance(error, CallRefused)
    assert "n1" in hr.tell()["users"]
    answer = await called(change(hr, "insert", ", accept_errors: true"), objects)
    assert [each.get("errorStatus") for each in answer.body] == ["REFUSED", "REFUSED"]


@pytest.mark.parametrize("body", ["text", 7, [1], {"first name": "x"}, {"firstName": "\0"}, {"firstName": object()}])
async def test_what_are_no_objects_is_told_and_nothing_is_sent(hr: Receiver, body: Any) -> None:
    await failed(change(hr, "insert"), BadInput, "", body)
    assert operations(hr) == []


@pytest.mark.parametrize(
    ("mode", "error", "text"),
    [
        ("busy", BackendUnavailable, "answered 503"),
        ("cut", BackendUnavailable, "did not answer"),
        ("html", BackendError, "not SOAP"),
        ("empty", BackendError, "no result of SFAPI"),
        ("other", BackendError, "no result of SFAPI"),
        ("long", BackendError, "more than 50,000 bytes"),
        ("busy_login", NotCarriedOut, "answered 503"),
        ("no_id", LogonFailed, "refuses the logon"),
    ],
)
@pytest.mark.parametrize("reuse", ["none", "on_exchange"])
async def test_an_answer_that_makes_no_sense_is_told(
    hr: Receiver, reuse: str, mode: str, error: type[HoldfastError], text: str
) -> None:
    receiver = query(hr, SELECT + " WHERE id = 'u0001'", ", max_answer: 50000, retry: {times: 0}", mode=mode)
    with pytest.raises(StepFailed, match=rf"orders\.yaml:5: call: .*{text}") as caught:
        await called(receiver, None, reuse=reuse)
    assert isinstance(caught.value.cause, error)


async def test_a_user_who_may_not_log_on_is_told_without_the_password(hr: Receiver) -> None:
    await failed(query(hr, user="eve"), LogonFailed, "refuses the logon: unknown company, user or password")
    assert operations(hr) == ["login"]


async def test_a_receiver_that_forgets_every_session_is_asked_twice_and_no_more(hr: Receiver) -> None:
    await failed(query(hr, mode="forget"), SoapFault, "there is no such session", reuse="on_exchange")
    assert operations(hr)[:4] == ["login", "query", "login", "query"]
    assert hr.authentications == 2


async def test_a_password_that_no_xml_can_hold_is_told_and_not_shown(hr: Receiver) -> None:
    text = f"flow: a\nreceivers: {{erp: {{{query(hr)}}}}}\nsteps: [call: erp]"
    async with running_flow(text, credentials=lambda name: Credential(name, "hunter\0")) as running:
        with pytest.raises(StepFailed, match="user or password has a character") as caught:
            await running.process(Message())
    assert isinstance(caught.value.cause, BadInput)
    assert "hunter" not in str(caught.value)
    assert operations(hr) == []


async def test_a_query_that_is_none_is_told_with_what_the_receiver_says(hr: Receiver) -> None:
    error = await failed(
        query(hr, "SELECT what"), SoapFault, r"answered with a fault: what is this\?", reuse="on_exchange"
    )
    assert isinstance(error, SoapFault)
    assert "INVALID_SFQL" in error.detail
    assert hr.authentications == 1


async def test_more_rows_than_there_may_be_are_an_error(hr: Receiver) -> None:
    await failed(query(hr, more=", max_rows: 300"), BackendError, "more than 300 rows")


async def test_a_receiver_that_sets_no_cookie_is_known_to_nobody_and_that_is_told(hr: Receiver) -> None:
    # F2
    async with flow(query(hr, mode="plain"), reuse="on_exchange") as running:
        with pytest.raises(StepFailed, match="there is no such session"):
            await running.process(Message())
        assert "no_cookie" in [finding.code for finding in running.deployment.findings]
    assert operations(hr) == ["login", "query"]


@pytest.mark.parametrize(
    ("receiver", "text"),
    [
        ("company: A, query: x", "`auth: {basic: …}` is missing"),
        ("company: A, auth: {basic: a}", "the operation `query` needs `query`"),
        ("company: A, auth: {basic: a}, operation: insert", "the operation `insert` needs `object`"),
    ],
)
async def test_settings_that_lack_something_are_told_with_their_line(receiver: str, text: str) -> None:
    with pytest.raises(HoldfastError, match=r"orders\.yaml:3: .*" + text.replace("{", r"\{")):
        async with flow(f"adapter: successfactors_soap, url: 'http://x', {receiver}"):
            pass
