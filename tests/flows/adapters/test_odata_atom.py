"""OData V2 in Atom: entities as values, and back."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BadInput
from holdfast.flows.adapters.odata_atom import ATOM, DATA, META, Atom
from holdfast.flows.adapters.odata_payloads import Page

HEAD = f'xmlns="{ATOM}" xmlns:d="{DATA}" xmlns:m="{META}"'
ENTRY = f"""<entry {HEAD} m:etag='W/"1"'><id>http://erp/Orders('1')</id><category term="SHOP.Order" scheme="s"/>
<link rel="edit" href="Orders('1')"/><link rel="r/Items" title="Items" href="i"/>
<link rel="{DATA}/related/Customer" href="c"><m:inline><entry><content><m:properties><d:Name>Anna</d:Name>
</m:properties></content></entry></m:inline></link><link rel="{DATA}/related/Payer" href="p"><m:inline/></link>
<content type="application/xml"><m:properties><d:ID>1</d:ID><d:Count m:type="Edm.Int32">7</d:Count>
<d:Big m:type="Edm.Int64">8</d:Big><d:Price m:type="Edm.Decimal">1.50</d:Price>
<d:Done m:type="Edm.Boolean">true</d:Done>
<d:Weight m:type="Edm.Double">0.5</d:Weight><d:Due m:type="Edm.DateTime" m:null="true"/><d:Note/>
<d:At m:type="SHOP.Place"><d:Town>Ulm</d:Town></d:At><d:Nowhere m:type="SHOP.Place"/>
</m:properties></content></entry>"""
MEDIA = f"<entry {HEAD}><content type='image/png' src='x'/><m:properties><d:ID>1</d:ID></m:properties></entry>"

texts = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"))
values = st.recursive(
    st.none() | texts, lambda inner: st.dictionaries(st.sampled_from("ABCD"), inner, min_size=1), max_leaves=5
)


def test_an_entry_holds_what_the_json_of_the_service_would() -> None:
    # F16
    page = Atom().read(ENTRY.encode())
    assert page.etag == 'W/"1"'
    assert page.body == {
        "__metadata": {"uri": "http://erp/Orders('1')", "type": "SHOP.Order", "etag": 'W/"1"'},
        "ID": "1",
        "Count": 7,
        "Big": "8",
        "Price": "1.50",
        "Done": True,
        "Weight": 0.5,
        "Due": None,
        "Note": "",
        "At": {"Town": "Ulm"},
        "Nowhere": {},
        "Customer": {"__metadata": {}, "Name": "Anna"},
        "Payer": None,
    }


def test_what_was_expanded_says_where_there_is_more() -> None:
    feed = f"<feed {HEAD}>{MEDIA}<link rel='next' href='?skip=1'/></feed>"
    entry = f"<entry {HEAD}><link title='Items' href='i'><m:inline>{feed}</m:inline></link></entry>"
    assert Atom().read(entry.encode()).body["Items"]["__next"] == "?skip=1"


def test_a_feed_is_a_page() -> None:
    feed = f"<feed {HEAD} xml:base='../'><m:count>9</m:count>{MEDIA}{MEDIA}<link rel='next' href='?skip=2'/></feed>"
    assert Atom().read(feed.encode()) == Page([{"__metadata": {}, "ID": "1"}] * 2, "?skip=2", 9, base="../")


@pytest.mark.parametrize(
    ("inner", "value"),
    [
        ("<d:F {} m:type='Edm.Int32'>3</d:F>", 3),
        ("<d:F {} m:null='true'/>", None),
        ("<d:F {}><d:element>a</d:element><d:element>b</d:element></d:F>", ["a", "b"]),
        ("<d:F {} m:type='X.Y'><d:A>a</d:A></d:F>", {"A": "a"}),
    ],
)
def test_a_function_answers_with_a_value(inner: str, value: Any) -> None:
    assert Atom().read(inner.format(HEAD).encode()) == Page(value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<feed",
        b"<feed/>",
        b"<html><body/></html>",
        f"<!DOCTYPE feed [<!ENTITY x 'y'>]><feed {HEAD}>&x;</feed>".encode(),
        f"<d:F {HEAD} m:type='Edm.Int32'>three</d:F>".encode(),
    ],
)
def test_what_is_no_atom_of_odata_is_told(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"it is no|declaration|invalid literal"):
        Atom().read(content)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from("ABCDEFG"), values))
def test_what_is_written_is_read_again(body: dict[str, Any]) -> None:
    assert Atom().read(Atom().write(body)).body == {"__metadata": {}, **body}


def test_entities_go_out_with_their_type_and_those_that_belong_to_them() -> None:
    body = {"__metadata": {"type": "SHOP.Order"}, "ID": "1", "Done": False, "Of": {"__deferred": {"uri": "u"}}}
    page = Atom().read(Atom().write({**body, "Items": [{"Pos": 1}], "More": {"results": []}}))
    assert page.body == {
        "__metadata": {"type": "SHOP.Order"},
        "ID": "1",
        "Done": "false",
        "Items": {"results": [{"__metadata": {}, "Pos": "1"}]},
        "More": {"results": []},
    }


@pytest.mark.parametrize("body", [[], "text", {"a b": 1}, {"x:y": 1}, {"A": "\0"}, {"A": {"B": "\ud800"}}])
def test_what_xml_cannot_say_is_told(body: Any) -> None:
    with pytest.raises(BadInput, match=r"cannot be|is no name"):
        Atom().write(body)
