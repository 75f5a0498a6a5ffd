"""SFAPI's objects as elements and back; the wire is tried against spyne in `tests/peers/flows/test_sfapi.py`."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from holdfast.errors import BadInput
from holdfast.flows.adapters.envelope import parsed
from holdfast.flows.adapters.sfapi import NAMESPACE, elements, make, values

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_characters="\x7f\x85\x80"), max_size=8)
SIMPLE = st.none() | TEXTS
SEVERAL = st.lists(SIMPLE, min_size=2, max_size=3)
ROWS = st.recursive(
    st.dictionaries(NAMES, SIMPLE | SEVERAL, min_size=1, max_size=3),
    lambda inner: st.dictionaries(
        NAMES, inner | SIMPLE | st.lists(inner, min_size=2, max_size=2), min_size=1, max_size=3
    ),
    max_leaves=8,
)


@settings(max_examples=80)
@given(ROWS)
def test_whatever_an_object_holds_comes_back_as_it_was(row: dict[str, Any]) -> None:
    document = etree.tostring(make.sfobject(*elements(row)), encoding="utf-8")
    assert values(parsed(document)) == row


def test_values_are_written_as_xml_schema_has_them() -> None:
    [flag, number, share, empty] = elements({"flag": True, "number": 7, "share": 0.5, "empty": None})
    assert [element.text for element in (flag, number, share)] == ["true", "7", "0.5"]
    assert empty.get("{http://www.w3.org/2001/XMLSchema-instance}nil") == "true"
    assert flag.tag == f"{{{NAMESPACE}}}flag"


@pytest.mark.parametrize(
    "row", [{"two words": "x"}, {"": "x"}, {"a": "\0"}, {"a": b"x"}, {"a": object()}, {"a:b": "x"}, {7: "x"}]
)
def test_what_xml_cannot_say_is_told(row: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="cannot be written as XML"):
        elements(row)
