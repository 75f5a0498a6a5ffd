"""The adapter `http`: what goes out, what comes back, and sessions that are re-used by whole flows."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

from e2e.flows_world import Receiver
from holdfast.engine import open_engine
from holdfast.errors import BackendError, BackendUnavailable, BadInput, ConfigurationError, LogonFailed
from holdfast.flows import flow_kinds
from holdfast.flows.failures import CallRefused, NotCarriedOut
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import Credential, DeployedFlow, Message, Patience, StepFailed, deployed

Answer = Callable[[httpx2.Request], httpx2.Response]


async def no_sleep(seconds: float) -> None:
    """Wait for nothing."""


def known(name: str) -> Credential:
    return Credential(name, "secret")


@asynccontextmanager
async def flow(text: str, answer: Answer | None = None, **more: Any) -> AsyncIterator[DeployedFlow]:
    if answer is not None:
        more["transport"] = httpx2.MockTransport(answer)
    patience = Patience(no_sleep, lambda: 1.0)
    async with (
        open_engine("memory://", kinds=flow_kinds()) as engine,
        deployed(
            read_flow(text, "orders.yaml"), engine.manager, credentials=known, patience=patience, **more
        ) as running,
    ):
        yield running


async def called(receiver: str, message: Message, answer: Answer, step: str = "erp") -> Message | None:
    text = f"flow: orders\nreceivers:\n  erp: {{adapter: http, {receiver}}}\nsteps:\n- call: {step}"
    async with flow(text, answer) as running:
        return await running.process(message)


async def sent(receiver: str, message: Message, step: str = "erp") -> httpx2.Request:
    """Return the request that a message becomes."""
    requests = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(204)

    await called(receiver, message, answer, step)
    return requests[0]


@pytest.mark.parametrize(
    ("message", "method", "content", "kind"),
    [
        (Message(), "GET", b"", None),
        (Message(body="ä"), "POST", "ä".encode(), "text/plain; charset=utf-8"),
        (Message(body="<a/>", headers={"Content-Type": "application/xml"}), "POST", b"<a/>", "application/xml"),
        (Message(body=b"\0"), "POST", b"\0", "application/octet-stream"),
        (Message(body={"a": [1, None]}), "POST", b'{"a":[1,null]}', "application/json"),
        (Message(body=[], headers={"content-type": "text/plain"}), "POST", b"[]", "application/json"),
    ],
)
async def test_a_message_becomes_a_request(message: Message, method: str, content: bytes, kind: str | None) -> None:
    # F16
    request = await sent("url: 'http://erp/orders'", message)
    assert (request.method, str(request.url), request.content) == (method, "http://erp/orders", content)
    assert request.headers.get("content-type") == kind


async def test_only_headers_that_are_named_go_out_and_values_cannot_break_out_of_their_place() -> None:
    receiver = "url: 'http://erp/${body.id}?x=${body.id}', headers: {X-Id: 'no ${body.id}'}, forward: [Kept, None]"
    message = Message(body={"id": "a/../b?c&d#e"}, headers={"Kept": 1, "Left": 2})
    request = await sent(receiver, message, "{receiver: erp, path: '', method: PUT}")
    assert str(request.url) == "http://erp/a%2F..%2Fb%3Fc%26d%23e?x=a%2F..%2Fb%3Fc%26d%23e"
    assert (request.headers["x-id"], request.headers["kept"]) == ("no a/../b?c&d#e", "1")
    assert not {"left", "none"} & set(request.headers)
    with pytest.raises(StepFailed, match="the header 'X-Id' would hold") as caught:
        await sent(receiver, Message(body={"id": "1\r\nEvil: yes"}))
    assert isinstance(caught.value.cause, BadInput)


async def test_a_message_that_makes_no_request_is_told() -> None:
    with pytest.raises(StepFailed, match="this message makes no request to erp") as caught:
        await sent("url: 'http://erp:${body}'", Message(body="no port"))
    assert isinstance(caught.value.cause, BadInput)


async def test_a_body_that_no_json_can_say_is_told() -> None:
    with pytest.raises(StepFailed, match="a body of type object cannot be sent as JSON"):
        await sent("url: 'http://erp'", Message(body=object()))


async def test_a_step_says_path_and_method_of_its_call() -> None:
    request = await sent("url: 'http://erp/api/'", Message(), "{receiver: erp, path: /items/7, method: DELETE}")
    assert (request.method, str(request.url)) == ("DELETE", "http://erp/api/items/7")


async def test_credentials_are_named_in_the_flow_and_known_outside() -> None:
    basic = await sent("url: 'http://erp', auth: {basic: '${properties.user}'}", Message(properties={"user": "anna"}))
    assert basic.headers["authorization"] == "Basic " + base64.b64encode(b"anna:secret").decode()
    bearer = await sent("url: 'http://erp', auth: {bearer: token}", Message())
    assert bearer.headers["authorization"] == "Bearer secret"
    assert "secret" not in repr(known("anna"))


async def test_a_credential_that_nobody_knows_is_an_error_of_the_step() -> None:
    text = "flow: f\nreceivers: {erp: {adapter: http, url: 'http://x', auth: {basic: anna}}}\nsteps:\n- call: erp"
    async with (
        open_engine("memory://", kinds=flow_kinds()) as engine,
        deployed(read_flow(text, "f.yaml"), engine.manager) as running,
    ):
        with pytest.raises(StepFailed, match=r"^f\.yaml:4: call: there is no credential 'anna'$") as caught:
            await running.process(Message())
    assert isinstance(caught.value.cause, ConfigurationError)


@pytest.mark.parametrize(
    ("kind", "content", "body"),
    [
        ("application/json; charset=utf-8", b'{"a": 1}', {"a": 1}),
        ("application/problem+json", b"[]", []),
        ("application/json", b"", None),
        ("text/plain; charset=latin-1", "ä".encode("latin-1"), "ä"),
        ("application/xml", b"<a/>", "<a/>"),
        ("application/pdf", b"%PDF", b"%PDF"),
        ("", b"", None),
    ],
)
async def test_an_answer_becomes_a_message(kind: str, content: bytes, body: Any) -> None:
    headers = {"X-More": "true", **({"content-type": kind} if kind else {})}
    message = Message(headers={"mine": 1}, properties={"p": 1})
    result = await called(
        "url: 'http://erp'", message, lambda _: httpx2.Response(200, headers=headers, content=content)
    )
    assert result is not None
    assert (result.body, result.properties) == (body, {"p": 1})
    assert (result.headers["x-more"], result.headers["mine"], result.headers["http-status"]) == ("true", 1, 200)
    assert "set-cookie" not in result.headers


async def test_an_answer_that_is_not_the_json_it_says_is_told() -> None:
    answer = httpx2.Response(200, headers={"content-type": "application/json"}, content=b"{")
    with pytest.raises(StepFailed, match=r"orders\.yaml:5: call: erp answered with something that is not the JSON"):
        await called("url: 'http://erp'", Message(), lambda _: answer)


@pytest.mark.parametrize(
    ("method", "status", "error", "times"),
    [
        ("GET", 503, BackendUnavailable, 3),
        ("POST", 503, BackendUnavailable, 1),
        ("POST", 429, NotCarriedOut, 3),
        ("GET", 404, CallRefused, 1),
        ("GET", 302, CallRefused, 1),
        ("POST", 500, CallRefused, 1),
        ("GET", 401, LogonFailed, 1),
    ],
)
async def test_a_refusal_is_an_error_and_repeated_where_that_is_safe(
    method: str, status: int, error: type[BackendError], times: int
) -> None:
    # F17
    requests = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(status, text="why")

    with pytest.raises(StepFailed, match=f"erp answered {status}") as caught:
        await called(f"url: 'http://erp', method: {method}", Message(), answer)
    assert isinstance(caught.value.cause, error)
    assert len(requests) == times


async def test_a_refusal_can_be_an_answer() -> None:
    result = await called(
        "url: 'http://erp', accept_errors: true", Message(), lambda _: httpx2.Response(404, text="no")
    )
    assert result is not None
    assert (result.body, result.headers["http-status"]) == ("no", 404)


@pytest.mark.parametrize(
    ("receiver", "raised", "times"),
    [
        ("method: POST", httpx2.ConnectError("refused"), 3),
        ("method: POST", httpx2.ReadError("reset"), 1),
        ("method: POST, repeatable: true", httpx2.ReadError("reset"), 3),
        ("method: GET", httpx2.ReadError("reset"), 3),
        ("method: GET, stateful: true", httpx2.ReadError("reset"), 1),
        ("method: GET, stateful: true", httpx2.ConnectError("refused"), 3),
    ],
)
async def test_a_broken_connection_is_repaired_where_that_is_safe(receiver: str, raised: Exception, times: int) -> None:
    # F17: the next block of a stateful receiver is another one
    requests = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        raise raised

    with pytest.raises(StepFailed) as caught:
        await called(f"url: 'http://erp', {receiver}", Message(), answer)
    assert isinstance(caught.value.cause, BackendUnavailable)
    assert len(requests) == times


# -- sessions, against a receiver in a process of its own


def blocks(erp: Receiver, reuse: str) -> str:
    return f"""\
flow: orders
http_session_reuse: {reuse}
receivers:
  erp: {{adapter: http, url: '{erp.url}', auth: {{basic: anna}}, stateful: true}}
steps:
  - loop:
      while: body.more
      max: 10
      do:
        - call: {{receiver: erp, path: /blocks, method: GET}}
        - modify: {{body: "${{json(body)}}"}}
        - script: flows.runtime.scripts:append_block
"""


async def test_a_loop_reads_a_stateful_receiver_and_messages_in_parallel_do_not_mix(erp: Receiver) -> None:
    # F1, statement 26
    results: list[Message | None] = []
    async with flow(blocks(erp, "on_exchange")) as running, anyio.create_task_group() as group:
        with anyio.fail_after(30):
            for _ in range(4):
                group.start_soon(lambda: _collect(running, results))
    read = [[block["block"] for block in result.properties["blocks"]] for result in results if result]
    assert read == [[1, 2, 3, 4, 5]] * 4
    assert (erp.authentications, erp.sessions) == (4, 4)


async def _collect(running: DeployedFlow, results: list[Message | None]) -> None:
    results.append(await running.process(Message()))


async def test_without_re_use_the_loop_gets_the_first_block_for_ever(erp: Receiver) -> None:
    # statement 27
    async with flow(blocks(erp, "none")) as running:
        with pytest.raises(StepFailed, match=r"^orders\.yaml:6: loop: 10 rounds are over"):
            await running.process(Message())
    assert erp.authentications == 10


@pytest.mark.parametrize(("before", "sessions"), [("", 3), ("- send: {receiver: erp, path: /whole/first}", 1)])
async def test_parallel_branches_share_the_session_that_was_there(erp: Receiver, before: str, sessions: int) -> None:
    # F8, statements 21 and 22
    text = f"""\
flow: orders
http_session_reuse: on_exchange
receivers: {{erp: {{adapter: http, url: '{erp.url}', auth: {{basic: anna}}}}}}
steps:
{before}
- split: {{over: '[1, 2, 3]', parallel: true, do: [{{call: {{receiver: erp, path: /whole/part, method: GET}}}}]}}
"""
    async with flow(text) as running:
        await running.process(Message())
        told = [finding.code for finding in running.deployment.findings]
    assert (erp.sessions, erp.authentications) == (sessions, sessions)
    assert told == (["branches", "branches"] if sessions == 3 else [])  # before it runs, and how many there were


async def test_a_receiver_that_nobody_listens_at_is_told_with_the_line() -> None:
    text = "flow: f\nreceivers: {erp: {adapter: http, url: 'http://127.0.0.1:9'}}\nsteps:\n- call: erp"
    async with flow(text) as running:
        with pytest.raises(StepFailed, match=r"^orders\.yaml:4: call: erp cannot be reached \(ConnectError\)$"):
            await running.process(Message())
