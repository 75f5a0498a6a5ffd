"""Property: whatever a document is damaged to, it is read or refused, and nothing else happens."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata.csdl import BadMetadata, Model, read_json, read_xml, write_json, write_xml
from holdfast.odata.vocabulary import sticky_sets
from odata.csdl.documents import EVERYTHING

DOCUMENT = json.loads(write_json(read_xml(EVERYTHING)))
PIECES = [
    b"",
    b'"',
    b"/>",
    b"<",
    b"Collection(",
    b"Edm.Decimal",
    b"true",
    b"-1",
    b"9" * 5000,
    b"self.",
    b"@",
    b"$",
    b"\xff",
]
values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5))
damage = st.one_of(
    values, st.lists(values, max_size=2), st.dictionaries(st.sampled_from(["$Type", "$Kind", "@T", "x"]), values)
)


def used(model: Model) -> None:
    """Ask what a client asks, and write it again."""
    for name in model.container.entity_sets if model.container else ():
        model.set_annotations(name)
    sticky_sets(model)
    write_json(model)
    with suppress(BadMetadata):
        write_xml(model)


def read_or_refused(read: Any, data: bytes) -> Model | None:
    with suppress(BadMetadata):
        return read(data)  # type: ignore[no-any-return]
    return None


# O1
@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(EVERYTHING) - 1), st.integers(0, 30), st.sampled_from(PIECES))
def test_damaged_xml_is_read_or_refused(at: int, length: int, piece: bytes) -> None:
    model = read_or_refused(read_xml, EVERYTHING[:at] + piece + EVERYTHING[at + length :])
    if model is not None:
        used(model)


def damaged(node: Any, data: st.DataObject) -> Any:
    """The document with one node of it replaced."""
    if not isinstance(node, dict | list) or not node or data.draw(st.integers(0, 3)) == 0:
        return data.draw(damage)
    keys = sorted(node) if isinstance(node, dict) else range(len(node))
    key = data.draw(st.sampled_from(keys))
    changed = node.copy()
    changed[key] = damaged(node[key], data)
    return changed


# O1
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_json_is_read_or_refused(data: st.DataObject) -> None:
    model = read_or_refused(read_json, json.dumps(damaged(DOCUMENT, data)).encode())
    if model is not None:
        used(model)


# O1
@pytest.mark.parametrize("kind", ["Int", "Decimal", "Float"])
def test_a_number_of_endless_digits_stays_a_text(kind: str) -> None:
    digits = b"9" * 100_000
    model = read_xml(EVERYTHING.replace(b'Int="42"', kind.encode() + b'="' + digits + b'"'))
    assert model.annotations("shop.model.Good")["org.example.ui.Int"] == digits.decode()
