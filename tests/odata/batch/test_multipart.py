"""Multipart batches as real clients send them, as none may be, and there and back (O11)."""

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata.batch import (
    Answer,
    BadBatch,
    BatchTooLarge,
    BrokenBoundary,
    ChangeSet,
    ChangeSetAnswer,
    Limits,
    MissingContentId,
    NestedChangeSet,
    Part,
    ReadInChangeSet,
    read_answers,
    read_multipart,
    referred,
    write_multipart,
    write_requests,
)

TYPE = "multipart/mixed; boundary=b"
ACCEPT = "application/json;odata.metadata=minimal;IEEE754Compatible=true"
JSON = "application/json;charset=UTF-8;IEEE754Compatible=true"


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


# As OpenUI5 1.152 writes it: no space after a colon, a bodiless GET behind the change set, text behind the end.
OPENUI5 = crlf(
    f"""--batch_id-1795233810895-11
Content-Type: multipart/mixed;boundary=changeset_id-1795233810895-12

--changeset_id-1795233810895-12
Content-Type:application/http
Content-Transfer-Encoding:binary
Content-ID:0.0

PATCH Orders('1') HTTP/1.1
Accept:{ACCEPT}
If-Match:W/"1"
Content-Type:{JSON}

{{"Note":"changed"}}
--changeset_id-1795233810895-12
Content-Type:application/http
Content-Transfer-Encoding:binary
Content-ID:1.0

POST Orders('1')/Demo.Save HTTP/1.1
Content-Type:{JSON}

{{}}
--changeset_id-1795233810895-12--

--batch_id-1795233810895-11
Content-Type:application/http
Content-Transfer-Encoding:binary

GET Orders?$skip=0&$top=10 HTTP/1.1
Accept:{ACCEPT}


--batch_id-1795233810895-11--
Group ID: $auto"""
)

# As Olingo writes it: every change in a change set of its own, lengths, absolute addresses.
OLINGO = crlf(
    """--batch_0b1
Content-Type: multipart/mixed; boundary=changeset_9f2
Content-Length: 316

--changeset_9f2
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 1

POST http://host:8080/svc/Orders HTTP/1.1
Content-Type: application/json;odata.metadata=minimal
Content-Length: 12

{"ID":"new"}
--changeset_9f2--
--batch_0b1
Content-Type: application/http
Content-Transfer-Encoding: binary

GET http://host:8080/svc/Orders?$filter=ID eq 'a b' HTTP/1.1
Accept: application/json

--batch_0b1--
"""
)

# As clients of CAP write it: a space before the boundary, LF alone, no Content-ID, no blank line behind headers.
CAP = b"""preamble to ignore
--batch
Content-Type: multipart/mixed; boundary="change set"

--change set
content-type: application/http

PATCH /svc/Orders('1') HTTP/1.1
content-type: application/json

{"Note":"x"}
--change set--

--batch
content-type: application/http

GET /svc/Orders HTTP/1.1
--batch--
"""


def test_a_batch_of_openui5_is_read() -> None:  # O11
    changes, read = read_multipart("multipart/mixed; boundary=batch_id-1795233810895-11", OPENUI5)
    assert isinstance(changes, ChangeSet)
    assert [(part.method, part.url, part.body, part.id) for part in changes.parts] == [
        ("PATCH", "Orders('1')", b'{"Note":"changed"}', "0.0"),
        ("POST", "Orders('1')/Demo.Save", b"{}", "1.0"),
    ]
    assert changes.parts[0].headers == {"accept": ACCEPT, "if-match": 'W/"1"', "content-type": JSON}
    assert read == Part(method="GET", url="Orders?$skip=0&$top=10", headers={"accept": ACCEPT})


def test_a_batch_of_olingo_is_read() -> None:
    changes, read = read_multipart("multipart/mixed;boundary=batch_0b1", OLINGO)
    assert isinstance(changes, ChangeSet)
    assert (changes.parts[0].url, changes.parts[0].body) == ("http://host:8080/svc/Orders", b'{"ID":"new"}')
    assert isinstance(read, Part)
    assert read.url == "http://host:8080/svc/Orders?$filter=ID eq 'a b'"


def test_a_batch_with_bare_line_feeds_and_a_lonely_change_without_id_is_read() -> None:
    changes, read = read_multipart('Multipart/Mixed; charset=utf-8; boundary="batch"', CAP)
    assert isinstance(changes, ChangeSet)
    assert changes.parts == (
        Part(
            method="PATCH",
            url="/svc/Orders('1')",
            headers={"content-type": "application/json"},
            body=b'{"Note":"x"}',
        ),
    )
    assert read == Part(method="GET", url="/svc/Orders")


def wrapped(inner: str, content_type: str = "application/http") -> bytes:
    return crlf(f"--b\nContent-Type: {content_type}\n\n{inner}\n--b--")


def changes(*requests: str) -> bytes:
    parts = "\n".join(f"--c\nContent-Type: application/http\n{request}" for request in requests)
    return wrapped(f"{parts}\n--c--", "multipart/mixed; boundary=c")


PATCH = "\nPATCH Orders('1') HTTP/1.1\n\n{}"
NESTED = "--d\nContent-Type: application/http\n\nPATCH x HTTP/1.1\n\n{}\n--d--"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (changes("\nGET Orders HTTP/1.1\n"), ReadInChangeSet),
        (changes(PATCH, PATCH), MissingContentId),
        (changes("Content-ID: 1\n" + PATCH, "Content-ID: 1\n" + PATCH), MissingContentId),
        (
            changes(PATCH).replace(b"application/http\r\n\r\nPATCH", b"multipart/mixed; boundary=d\r\n\r\n"),
            NestedChangeSet,
        ),
        (wrapped("--c--", "multipart/mixed; boundary=c"), BadBatch),
        (wrapped(NESTED, "multipart/mixed"), BrokenBoundary),
        (changes(PATCH).replace(b"--c--", b""), BrokenBoundary),
        (b"", BrokenBoundary),
        (b"--x--", BrokenBoundary),
        (b"--b", BrokenBoundary),
        (wrapped("GET x HTTP/1.1").removesuffix(b"--"), BrokenBoundary),
        (wrapped("GET x HTTP/1.1").replace(b"--b--", b"--bb--"), BrokenBoundary),
        (wrapped("GET x HTTP/1.1", "text/plain"), BadBatch),
        (wrapped("GET x"), BadBatch),
        (wrapped("GET HTTP/1.1"), BadBatch),
        (wrapped("BREW x HTTP/1.1"), BadBatch),
        (wrapped(""), BadBatch),
        (wrapped("GET x HTTP/1.1\nno header"), BadBatch),
        (wrapped("GET x HTTP/1.1\nbad name: x"), BadBatch),
        (wrapped("GET x HTTP/1.1\na: x\0y"), BadBatch),
        (wrapped("GET x HTTP/1.1\na: x\n folded"), BadBatch),
        (wrapped("POST x HTTP/1.1\nContent-Length: 9\n\n{}"), BadBatch),
        (wrapped("POST x HTTP/1.1\nContent-Length: 1\n\n{}"), BadBatch),
        (wrapped("POST x HTTP/1.1\nContent-Length: -1\n\n{}"), BadBatch),
        (wrapped("GET x HTTP/1.1\n" + "a: b\n" * 5000), BadBatch),
    ],
)
def test_a_batch_that_may_not_be_is_refused_with_a_code_of_its_own(body: bytes, error: type[BadBatch]) -> None:
    with pytest.raises(BadBatch) as refused:
        read_multipart(TYPE, body)
    assert type(refused.value) is error
    assert (refused.value.status, refused.value.code) == (400, error.code)


@pytest.mark.parametrize("content_type", ["application/json", "multipart/mixed", "multipart/form-data; boundary=b", ""])
def test_a_batch_needs_a_boundary(content_type: str) -> None:
    with pytest.raises(BrokenBoundary):
        read_multipart(content_type, wrapped("GET x HTTP/1.1"))


def test_a_batch_of_too_many_bytes_or_requests_is_refused() -> None:
    with pytest.raises(BatchTooLarge) as refused:
        read_multipart(TYPE, wrapped("GET x HTTP/1.1"), Limits(size=10))
    assert refused.value.status == 413
    part = b"--b\r\nContent-Type: application/http\r\n\r\nGET x HTTP/1.1\r\n\r\n"
    assert len(read_multipart(TYPE, part * 5 + b"--b--", Limits(requests=5))) == 5
    for body in (part * 6 + b"--b--", part * 4 + changes("Content-ID: 1\n" + PATCH, "Content-ID: 2\n" + PATCH)):
        with pytest.raises(BatchTooLarge, match="5 requests"):
            read_multipart(TYPE, body, Limits(requests=5))


@pytest.mark.parametrize(
    "hostile",
    [b"--b\r\n", b"\r\n--b ", b"\r\n\r\n", b"--c", b": ", b"a:b\r\n", b"--b\r\nContent-Type:a\r\n\r\n", b"\n"],
)
def test_what_is_hostile_is_refused_in_linear_time(hostile: bytes) -> None:
    body = hostile * (2_000_000 // len(hostile))
    begun = time.perf_counter()
    with pytest.raises(BadBatch):
        read_multipart(TYPE, b"--b\r\nContent-Type: application/http\r\n\r\n" + body)
    assert time.perf_counter() - begun < 3


def test_answers_repeat_ids_and_a_failed_change_set_is_one_plain_part() -> None:  # protocol §6 rule 7
    ok = Answer(status=200, headers={"Content-Type": "application/json", "OData-Version": "4.0"}, body=b"{}", id="0.0")
    gone = Answer(status=204, id="1.0")
    refused = Answer(status=400, headers={"Content-Type": "application/json"}, body=b'{"error":{}}')
    content_type, body = write_multipart([ChangeSetAnswer(answers=(ok, gone)), refused])
    assert body.count(b"Content-ID: ") == 2
    assert b"HTTP/1.1 204 No Content\r\n\r\n" in body
    changed, failed = read_answers(content_type, body)
    assert isinstance(changed, ChangeSetAnswer)
    assert [(one.status, one.body, one.id) for one in changed.answers] == [(200, b"{}", "0.0"), (204, b"", "1.0")]
    assert isinstance(failed, Answer)
    assert (failed.status, failed.body, failed.id) == (400, b'{"error":{}}', "")


def test_an_answer_without_a_status_is_refused() -> None:
    with pytest.raises(BadBatch, match="status"):
        read_answers(TYPE, wrapped("200 OK"))


def test_a_header_cannot_bring_lines_of_its_own() -> None:
    _, body = write_multipart([Answer(status=200, headers={"Location": "x\r\nSet-Cookie: a=b"})])
    assert b"\r\nSet-Cookie" not in body


def test_an_address_may_begin_with_the_id_of_an_earlier_request() -> None:
    located = {"1": "Orders('9')", "new": "http://host/svc/Orders('8')/"}
    assert referred("$1/Items", located) == "Orders('9')/Items"
    assert referred("$1", located) == "Orders('9')"
    assert referred("$new/Items", located) == "http://host/svc/Orders('8')/Items"
    assert referred("$metadata", located) == "$metadata"
    assert referred("Orders/$count", located) == "Orders/$count"


IDS = st.text("abc123.-", min_size=1, max_size=6)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
HEADERS = st.dictionaries(st.sampled_from(["accept", "if-match", "content-type", "x-a"]), VALUES, max_size=3)
BODIES = st.one_of(st.just(b""), st.binary(min_size=1, max_size=60).map(lambda one: b"x" + one))
URLS = st.text("Orders('1')/$%=?&", min_size=1, max_size=20)
CHANGES = st.builds(
    Part, method=st.sampled_from(["POST", "PATCH", "PUT", "DELETE"]), url=URLS, headers=HEADERS, body=BODIES, id=IDS
)
PARTS = st.builds(Part, method=st.just("GET"), url=URLS, headers=HEADERS, id=st.one_of(st.just(""), IDS))
SETS = st.builds(ChangeSet, parts=st.lists(CHANGES, min_size=1, max_size=3, unique_by=lambda one: one.id).map(tuple))


def bare(item: Part | ChangeSet) -> Part | ChangeSet:
    """Return an item without the lengths that writing adds."""
    if isinstance(item, ChangeSet):
        return ChangeSet(parts=tuple(bare(part) for part in item.parts))  # type: ignore[misc]
    headers = {name: value for name, value in item.headers.items() if name != "content-length"}
    return Part(method=item.method, url=item.url, headers=headers, body=item.body, id=item.id)


@settings(max_examples=100)
@given(st.lists(st.one_of(CHANGES, PARTS, SETS), max_size=4))
def test_what_is_written_is_read_back(items: list[Part | ChangeSet]) -> None:
    assert [bare(item) for item in read_multipart(*write_requests(items))] == items


PIECES = [b"--b", b"--", b"\r\n", b"\n", b"Content-Type: ", b"application/http", b"GET x HTTP/1.1", b"--c", b"\r\n\r\n"]
PIECES += [b"multipart/mixed; boundary=c", b"{}", b":", b"\xff", b"Content-ID: 1"]


@settings(max_examples=100)
@given(st.lists(st.sampled_from(PIECES)))
def test_any_body_is_a_batch_or_refused_as_one(pieces: list[bytes]) -> None:
    with suppress(BadBatch):
        assert all(isinstance(item, Part | ChangeSet) for item in read_multipart(TYPE, b"".join(pieces)))


@settings(max_examples=100)
@given(st.integers(0, len(OPENUI5)), st.binary(max_size=3), st.integers(0, 5))
def test_a_broken_batch_is_a_batch_or_refused_as_one(at: int, patch: bytes, cut: int) -> None:
    body = OPENUI5[:at] + patch + OPENUI5[at + cut :]
    with suppress(BadBatch):
        assert len(read_multipart("multipart/mixed; boundary=batch_id-1795233810895-11", body)) <= 3
