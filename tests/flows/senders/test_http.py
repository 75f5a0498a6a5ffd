"""The sender `http`: requests become messages, and what the flow makes of them answers."""

import logging
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from core.outage import switched
from flows.senders import scripts
from flows.senders.world import AUTHORIZED, served
from holdfast.errors import ConfigurationError
from holdfast.flows.model import read_flow
from holdfast.flows.monitoring import running
from holdfast.stores.memory import memory_store

ECHO = """\
flow: echo
sender: {adapter: http, path: /echo, methods: [POST, GET, HEAD], forward: [X-Kept]}
steps:
- script: flows.senders.scripts:note
- router: {routes: [{when: "properties.query.drop == 'yes'", do: [{filter: "1 == 2"}]}]}
"""


@pytest.fixture(autouse=True)
def fresh() -> None:
    scripts.seen.clear()
    scripts.gates["here"] = anyio.Event()


@pytest.mark.parametrize(
    ("sent", "kind", "body", "back", "back_kind"),
    [
        (b'{"a": [1, null]}', "application/json", {"a": [1, None]}, b'{"a":[1,null]}', "application/json"),
        (b"\xe4", "text/plain; charset=latin-1", "ä", b"\xe4", "text/plain; charset=latin-1"),
        (b"<a/>", "application/xml", "<a/>", b"<a/>", "application/xml"),
        (b"\x00\xff", "application/pdf", b"\x00\xff", b"\x00\xff", "application/pdf"),
        (b"", "text/plain", None, b"", None),
    ],
)
async def test_a_request_becomes_a_message_and_the_result_the_answer(
    tmp_path: Path, sent: bytes, kind: str, body: Any, back: bytes, back_kind: str | None
) -> None:
    # F15
    async with served(tmp_path, ECHO) as world:
        answer = await world.post("/echo?a=1&a=2&b=", sent, content_type=kind, x_kept="yes", cookie="x=1")
    assert (answer.status_code, answer.content, answer.headers.get("content-type")) == (200, back, back_kind)
    [message] = scripts.seen
    assert message.body == body
    assert message.id == answer.headers["holdfast-message"]
    assert answer.headers["x-kept"] == "yes"
    assert message.properties == {"query": {"a": "2", "b": ""}, "principal": "anna"}
    assert (message.headers["http-method"], message.headers["http-query"]) == ("POST", "a=1&a=2&b=")
    assert not {"authorization", "cookie", "content-length", "host"} & set(message.headers)


async def test_a_message_that_was_filtered_out_is_answered_with_nothing(tmp_path: Path) -> None:
    async with served(tmp_path, ECHO) as world:
        answer = await world.post("/echo?drop=yes", b"x")
    assert (answer.status_code, answer.content) == (204, b"")


async def test_only_who_logs_on_and_asks_for_what_is_there_is_served(tmp_path: Path) -> None:
    async with served(tmp_path, ECHO) as world:
        nobody = await world.client.post("/echo", content=b"x")
        wrong = await world.client.post("/echo", content=b"x", headers={"authorization": "Bearer no"})
        nowhere = await world.client.post("/other", headers=AUTHORIZED)
        method = await world.client.put("/echo", headers=AUTHORIZED)
        page = await world.client.post("/echo", headers={**AUTHORIZED, "origin": "https://evil.example"})
        head = await world.client.head("/echo", headers=AUTHORIZED)
    assert [(nobody.status_code, nobody.json()["code"]), wrong.status_code] == [(401, "token_missing"), 401]
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    assert (method.status_code, method.headers["allow"]) == (405, "POST, GET, HEAD")
    assert (page.status_code, page.json()["code"]) == (403, "foreign")
    assert (head.status_code, head.content) == (200, b"")
    assert len(scripts.seen) == 1


async def test_a_body_that_is_too_large_or_not_what_it_says_makes_no_message(tmp_path: Path) -> None:
    own = ECHO.replace("path: /echo", "path: /echo, max_body: 5")
    async with served(tmp_path, own, most=1000) as world:
        large = await world.post("/echo", b"123456")
        fits = await world.post("/echo", b"12345")
        no_json = await world.post("/echo", b"{", content_type="application/json")
        no_text = await world.post("/echo", b'"\xff"', content_type="application/json")
        packed = await world.post("/echo", b"x", content_encoding="gzip")
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    assert fits.status_code == 200
    assert [(each.status_code, each.json()["code"]) for each in (no_json, no_text, packed)] == [(400, "bad_input")] * 3
    assert len(scripts.seen) == 1


async def test_a_client_that_sends_too_much_is_told_when_to_come_back(tmp_path: Path) -> None:
    # E13: counted with the client's other requests
    async with served(tmp_path, ECHO, rate_limit_per_client=60, rate_burst=2) as world:
        answers = [await world.post("/echo", b"x") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert (answers[2].json()["code"], answers[2].headers["retry-after"]) == ("rate_limited", "1")
    assert len(scripts.seen) == 2


FAILING = """\
flow: failing
sender: {{adapter: http, path: /failing{more}}}
receivers: {{erp: {{adapter: http, url: 'http://127.0.0.1:9', retry: {{times: 0}}}}}}
steps:
- {step}
"""


@pytest.mark.parametrize(
    ("step", "status", "code"),
    [
        ("script: flows.senders.scripts:fail", 500, "script_failed"),
        ("call: erp", 503, "backend_unavailable"),
        ("split: {over: body.none, do: [{filter: body}]}", 400, "bad_input"),
    ],
)
@pytest.mark.parametrize("anonymous", [False, True])
async def test_a_failure_is_told_as_a_problem_and_to_the_unknown_by_its_code_alone(
    tmp_path: Path, step: str, status: int, code: str, *, anonymous: bool
) -> None:
    text = FAILING.format(step=step, more=", anonymous: true" if anonymous else "")
    async with served(tmp_path, text) as world:
        answer = await (world.client.post("/failing") if anonymous else world.post("/failing"))
    said = answer.json()
    assert (answer.status_code, said["status"], said["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.headers["holdfast-message"]) == 32
    assert ("retry-after" in answer.headers) == (status == 503)
    assert ("flow.yaml:5" in said.get("detail", "")) == (not anonymous)
    assert "Traceback" not in answer.text
    if anonymous:
        assert "hunter2" not in answer.text
        assert set(said) == {"title", "status", "code"}


ACCEPTING = """\
flow: accepting
sender: {adapter: http, path: /take, respond: accepted}
steps:
- script: flows.senders.scripts:wait
"""


async def test_who_need_not_wait_is_answered_at_once_and_the_message_goes_on(tmp_path: Path) -> None:
    async with served(tmp_path, ACCEPTING) as world:
        with anyio.fail_after(10):
            answer = await world.post("/take", b"x")
            while not scripts.seen:
                await anyio.lowlevel.checkpoint()
            assert (answer.status_code, answer.content, world.flows.busy) == (202, b"", True)
            assert scripts.seen[0].id == answer.headers["holdfast-message"]
            scripts.gates["here"].set()
            while world.flows.busy:
                await anyio.lowlevel.checkpoint()


async def test_what_is_accepted_is_stored_before_the_answer_and_what_cannot_be_is_not_accepted(tmp_path: Path) -> None:
    # F17
    store, switch = switched(memory_store())
    async with served(tmp_path, ACCEPTING, store=store) as world:
        with anyio.fail_after(10):
            answer = await world.post("/take", b"x")
            [entry] = await running(world.engine.manager)
            assert (entry.id, entry.message().body) == (answer.headers["holdfast-message"], b"x")
            switch.set("down")
            refused = await world.post("/take", b"y")
            assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
            switch.set("up")
            scripts.gates["here"].set()
            while world.flows.busy:
                await anyio.lowlevel.checkpoint()
    assert [message.body for message in scripts.seen] == [b"x"]


async def test_a_server_that_stops_begins_nothing_and_finishes_what_it_has_begun(tmp_path: Path) -> None:
    # M18
    waiting = ACCEPTING.replace("accepted", "result")
    taking = ACCEPTING.replace("accepting", "taking").replace("/take", "/b")
    answers = []
    async with served(tmp_path, {"a.yaml": waiting, "b.yaml": taking}) as world:

        async def send() -> None:
            answers.append(await world.post("/take", b"x"))

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                while not scripts.seen:
                    await anyio.lowlevel.checkpoint()
                world.flows.stop()
                refused = [await world.post("/take", b"y"), await world.post("/b", b"y")]
                scripts.gates["here"].set()
    assert [(each.status_code, each.json()["code"]) for each in refused] == [(503, "server_stopping")] * 2
    assert [(each.status_code, each.content) for each in answers] == [(200, b"x")]
    assert len(scripts.seen) == 1


async def test_what_is_given_up_is_answered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    answers = []
    async with served(tmp_path, ACCEPTING.replace("accepted", "result")) as world:

        async def send() -> None:
            answers.append(await world.post("/take", b"x"))

        with anyio.fail_after(10), caplog.at_level(logging.WARNING):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                while not scripts.seen:
                    await anyio.lowlevel.checkpoint()
                world.flows.give_up()
    assert [(each.status_code, each.json()["code"]) for each in answers] == [(503, "server_stopping")]
    assert f"message {scripts.seen[0].id}: the server has gone down" in caplog.text


@pytest.mark.parametrize(
    ("sender", "said"),
    [
        ("{adapter: http}", "missing required field `path`"),
        ("{adapter: http, path: orders}", "expected"),
        ("{adapter: http, path: /a, anonymus: true}", "the key 'anonymus' is not known here"),
        ("{adapter: http, path: /a, methods: [get]}", "expected an HTTP method in capitals"),
        ("{adapter: smtp}", "there is no adapter 'smtp'; there are: http, successfactors_soap, schedule$"),
        ("{path: /a}", "the sender names no adapter; there are: http"),
        ("[http]", "expected `object"),
    ],
)
def test_wrong_settings_are_told_with_their_line(sender: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^a\.yaml:3: .*{said}"):
        read_flow(f"flow: a\nsteps: [{{filter: body}}]\nsender: {sender}\n", "a.yaml")
