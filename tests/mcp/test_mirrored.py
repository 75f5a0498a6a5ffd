"""Arguments in headers: the encoding of values, which properties are mirrored, and the comparison."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.mcp.jsonrpc import RpcError
from holdfast.mcp.mirrored import check, decode_value, encode_value, mirrored_in
from holdfast.mcp.protocol import HEADER_MISMATCH

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"type": "object", "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
        "dry": {"type": "boolean", "x-mcp-header": "Dry"},
    },
}


@given(TEXT)
def test_every_text_survives_a_header(text: str) -> None:
    carried = encode_value(text)
    assert carried.isascii()
    assert carried == carried.strip(" \t")
    assert not set(carried) & set("\r\n\0")
    assert decode_value(carried) == text


@given(st.from_regex(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", fullmatch=True))
def test_plain_values_travel_as_they_are_unless_they_look_encoded(text: str) -> None:
    assert encode_value(text) == text or text.startswith("=?base64?")


@pytest.mark.parametrize(
    "value", ["=?base64?SGVsbG8?=", "=?base64?SGVsbG8=x?=", "=?base64?SGVsbG9=?=", "=?base64?/w==?="]
)
def test_malformed_base64_equals_nothing(value: str) -> None:
    assert decode_value(value) is None


@pytest.mark.parametrize("value", ["=?BASE64?SGVsbG8=?=", "SGVsbG8=", "=?base64?SGVsbG8="])
def test_without_the_exact_sentinel_a_value_is_literal(value: str) -> None:
    assert decode_value(value) == value


def test_properties_are_found_by_their_path() -> None:
    assert {(one.path, one.header) for one in mirrored_in(SCHEMA)} == {
        (("region",), "mcp-param-region"),
        (("deep", "count"), "mcp-param-count"),
        (("dry",), "mcp-param-dry"),
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": ""}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "not a token"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}}},
        {"properties": {"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}},
        {"anyOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}]},
        {"$defs": {"d": {"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}}},
        {"type": "string", "x-mcp-header": "A"},
    ],
)
def test_a_schema_with_a_forbidden_annotation_mirrors_nothing(schema: dict[str, Any]) -> None:
    assert mirrored_in(schema) == ()


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({}, []),
        ({"region": None}, []),
        ({"region": "eu"}, [("mcp-param-region", "eu")]),
        ({"region": "zürich"}, [("mcp-param-region", encode_value("zürich"))]),
        ({"deep": {"count": 42}}, [("mcp-param-count", "42")]),
        ({"deep": {"count": 42}}, [("mcp-param-count", "42.0")]),
        ({"deep": {"count": 42.0}}, [("mcp-param-count", "42")]),
        ({"dry": True}, [("mcp-param-dry", "true")]),
        ({}, [("mcp-param-unknown", "x")]),
    ],
)
def test_what_agrees_is_accepted(arguments: dict[str, Any], headers: list[tuple[str, str]]) -> None:
    check(mirrored_in(SCHEMA), arguments, headers)


@pytest.mark.parametrize(
    ("arguments", "headers", "why"),
    [
        ({"region": "eu"}, [], "missing"),
        ({}, [("mcp-param-region", "eu")], "its argument is not"),
        ({"region": "eu"}, [("mcp-param-region", "us")], "differs"),
        ({"region": "eu"}, [("mcp-param-region", "EU")], "differs"),
        ({"region": "eu"}, [("mcp-param-region", "eu"), ("mcp-param-region", "eu")], "more than once"),
        ({"region": "eu"}, [("mcp-param-region", "=?base64?ZXU?=")], "malformed"),
        ({"deep": {"count": 42}}, [("mcp-param-count", "42.5")], "differs"),
        ({"deep": {"count": 42}}, [("mcp-param-count", "4.2e1")], "differs"),
        ({"dry": True}, [("mcp-param-dry", "1")], "differs"),
    ],
)
def test_what_does_not_agree_is_refused_by_name(
    arguments: dict[str, Any], headers: list[tuple[str, str]], why: str
) -> None:
    with pytest.raises(RpcError, match=why) as caught:
        check(mirrored_in(SCHEMA), arguments, headers)
    assert caught.value.number == HEADER_MISMATCH
    assert "mcp-param-" in str(caught.value)
