"""The adapter `odata_v4` against our own V4 server in a process of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.flows_fixtures import fixtures_of
from e2e.flows_world import Receiver, started
from holdfast.errors import BackendError, ConfigurationError
from holdfast.flows.failures import CallRefused
from holdfast.flows.message import Message
from holdfast.flows.runtime import StepFailed
from peers.flows import odata_world
from peers.flows.odata_world import flow

SERVICE = Path(odata_world.__file__).with_name("odata_v4_service.py")


class Shop(Receiver):
    """The running server."""

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        return dict(self.tell()["rows"])

    @property
    def requests(self) -> list[dict[str, Any]]:
        return list(self.tell()["requests"])

    @property
    def methods(self) -> list[str]:
        return [request["method"] for request in self.requests]

    def receiver(self, more: str, path: str = "/svc") -> str:
        return f"adapter: odata_v4, url: '{self.url}{path}', {more}"


@contextmanager
def running() -> Iterator[Shop]:
    with started(sys.executable, SERVICE) as receiver:
        yield Shop(receiver.port)


receiver_process, shop = fixtures_of(running)


async def sent(receiver: str, body: Any = None, **more: Any) -> Message:
    return await odata_world.sent(receiver, Message(body=body), auth="", **more)


async def test_a_query_brings_all_pages_that_it_asks_for(shop: Shop) -> None:  # F16
    options = "filter: \"Name ne '${body}' and Count lt ${len(body)}\", select: 'ID,Name', orderby: Count desc"
    answer = await sent(shop.receiver(f"resource: Parts, {options}, count: true"), "O'Neil & Söhne")
    assert [(row["ID"], row["Name"]) for row in answer.body] == [
        ("5", "100% / a+b?"),
        ("4", "nut"),
        ("3", "nail"),
        ("1", "bolt"),
    ]
    assert (answer.headers["odata-count"], shop.methods) == (4, ["GET", "GET"])
    assert shop.requests[0]["odata-version"] == "4.0"
    assert "Price" not in answer.body[0]


async def test_a_loop_takes_one_page_after_the_other(shop: Shop) -> None:
    steps = """\
- loop:
    while: properties.pages.erp
    max: 9
    do:
      - call: erp
      - modify: {properties: {seen: "${properties.seen}${len(body)} "}}
"""
    receiver = shop.receiver("resource: Parts, process_in_pages: true, page_size: 2")
    message = Message(properties={"seen": ""})
    result = await odata_world.sent(receiver, message, steps=steps, auth="")
    assert (result.properties["seen"], result.properties["pages"]) == ("2 2 1 ", {"erp": None})
    assert {request["prefer"] for request in shop.requests} == {"odata.maxpagesize=2"}


async def test_a_next_page_is_relative_to_the_context(shop: Shop) -> None:
    answer = await sent(shop.receiver("resource: Parts('1')/More", "/mode/nested"))
    assert [row["ID"] for row in answer.body] == ["1"]


@pytest.mark.parametrize("reuse", ["none", "on_exchange"])
async def test_entities_are_created_changed_and_deleted(shop: Shop, reuse: str) -> None:
    # statement 28: the token holds beside the cookie that comes with it; without re-use both go into one call
    async def change(settings: str, body: Any = None) -> Message:
        return await sent(shop.receiver(f"resource: Parts, csrf: true, {settings}"), body, reuse=reuse)

    made = await change("operation: create", {"ID": "n/1'", "Name": "ü", "Price": 9.9, "Count": 4})
    assert (made.headers["http-status"], made.body["Name"]) == (201, "ü")
    one = 'key: "n/1\'"'
    read = await change(f"operation: read, {one}")
    assert (read.headers["etag"], read.body["Price"]) == (read.body["@odata.etag"], 9.9)
    await change(f"operation: patch, {one}, etag: '*'", {"Count": 5})
    assert (shop.parts["n/1'"]["Count"], shop.parts["n/1'"]["Name"]) == (5, "ü")
    await change(f"operation: update, {one}", {"Name": "whole"})
    assert (shop.parts["n/1'"]["Name"], shop.parts["n/1'"]["Count"]) == ("whole", 0)
    with pytest.raises(StepFailed, match="erp answered 412: ") as caught:
        await change(f"operation: delete, {one}, etag: '${{body}}'", read.headers["etag"])
    assert isinstance(caught.value.cause, CallRefused)
    await change(f"operation: delete, {one}")
    assert "n/1'" not in shop.parts
    requests = shop.requests
    assert [each["cookie"] is not None for each in requests if each["method"] not in ("GET", "HEAD")] == [True] * 5
    assert [each["cookie"] for each in requests if each["method"] == "HEAD"] == [None] * 5


async def test_one_token_serves_all_changes_of_a_message(shop: Shop) -> None:
    create = shop.receiver("resource: Parts, operation: create, csrf: true")
    steps = "- send: erp\n- modify: {body: {ID: b}}\n- send: erp\n- modify: {body: {ID: c}}\n- send: erp"
    await sent(create, {"ID": "a"}, steps=steps, reuse="on_exchange")
    assert (set("abc") < set(shop.parts), shop.methods) == (True, ["HEAD", "POST", "POST", "POST"])
    assert len({each["cookie"] for each in shop.requests[1:]}) == 1


async def test_without_a_token_a_change_is_refused(shop: Shop) -> None:
    with pytest.raises(StepFailed, match="erp answered 403: csrf_token_required: CSRF token validation failed"):
        await sent(shop.receiver("resource: Parts, operation: create"), {"ID": "a"})
    assert "a" not in shop.parts


async def test_functions_and_actions_take_their_parameters(shop: Shop) -> None:
    sum_ = "operation: function, resource: Sum, parameters: {a: 2, b: '${body}'}"
    assert (await sent(shop.receiver(sum_), 40)).body == 42
    above = "operation: function, resource: Parts/Demo.Above, parameters: {count: 2, name: '${body}'}"
    assert [row["ID"] for row in (await sent(shop.receiver(above), "it's")).body] == ["3", "4", "5"]
    raise_ = "csrf: true, operation: action, resource: \"Parts('1')/Demo.Raise\""
    assert (await sent(shop.receiver(f"{raise_}, parameters: {{by: '${{body}}'}}"), 6)).body["Count"] == 7
    assert (await sent(shop.receiver(raise_), {"by": 3})).body["Count"] == 10
    assert shop.parts["1"]["Count"] == 10


async def test_numbers_are_texts_for_who_asks(shop: Shop) -> None:
    exact = "resource: Parts, key: '1', operation: read, headers: {Accept: application/json;IEEE754Compatible=true}"
    assert (await sent(shop.receiver(exact))).body["Price"] == "1.50"


@pytest.mark.parametrize(
    ("settings", "body", "status", "said"),
    [
        ("resource: Parts, key: '404', operation: read", None, 404, "erp answered 404: "),
        ("resource: Nothing", None, 404, "erp answered 404: "),
        ("resource: Parts, filter: Nothing eq 1", None, 400, "erp answered 400: "),
        ("resource: Parts, csrf: true, operation: create", {"ID": "n", "Count": -1}, 422, "the count is negative"),
        ("resource: Parts, csrf: true, operation: create", "{", 400, "erp answered 400: "),
    ],
)
async def test_an_error_of_the_service_has_its_code_and_message(
    shop: Shop, settings: str, body: Any, status: int, said: str
) -> None:
    with pytest.raises(StepFailed) as caught:
        await sent(shop.receiver(settings), body)
    cause = caught.value.cause
    assert isinstance(cause, CallRefused)
    assert said in str(cause)
    assert len(str(cause)) > len("erp answered 404: ")
    assert (cause.http_status, len(shop.parts)) == (status, 5)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("broken", "erp: what it answered cannot be read: it is no JSON"),
        ("html", "erp answered with text/html, which is no OData"),
        ("circle", "erp names a page as the next one that has been read"),
        ("far", "erp names a next page at another server, evil.example"),
        ("fault", "erp answered 500: E/1: it broke"),
    ],
)
async def test_what_is_no_answer_is_told(shop: Shop, mode: str, said: str) -> None:
    with pytest.raises(StepFailed, match=said) as caught:
        await sent(shop.receiver("resource: Parts", f"/mode/{mode}"))
    assert isinstance(caught.value.cause, BackendError)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("operation: merge", "invalid enum value 'merge'"),
        ("format: atom", "the key 'format' is not known here"),
        ("resource: Parts, etag: x, operation: action", "etag: the operation action compares no versions"),
        ("query: {$format: json}", "query: the format is not chosen by $format"),
    ],
)
async def test_settings_that_are_wrong_are_told_with_file_and_line(settings: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^orders\.yaml:3: ") as caught:
        async with flow(f"adapter: odata_v4, url: 'http://erp', {settings}"):
            pass
    assert said in str(caught.value)
