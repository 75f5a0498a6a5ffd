"""Bad input over the wire, at two processes on one store: each a clear OData error, and the session stays as it was.

Somebody edits an order, somebody else another. After each bad request of the first, sent to one process, both sessions
are looked at through the other.
"""

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from e2e.odata_tab import ONE, TWO, Tab
from e2e.pair import Pair, two_processes
from holdfast.odata import batch

SERVER = Path(__file__).with_name("odata_staff_server.py")
UNKNOWN = "A" * 43
MIB = 1024 * 1024
BATCH = "multipart/mixed;boundary=b"
Heads = Sequence[tuple[str, str]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("odata")
    store = f"sqlite:///{folder / 'sessions.db'}"
    command = [sys.executable, str(SERVER)]
    with two_processes(lambda port: [*command, str(port), store, str(folder / "orders.db")], store) as pair:
        yield pair


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def tabs(pair: Pair) -> tuple[Tab, Tab]:
    """Ada edits the first order, Bob the second."""
    ada, bob = Tab(pair, "ada"), Tab(pair, "bob")
    await ada.begin(ONE, "ada's")
    await bob.begin(TWO, "bob's")
    return ada, bob


@pytest.fixture
async def ada(tabs: tuple[Tab, Tab]) -> AsyncIterator[Tab]:
    """Ada's tab; after the test her session and Bob's are as they were, and nothing was stored."""
    ada, bob = tabs
    yield ada
    await ada.is_as_it_was(ONE, "ada's")
    await bob.is_as_it_was(TWO, "bob's")
    stored = await Tab(ada.pair, "eve").send("GET", "Orders?$orderby=ID&$select=ID,Note")
    rows = [(row["ID"], row["Note"]) for row in stored.json()["value"]]
    assert rows == [("1", "note 1"), ("2", "note 2"), ("3", "note 3")]


def multipart(*parts: bytes, boundary: bytes = b"b") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + one + b"\r\n" for one in parts) + b"--" + boundary + b"--\r\n"


def request(line: bytes, body: bytes = b"", *, name: bytes = b"") -> bytes:
    head = b"Content-Type:application/http\r\nContent-Transfer-Encoding:binary\r\n"
    named = b"Content-ID:" + name + b"\r\n" if name else b""
    return head + named + b"\r\n" + line + b" HTTP/1.1\r\nContent-Type:application/json\r\n\r\n" + body


def change_set(*parts: bytes) -> bytes:
    return b"Content-Type:multipart/mixed;boundary=c\r\n\r\n" + multipart(*parts, boundary=b"c")


PATCH = request(b"PATCH Orders('1')", b'{"Note":"x"}', name=b"0.0")
AS_BATCH = ("content-type", BATCH)

CASES: dict[str, tuple[str, str, Any, Heads, int, str, str | None]] = {
    # bodies
    "unknown property": ("PATCH", ONE, {"Nothing": 1}, (), 400, "wrong_value", "Nothing"),
    "unknown in a child": ("PATCH", ONE, {"Items": [{"Pos": 1, "X": 2}]}, (), 400, "wrong_value", "Items/0/X"),
    "a child without key": ("POST", f"{ONE}/Items", {"Text": "x"}, (), 400, "wrong_value", "Pos"),
    "wrong type": ("PATCH", ONE, {"Amount": "7"}, (), 400, "wrong_value", "Amount"),
    "number too large": ("PATCH", ONE, b'{"Amount":1e99}', (), 400, "wrong_value", "Amount"),
    "number too long": ("PATCH", ONE, b'{"Price":1e999999999}', (), 400, "wrong_value", "Price"),
    "no number": ("PATCH", ONE, b'{"Price":"NaN"}', (), 400, "wrong_value", "Price"),
    "text too long": ("PATCH", ONE, {"Note": "x" * 41}, (), 400, "wrong_value", "Note"),
    "null": ("PATCH", ONE, {"Note": None}, (), 400, "wrong_value", "Note"),
    "refused by the handler": ("PATCH", ONE, {"Amount": -1}, (), 422, "refused", "Amount"),
    "broken JSON": ("PATCH", ONE, b'{"Note":"x"', (), 400, "bad_request", None),
    "half a surrogate": ("PATCH", ONE, b'{"Note":"\\ud800"}', (), 400, "bad_request", None),
    "no UTF-8": ("PATCH", ONE, b'{"Note":"\xff"}', (), 400, "bad_request", None),
    "no object": ("PATCH", ONE, b'["Note"]', (), 400, "bad_request", None),
    "deep JSON": ("PATCH", ONE, b'{"Items":' * 50_000, (), 400, "bad_request", None),
    "deep and well-formed": (
        "PATCH",
        ONE,
        b'{"Items":' + b"[" * 900 + b"]" * 900 + b"}",
        (),
        400,
        "wrong_value",
        "Items/0",
    ),
    "10 MB": ("PATCH", ONE, b'{"Note":"' + b"x" * 10 * MIB + b'"}', (), 413, "body_too_large", None),
    "packed": ("PATCH", ONE, b"\x1f\x8b", [("content-encoding", "gzip")], 415, "unsupported_media_type", None),
    "XML": ("PATCH", ONE, b"<a/>", [("content-type", "application/xml")], 415, "unsupported_media_type", None),
    "more than a session holds": (
        "PATCH",
        ONE,
        {"Items": [{"Pos": at, "Text": "x" * 1000} for at in range(1500)]},
        (),
        413,
        "payload_too_large",
        None,
    ),
    # addresses
    "unknown set": ("GET", "Nothing", None, (), 404, "no_such_resource", None),
    "unknown entity": ("GET", "Orders('9')", None, (), 404, "no_such_resource", None),
    "bad key": ("GET", "Orders(1)", None, (), 400, "bad_value", "ID"),
    "two keys": ("GET", "Orders(ID='1',ID='1')", None, (), 400, "bad_query", None),
    "key that ends nowhere": ("GET", "Orders('1", None, (), 400, "bad_query", None),
    "header in a key": ("GET", "Orders('%0D%0ASet-Cookie:%20a=b')", None, (), 404, "no_such_resource", None),
    "zero in a key": ("GET", "Orders('1%00')", None, (), 404, "no_such_resource", None),
    "long key": ("GET", f"Orders('{'x' * 5000}')", None, (), 404, "no_such_resource", None),
    "no UTF-8 in the address": ("GET", "Orders('%FF')", None, (), 400, "bad_query", None),
    "deep address": ("GET", ONE + "/Items" * 500, None, (), 400, "bad_query", None),
    "unknown action": ("POST", f"{ONE}/Demo.Nothing", {}, (), 404, "no_such_resource", None),
    "action of the set": ("POST", "Orders/Demo.Save", {}, (), 404, "no_such_resource", None),
    "action by GET": ("GET", f"{ONE}/Demo.Save", None, (), 405, "method_not_allowed", None),
    "parameter unknown": ("POST", f"{ONE}/Demo.Raise", {"by": 1, "X": 1}, (), 400, "wrong_value", "X"),
    "parameter missing": ("POST", f"{ONE}/Demo.Raise", {}, (), 400, "wrong_value", "by"),
    "unknown method": ("MERGE", ONE, {"Note": "x"}, (), 405, "method_not_allowed", None),
    # the choreography
    "edit of another's": ("POST", f"{TWO}/Demo.Edit", {}, (), 422, "refused", "ID"),
    "save of what is not edited": ("POST", f"{TWO}/Demo.Save", {}, (), 409, "sticky_choreography", None),
    "change of what is not edited": ("PATCH", "Orders('3')", {"Note": "x"}, (), 409, "sticky_session_required", None),
    "removal of what is not edited": ("DELETE", "Orders('3')", None, (), 409, "sticky_session_required", None),
    "save with a body": ("POST", f"{ONE}/Demo.Save", {"Note": "x"}, (), 400, "wrong_value", "Note"),
    "discard with a body": ("POST", "Discard", {"x": 1}, (), 400, "wrong_value", "x"),
    "stale ETag": ("PATCH", ONE, {"Note": "x"}, [("if-match", 'W/"stale"')], 412, "precondition_failed", None),
    "stale ETag of a save": ("POST", f"{ONE}/Demo.Save", {}, [("if-match", 'W/"s"')], 412, "precondition_failed", None),
    # query options
    "bad filter": ("GET", "Orders?$filter=Note%20eq", None, (), 400, "bad_query", "$filter"),
    "filter of nothing known": ("GET", "Orders?$filter=X%20eq%201", None, (), 400, "bad_query", "$filter"),
    "filter of wrong types": ("GET", "Orders?$filter=Amount%20has%201", None, (), 400, "bad_query", "$filter"),
    "deep filter": ("GET", "Orders?$filter=" + "not%20" * 3000 + "true", None, (), 400, "bad_query", "$filter"),
    "long filter": (
        "GET",
        "Orders?$filter=" + "%20or%20".join(["Amount%20eq%201"] * 2000),
        None,
        (),
        400,
        "bad_query",
        "$filter",
    ),
    "search in brackets": ("GET", "Orders?$search=" + "(" * 999, None, (), 400, "bad_query", "$search"),
    "huge top": ("GET", "Orders?$top=99999999999999999999", None, (), 400, "bad_query", "$top"),
    "huge skip": ("GET", "Orders?$skip=99999999999999999999", None, (), 400, "bad_query", "$skip"),
    "top twice": ("GET", "Orders?$top=1&$top=2", None, (), 400, "bad_query", "$top"),
    "deep expand": (
        "GET",
        "Orders?$expand=" + "Items($expand=" * 60 + "Items" + ")" * 60,
        None,
        (),
        400,
        "bad_query",
        None,
    ),
    "expand of nothing known": ("GET", "Orders?$expand=Note", None, (), 400, "bad_query", "$expand"),
    "aggregation": ("GET", "Orders?$apply=groupby((Note))", None, (), 501, "not_supported", "$apply"),
    "foreign skip token": ("GET", "Orders?$skiptoken=abc", None, (), 400, "bad_request", "$skiptoken"),
    "unknown option": ("GET", "Orders?$nonsense=1", None, (), 400, "bad_query", "$nonsense"),
    "another format": ("GET", "Orders", None, [("accept", "application/atom+xml")], 406, "not_acceptable", None),
    "another version": ("GET", "Orders", None, [("odata-version", "3.0")], 400, "bad_request", None),
    # batches
    "a batch that is none": ("POST", "$batch", b"nothing", [AS_BATCH], 400, "broken_boundary", None),
    "a batch without boundary": (
        "POST",
        "$batch",
        b"",
        [("content-type", "multipart/mixed")],
        400,
        "broken_boundary",
        None,
    ),
    "a batch of another type": (
        "POST",
        "$batch",
        b"x",
        [("content-type", "text/plain")],
        415,
        "unsupported_media_type",
        None,
    ),
    "a batch by GET": ("GET", "$batch", None, (), 405, "method_not_allowed", None),
    "too many requests": ("POST", "$batch", multipart(*[PATCH] * 51), [AS_BATCH], 413, "batch_too_large", None),
    "a change set in a change set": (
        "POST",
        "$batch",
        multipart(PATCH, change_set(change_set(PATCH))),
        [AS_BATCH],
        400,
        "nested_change_set",
        None,
    ),
    "a read in a change set": (
        "POST",
        "$batch",
        multipart(PATCH, change_set(request(b"GET Orders", name=b"1"))),
        [AS_BATCH],
        400,
        "read_in_change_set",
        None,
    ),
    "changes that nobody can tell apart": (
        "POST",
        "$batch",
        multipart(change_set(PATCH, PATCH)),
        [AS_BATCH],
        400,
        "missing_content_id",
        None,
    ),
    "a JSON batch that is none": ("POST", "$batch", {"requests": 7}, (), 400, "bad_batch", None),
    # tokens
    "wrong CSRF token": ("PATCH", ONE, {"Note": "x"}, [("x-csrf-token", "wrong")], 403, "csrf_token_required", None),
    "no CSRF token": ("POST", "Discard", None, [("x-csrf-token", "Fetch")], 403, "csrf_token_required", None),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_is_wrong_is_told_and_the_session_stays(ada: Tab, case: str) -> None:
    # O6, O11, §1
    method, path, body, more, status, code, target = CASES[case]
    answer = await ada.send(method, path, body, *more)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error.get("target")) == (status, code, target), error
    assert error["message"]
    assert error["innererror"]["hint"]
    assert answer.headers["sap-contextid"] == ada.id
    assert answer.headers["sap-http-session-timeout"] == "300"
    assert answer.headers["content-type"] == "application/json"
    assert not {"set-cookie", "server-timing"} & set(answer.headers)
    assert "Traceback" not in answer.text
    if code == "csrf_token_required":
        assert answer.headers["x-csrf-token"] == "Required"


LOST = {
    "an unknown id": [("sap-contextid", UNKNOWN)],
    "an id of ABAP's": [("sap-contextid", "SID:ANON:host_TST_00:abc-ATT")],
    "no id at all": [("sap-contextid", "undefined")],
    "a long one": [("sap-contextid", "x" * 9000)],
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "POST", "DELETE"])
@pytest.mark.parametrize("case", LOST)
async def test_an_id_that_is_none_is_a_lost_session_and_nothing_is_done(ada: Tab, case: str, method: str) -> None:
    # O6
    body = None if method in ("GET", "HEAD", "DELETE") else {"Note": "x"}
    is_lost(await ada.send(method, ONE, body, *LOST[case]))


async def test_the_id_of_another_persons_tab_is_none(ada: Tab, tabs: tuple[Tab, Tab]) -> None:
    # O7
    _, bob = tabs
    for method, path, body in (
        ("GET", TWO, None),
        ("PATCH", TWO, {"Note": "stolen"}),
        ("POST", f"{TWO}/Demo.Save", {}),
        ("POST", "Discard", None),
        ("HEAD", "", None),
    ):
        is_lost(await ada.send(method, path, body, ("sap-contextid", bob.id)))
    is_lost(await ada.send("HEAD", "", None, ("sap-contextid", bob.id), ("sap-terminate", "session")))


async def test_two_ids_in_one_request_are_none(ada: Tab, tabs: tuple[Tab, Tab]) -> None:
    # O6
    _, bob = tabs
    for other in (bob.id, UNKNOWN, ada.id):
        for ids in ([ada.id, other], [other, ada.id]):
            is_lost(await ada.send("PATCH", ONE, {"Note": "x"}, *(("sap-contextid", one) for one in ids)))


async def test_a_batch_with_a_foreign_id_is_refused_whole(ada: Tab, tabs: tuple[Tab, Tab]) -> None:
    # O6
    _, bob = tabs
    for one in (bob.id, UNKNOWN):
        is_lost(await ada.send("POST", "$batch", multipart(PATCH), AS_BATCH, ("sap-contextid", one)))


async def test_another_persons_token_changes_nothing(ada: Tab, tabs: tuple[Tab, Tab]) -> None:
    # O13
    _, bob = tabs
    answer = await ada.send("PATCH", ONE, {"Note": "x"}, ("x-csrf-token", bob.token))
    assert (answer.status_code, answer.headers["x-csrf-token"], answer.headers["sap-contextid"]) == (
        403,
        "Required",
        ada.id,
    )


@pytest.mark.parametrize("authorization", ["Bearer 7", "Basic YWRhOmFkYQ==", "Bearer", ""])
async def test_who_is_nobody_learns_nothing_of_a_session(ada: Tab, authorization: str) -> None:
    # O7
    answer = await ada.send("GET", ONE, None, ("authorization", authorization))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "sap-contextid" not in answer.headers


async def test_parts_that_are_wrong_fail_alone_and_what_was_before_them_stays(ada: Tab, pair: Pair) -> None:
    # §6 rules 3 and 7: on an edit of its own, since the first part is carried out
    tab = Tab(pair, "carol")
    await tab.begin("Orders('3')", "carol's")
    wrong = [
        (b"PATCH Orders('3')", b'{"Nothing":1}', 400, "wrong_value", "Nothing"),
        (b"PATCH Orders('3')", b"{", 400, "bad_request", None),
        (b"POST Orders('3')/Demo.Nothing", b"{}", 404, "no_such_resource", None),
        (b"GET $metadata", b"", 400, "bad_request", None),
        (b"POST $batch", b"", 400, "bad_request", None),
        (b"GET http://elsewhere.example/x/Orders", b"", 400, "bad_request", None),
        (b"GET Orders('%0D%0A')", b"", 404, "no_such_resource", None),
    ]
    for line, body, status, code, target in wrong:
        sent = multipart(request(b"POST Orders('3')/Demo.Raise", b'{"by":1}'), request(line, body), PATCH)
        answer = await tab.send("POST", "$batch", sent, AS_BATCH)
        assert (answer.status_code, answer.headers["sap-contextid"]) == (200, tab.id)
        told = batch.read_answers(answer.headers["content-type"], answer.content)
        assert [one.status for one in told if isinstance(one, batch.Answer)] == [200, status]
        assert isinstance(told[1], batch.Answer)
        error = msgspec.json.decode(told[1].body)["error"]
        assert (error["code"], error.get("target")) == (code, target)
    assert (await tab.send("GET", "Orders('3')")).json()["Amount"] == len(wrong)
    assert (await tab.send("POST", "Discard", None)).status_code == 204


def is_lost(answer: httpx2.Response) -> None:
    assert (answer.status_code, answer.headers["sap-err-id"]) == (400, "ICMENOSESSION"), answer.text
    assert not {"sap-contextid", "sap-http-session-timeout", "set-cookie"} & set(answer.headers)
    assert answer.text in ("Session not found", "")
