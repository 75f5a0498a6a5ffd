"""Paths against a model: what each segment names, and how each wrong one is refused (O11)."""

from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata import edm
from holdfast.odata.csdl import Model
from holdfast.odata.edm import EdmError
from holdfast.odata.errors import NoSuchResource, NotSupported, ODataError
from holdfast.odata.query import BadQuery, Call, Key, Member, Navigation, Path, Root, Special, parse_path
from holdfast.odata.query.keys import literal_value
from odata.query.shop import MODEL

GUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def told(path: Path) -> list[Any]:
    """Return the segments in short."""
    short = {
        Root: lambda one: one.resource.name,
        Key: lambda one: one.values,
        Member: lambda one: one.property.name,
        Navigation: lambda one: "->" + one.property.name,
        Call: lambda one: (one.name, one.arguments),
        Special: lambda one: one.name,
    }
    return [short[type(one)](one) for one in path.segments]


@pytest.mark.parametrize(
    ("text", "segments", "gives"),
    [
        ("", [], ("", False, "")),
        ("/", [], ("", False, "")),
        ("$metadata", ["$metadata"], ("", False, "")),
        ("$batch", ["$batch"], ("", False, "")),
        ("Orders", ["Orders"], ("Shop.Order", True, "Orders")),
        ("Orders/", ["Orders"], ("Shop.Order", True, "Orders")),
        ("Orders/$count", ["Orders", "$count"], ("Shop.Order", False, "Orders")),
        ("Orders('1')", ["Orders", {"ID": "1"}], ("Shop.Order", False, "Orders")),
        ("Orders(ID='1')", ["Orders", {"ID": "1"}], ("Shop.Order", False, "Orders")),
        ("Orders('')", ["Orders", {"ID": ""}], ("Shop.Order", False, "Orders")),
        ("Orders('O''Neil')", ["Orders", {"ID": "O'Neil"}], ("Shop.Order", False, "Orders")),
        ("Orders(%27O%27%27Neil%27)", ["Orders", {"ID": "O'Neil"}], ("Shop.Order", False, "Orders")),
        ("Orders%28%27a%2Fb%27%29", ["Orders", {"ID": "a/b"}], ("Shop.Order", False, "Orders")),
        ("Orders('a,b)(=;c')", ["Orders", {"ID": "a,b)(=;c"}], ("Shop.Order", False, "Orders")),
        ("Orders('%C3%A4+')", ["Orders", {"ID": "ä+"}], ("Shop.Order", False, "Orders")),
        ("Items(OrderID='1',No=2)", ["Items", {"OrderID": "1", "No": 2}], ("Shop.Item", False, "Items")),
        ("Items(No=2, OrderID='1')", ["Items", {"OrderID": "1", "No": 2}], ("Shop.Item", False, "Items")),
        (f"Customers({GUID})", ["Customers", {"Guid": UUID(GUID)}], ("Shop.Customer", False, "Customers")),
        ("Countries('DE')", ["Countries", {"Code": "DE"}], ("Shop.Country", False, "Countries")),
        ("Orders(@k)", ["Orders", {"ID": "x"}], ("Shop.Order", False, "Orders")),
        ("Orders('1')/Note", ["Orders", {"ID": "1"}, "Note"], ("Edm.String", False, "Orders")),
        ("Orders('1')/Note/$value", ["Orders", {"ID": "1"}, "Note", "$value"], ("Edm.String", False, "Orders")),
        ("Orders('1')/Ship/City", ["Orders", {"ID": "1"}, "Ship", "City"], ("Edm.String", False, "Orders")),
        ("Orders('1')/Items", ["Orders", {"ID": "1"}, "->Items"], ("Shop.Item", True, "Items")),
        ("Orders('1')/Items/$count", ["Orders", {"ID": "1"}, "->Items", "$count"], ("Shop.Item", False, "Items")),
        ("Orders('1')/Buyer/$ref", ["Orders", {"ID": "1"}, "->Buyer", "$ref"], ("Shop.Customer", False, "Customers")),
        ("Items(OrderID='1',No=2)/Of", ["Items", {"OrderID": "1", "No": 2}, "->Of"], ("Shop.Order", False, "Orders")),
        ("Me/Orders('7')", ["Me", "->Orders", {"ID": "7"}], ("Shop.Order", False, "Orders")),
        ("Orders('1')/Shop.Edit", ["Orders", {"ID": "1"}, ("Shop.Edit", {})], ("Shop.Order", False, "Orders")),
        ("Orders('1')/S.Edit", ["Orders", {"ID": "1"}, ("Shop.Edit", {})], ("Shop.Order", False, "Orders")),
        ("Orders/Shop.Create", ["Orders", ("Shop.Create", {})], ("Shop.Order", False, "Orders")),
        ("Discard", [("Discard", {})], ("", False, "")),
        ("Total", [("Total", {})], ("Edm.Decimal", False, "")),
        ("Total()", [("Total", {})], ("Edm.Decimal", False, "")),
        ("Find(word='x')", [("Find", {"word": "x"})], ("Shop.Order", True, "Orders")),
        ("Find(word='x')/$count", [("Find", {"word": "x"}), "$count"], ("Shop.Order", False, "Orders")),
        (
            "Find(word=@k,near=@n,colors=@c)",
            [("Find", {"word": "x", "near": {"City": "a"}, "colors": ["Red"]})],
            ("Shop.Order", True, "Orders"),
        ),
        (
            "Orders/Shop.Cheapest()/Items",
            ["Orders", ("Shop.Cheapest", {}), "->Items"],
            ("Shop.Item", True, "Items"),
        ),
        (
            "Orders('1')/Shop.Buyers(color=Shop.Color'Red,Blue')",
            ["Orders", {"ID": "1"}, ("Shop.Buyers", {"color": "Red,Blue"})],
            ("Shop.Customer", True, "Customers"),
        ),
        (
            "Orders('1')/Shop.Buyers(color=null)/$count",
            ["Orders", {"ID": "1"}, ("Shop.Buyers", {"color": None}), "$count"],
            ("Shop.Customer", False, "Customers"),
        ),
        (
            "Orders('1')/Shop.Buyers(color=@none)",
            ["Orders", {"ID": "1"}, ("Shop.Buyers", {"color": None})],
            ("Shop.Customer", True, "Customers"),
        ),
    ],
)
def test_a_path_is_resolved(text: str, segments: list[Any], gives: tuple[str, bool, str]) -> None:  # O11
    path = parse_path(MODEL, text, {"@k": "'x'", "@n": '{"City":"a"}', "@c": '["Red"]'})
    assert told(path) == segments
    assert (path.type, path.collection, path.entity_set) == gives


@pytest.mark.parametrize(
    ("text", "error", "named"),
    [
        ("Nothing", NoSuchResource, "Nothing"),
        ("orders", NoSuchResource, "orders"),
        ("Orders/1", NoSuchResource, "1"),
        ("Orders//Items", NoSuchResource, ""),
        ("Orders('1')/Nope", NoSuchResource, "Nope"),
        ("Orders('1')/Shop.Nope", NoSuchResource, "Nope"),
        ("Orders/Shop.Edit", NoSuchResource, "Edit"),
        ("Orders('1')/Shop.Create", NoSuchResource, "Create"),
        ("Orders/$nope", NoSuchResource, "nope"),
        ("$count", NoSuchResource, "count"),
        ("Orders/$metadata", NoSuchResource, "metadata"),
        ("Orders/$count/foo", NoSuchResource, "count"),
        ("Discard/foo", NoSuchResource, "Discard"),
        ("Find(words='x')", NoSuchResource, "words"),
        ("Find", NoSuchResource, "none"),
        ("Orders('1')/Note/x", NoSuchResource, "x"),
        ("Orders('1')/Shop.Buyers(color=null)/Name", BadQuery, "composable"),
        ("Orders('1')/Note('x')", NoSuchResource, "Note"),
        ("Orders(1)", EdmError, "Edm.String"),
        ("Orders('a'b')", ODataError, ""),
        ("Orders('O%27Neil')", ODataError, ""),
        ("Orders('a/b')", ODataError, ""),
        ("Orders()", BadQuery, "ID"),
        ("Orders(null)", BadQuery, "null"),
        ("Orders(Key='1')", BadQuery, "ID"),
        ("Orders(,)", BadQuery, "own"),
        ("Orders(,=1)", BadQuery, "own"),
        ("Orders('1','2')", BadQuery, "name"),
        ("Orders('1'", BadQuery, "bracket"),
        ("Orders('1')(2)", BadQuery, ""),
        ("Orders('1')x", BadQuery, "bracket"),
        ("Items('1')", BadQuery, "OrderID"),
        ("Items(OrderID='1')", BadQuery, "No"),
        ("Items(OrderID='1',OrderID='1',No=1)", BadQuery, "own"),
        ("Items(OrderID='1';No=2)", ODataError, ""),
        ("Items(OrderID='1',No=x)", EdmError, "Edm.Int32"),
        ("Items(OrderID='1',No=99999999999)", EdmError, "Edm.Int32"),
        ("Customers('x')", EdmError, "Edm.Guid"),
        ("Orders('1')/$count", BadQuery, "count"),
        ("Orders/$value", BadQuery, "value"),
        ("Orders('1')/Note/$ref", BadQuery, "ref"),
        ("Me('1')", BadQuery, "collection"),
        ("Orders('1')/Shop.Edit()", BadQuery, "body"),
        ("Orders('1')/Shop.Buyers(color='Green')", EdmError, "Shop.Color"),
        ("Find(word='x',near=@bad,colors=@bad)", BadQuery, "JSON"),
        ("Find(word=null)", BadQuery, "null"),
        ("Orders(%FF)", BadQuery, "UTF-8"),
        ("/".join(["Orders"] * 50), BadQuery, "segments"),
        ("Customers(" + "(" * 60 + ")" * 60 + ")", BadQuery, "deep"),
        ("Customers/Shop.Vip", NotSupported, "Vip"),
        ("Orders/$filter(ID eq '1')", NotSupported, "filter"),
        ("Orders/$query", NotSupported, "query"),
        ("$entity", NotSupported, "entity"),
        ("Orders('1')/$value", NotSupported, "value"),
        ("$crossjoin(Orders,Items)", NotSupported, "crossjoin"),
    ],
)
def test_a_wrong_path_is_refused_and_what_is_wrong_is_named(text: str, error: type[ODataError], named: str) -> None:
    with pytest.raises(error) as refused:
        parse_path(MODEL, text, {"@bad": "{"})
    assert named in str(refused.value)


def test_a_service_without_a_container_has_metadata_alone() -> None:
    assert told(parse_path(Model(), "$metadata")) == ["$metadata"]
    with pytest.raises(NoSuchResource, match="Orders"):
        parse_path(Model(), "Orders")


def test_what_is_wrong_with_a_key_has_its_property_as_target() -> None:
    with pytest.raises(EdmError) as refused:
        parse_path(MODEL, "Items(OrderID='1',No='2')")
    assert refused.value.target == "No"


@settings(max_examples=100)
@given(st.text())
def test_any_text_is_a_key_when_it_is_quoted_and_encoded(text: str) -> None:
    encoded = quote(edm.to_url("Edm.String", text), safe="", errors="surrogatepass")
    if not any("\ud800" <= one <= "\udfff" for one in text):
        assert told(parse_path(MODEL, f"Orders({encoded})")) == ["Orders", {"ID": text}]


@settings(max_examples=200)
@given(st.text("OrdersItem('\")/$%27@=,;{}[]Shop.Edit1", max_size=60))
def test_any_path_is_resolved_or_refused_with_an_odata_error(text: str) -> None:
    with suppress(ODataError):
        assert parse_path(MODEL, "Orders('1')/" + text).segments[:2] == parse_path(MODEL, "Orders('1')").segments


def test_literals_are_read_by_the_type_of_the_model() -> None:
    assert literal_value(MODEL, "Edm.Decimal", "1.5") == Decimal("1.5")
    assert literal_value(MODEL, "Shop.Color", "S.Color'Red'") == "Red"
    assert literal_value(MODEL, "Shop.Address", '{"City":"x"}') == {"City": "x"}
    assert literal_value(MODEL, "Edm.String", "null") is None
