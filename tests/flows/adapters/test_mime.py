"""Multipart bodies: what is put in comes out byte for byte, and what is malformed is told."""

import email
import email.policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.flows.adapters.mime import MOST_PARTS, multipart, parameter, parts_of

KIND = 'multipart/related; boundary="b 1"; type="text/xml"; start="<a@b>"'
CONTENTS = st.lists(st.one_of(st.binary(max_size=60), st.text("\r\n-b1 :", max_size=20).map(str.encode)), max_size=4)


@given(contents=CONTENTS.filter(lambda contents: not any(b"--edge" in content for content in contents)))
@settings(max_examples=100, deadline=None)
def test_parts_come_out_as_they_were_put_in(contents: list[bytes]) -> None:
    headers = {"Content-Type": "application/octet-stream", "Content-ID": "<c@d>"}
    body = multipart([(headers, content) for content in contents], "edge")
    if not contents:
        assert parts_of("multipart/related; boundary=edge", body) == ()
        return
    parts = parts_of("multipart/related; boundary=edge", body)
    assert [part.content for part in parts] == contents
    assert {(part.content_id, part.content_type) for part in parts} == {("c@d", "application/octet-stream")}
    assert all(part.raw.endswith(part.content) and part.raw.startswith(b"Content-Type: ") for part in parts)


@given(contents=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_another_reader_sees_the_same_parts(contents: list[bytes]) -> None:
    headers = {"Content-Type": "application/octet-stream", "Content-Transfer-Encoding": "binary"}
    kind = b"Content-Type: multipart/related; boundary=edge-of-parts\r\n\r\n"
    body = multipart([(headers, content) for content in contents], "edge-of-parts")
    read = email.message_from_bytes(kind + body, policy=email.policy.HTTP)
    assert [part.get_payload(decode=True) for part in read.iter_parts()] == contents


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_parts_or_told(content: bytes) -> None:
    try:
        parts = parts_of("multipart/mixed; boundary=b", b"--b\r\n" + content)
    except ValueError:
        return
    assert all(isinstance(part.content, bytes) for part in parts)


@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
def test_preamble_epilogue_blanks_and_either_end_of_line_are_read(line: bytes) -> None:
    text = b"before|--b 1 \t|content-id: <1>||one|two|--b 1||three|--b 1--|after|--b 1|".replace(b"|", line)
    first, second = parts_of(KIND, text)
    assert (first.content_id, first.content) == ("1", line.join([b"one", b"two"]))
    assert (second.content_type, second.content, second.content_id) == ("text/plain", b"three", "")


@pytest.mark.parametrize(
    ("encoding", "written", "content"),
    [
        ("base64", b"YW\r\nJj\r\n", b"abc"),
        ("Quoted-Printable ", b"a=3Db=\r\nc", b"a=bc"),
        ("BINARY", b"a=3D", b"a=3D"),
    ],
)
def test_a_part_is_taken_out_of_its_transfer_encoding(encoding: str, written: bytes, content: bytes) -> None:
    (part,) = parts_of(KIND, multipart([({"Content-Transfer-Encoding": encoding}, written)], "b 1"))
    assert part.content == content


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("multipart/related", b"--b\r\n\r\n--b--", "names no boundary"),
        ('multipart/related; boundary="b\xe4"', b"", "names no boundary"),
        (f"multipart/related; boundary={'b' * 71}", b"", "names no boundary"),
        (KIND, b"", "no part"),
        (KIND, b"--b 1--\r\nx--b 1", ""),
        (KIND, b"--b 1\r\n\r\ncut off", "no end"),
        (KIND, b"--b 1\r\nx: " + b"y" * 20_000 + b"\r\n\r\n\r\n--b 1--", "too long headers"),
        (KIND, b"--b 1\r\n\r\n" * (MOST_PARTS + 2) + b"--b 1--", "more than 1000 parts"),
        (KIND, b"--b 1\r\nContent-Transfer-Encoding: x-uu\r\n\r\n\r\n--b 1--", "unknown transfer encoding"),
        (KIND, b"--b 1\r\nContent-Transfer-Encoding: base64\r\n\r\nY\r\n--b 1--", "base64"),
    ],
)
def test_a_malformed_body_is_told(kind: str, content: bytes, said: str) -> None:
    if not said:
        assert parts_of(kind, content) == ()
        return
    with pytest.raises(ValueError, match=said):
        parts_of(kind, content)


def test_a_part_may_have_no_content_at_all() -> None:
    first, second = parts_of(KIND, b"--b 1\r\n\r\n--b 1\r\nContent-ID: <1>\r\n--b 1--")
    assert (first.content, second.content, second.content_id) == (b"", b"", "1")


def test_parameters_are_read_without_their_quotes() -> None:
    assert (parameter(KIND, "start"), parameter(KIND, "type"), parameter(KIND, "none")) == ("<a@b>", "text/xml", "")
