"""Bodies as bytes and back: texts in the character set that their type, or their XML declaration, says."""

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BadInput
from holdfast.flows.content import decoded, encoded, in_utf8
from holdfast.flows.message import Message

DECLARED = "<?xml version='1.0' encoding='ISO-8859-1'?><a>ä</a>"


@pytest.mark.parametrize(
    ("kind", "text", "charset"),
    [
        ("text/plain", "ä", "utf-8"),
        ("text/plain; charset=ISO-8859-1", "ä", "latin-1"),
        ('text/xml; charset="utf-8"', DECLARED, "utf-8"),
        ("text/xml", DECLARED, "latin-1"),
        ("application/xml", DECLARED, "latin-1"),
        ("text/xml", "<a>ä</a>", "utf-8"),
        ("text/plain", DECLARED, "utf-8"),
    ],
)
def test_a_text_goes_and_comes_in_the_character_set_that_is_said(kind: str, text: str, charset: str) -> None:
    assert encoded(Message(body=text, headers={"content-type": kind})) == (text.encode(charset), kind)
    assert decoded(text.encode(charset), kind) == text


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_a_byte_order_mark_says_more_than_all_else(mark: bytes) -> None:
    charset = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}[mark]
    assert decoded(mark + DECLARED.encode(charset), "text/xml; charset=latin-1") == DECLARED


@pytest.mark.parametrize(
    "kind", ["text/plain; charset=ascii", "text/plain; charset=no-such", "text/plain; charset=hex"]
)
def test_a_text_that_cannot_be_sent_as_it_is_said_to_be_is_told(kind: str) -> None:
    with pytest.raises(BadInput, match="cannot be sent in the character set"):
        encoded(Message(body="ä", headers={"content-type": kind}))


@given(st.binary(max_size=40), st.sampled_from(["utf-8", "no-such", "hex", "idna", "undefined", "ascii", "\udcff", ""]))
@settings(max_examples=60)
def test_any_bytes_are_a_text(content: bytes, charset: str) -> None:
    assert isinstance(decoded(content, f"text/plain; charset={charset}"), str)


def test_a_text_stops_saying_that_it_is_in_another_character_set() -> None:
    assert in_utf8(DECLARED) == DECLARED.replace("ISO-8859-1", "utf-8")
    assert in_utf8("<a encoding='x'/>") == "<a encoding='x'/>"
