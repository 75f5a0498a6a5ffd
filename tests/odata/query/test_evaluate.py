"""Filters over plain rows: operators, functions, null, aliases, lambdas; what is not here is refused by name (O11)."""

import datetime as dt
import enum
from contextlib import suppress
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata.errors import NotSupported, ODataError
from holdfast.odata.query import BadQuery, chosen, compiled, evaluate, matches, ordered, parse_expression


class Color(enum.Flag):
    Red = 1
    Blue = 2


class Level(enum.Enum):
    Low = 1


class Plain:
    """A row with attributes."""

    Name = "Milk"


ROW: dict[str, Any] = {
    "Name": "Milk",
    "Allergens": ["lactose", "nuts"],
    "Nullable": None,
    "Price": Decimal("2.50"),
    "Weight": 1.5,
    "Quantity": 7,
    "Done": True,
    "in": 3,
    "At": dt.datetime(2026, 11, 21, 15, 30, 10, 250000, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    "Naive": dt.datetime(2026, 11, 21, 15, 30),  # noqa: DTZ001
    "Day": dt.date(2026, 11, 21),
    "Clock": dt.time(7, 5),
    "Took": dt.timedelta(minutes=1, milliseconds=500),
    "Guid": UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    "GuidText": "6BA7B810-9dad-11d1-80b4-00c04fd430c8",
    "Raw": b"OK",
    "Color": Color.Red | Color.Blue,
    "Level": Level.Low,
    "Supplier": {"Name": "Cow", "Address": {"City": "Bern"}, "Friends": [{"Name": "Goat"}]},
    "Nobody": None,
    "Items": [{"No": 1, "Price": 5, "Tags": ["a"]}, {"No": 2, "Price": 15, "Tags": []}],
    "Empty": [],
}
ALIASES = {"@word": "'Milk'", "@sum": "5 add 2", "@names": "['Milk','Cheese']", "@bad": "(", "@other": "@word"}

TRUE = """
Name eq 'Milk'
Name EQ 'Milk' AND Price LT 2.55
'it''s' eq 'it''s'
Nullable eq null
Name ne null
not (Name eq 'Cheese')
not(Name eq 'Cheese')
Done
not not Done
Done eq true and not (Nullable eq 'x')
Price eq 2.5
Price eq 2.50 and Price in (2.5)
Weight eq 1.5
Price gt Weight
Quantity eq 7.0
Quantity add 1 eq 8
Quantity sub 1 mul 2 eq 5
(Quantity sub 1) mul 2 eq 12
Quantity div 2 eq 3
Quantity mul -1 div 2 eq -3
Quantity divby 2 eq 3.5
Quantity mod 4 eq 3
-Quantity mod 4 eq -3
-7 lt Quantity
-(Quantity) eq -7
in eq 3
in in (3)
Name in ('Milk','Cheese')
Name in ('Milk')
Name in ["Milk", "Cheese"]
Name in @names
not (Name in ('Butter','Cheese'))
Nullable in (null,'x')
Name eq @word
contains(@word,'il')
Quantity eq @sum
@nothing eq null
'Milk' eq $it/Name
Supplier/Name eq 'Cow'
Supplier/Address/City eq 'Bern'
Nobody/Name eq null
Nobody/Address/City eq null
Color has Sales.Color'Red'
Color has 'Red'
Color has Sales.Color'Blue,Red'
Color eq Sales.Color'Red,Blue'
not Level has Sales.Level'High'
Level eq 'Low'
Items/$count eq 2
Empty/$count eq 0
Nobody/Things/$count eq 0
Items/any()
not Empty/any()
Items/any(i:i/Price gt 10)
not Items/all(i:i/Price gt 10)
Items/all(i:i/Price gt 1 and i/No lt 5)
Empty/all(i:i/Price gt 10)
Items/any(i:i/Tags/any(t:t eq 'a' and i/No eq 1))
Items/any(i:i/No eq $it/in sub 1)
Supplier/Friends/any(f:f/Name eq 'Goat')
Allergens/any(a:startswith(a,'lac'))
Allergens/all(a:length(a) gt 3)
concat(Name,'!') eq 'Milk!'
concat(concat(Name,','),Name) eq 'Milk,Milk'
contains(Name,'il')
endswith(Name,'lk')
startswith(Name,'Mi')
indexof(Name,'l') eq 2
indexof(Name,'z') eq -1
indexof(Allergens,Allergens) eq 0
length(Name) eq 4
length(Allergens) eq 2
substring(Name,1) eq 'ilk'
substring(Name,1,2) eq 'il'
substring(Name,-2) eq 'lk'
ToLower(Name) eq 'milk'
toupper(Name) eq 'MILK'
trim(' Milk ') eq Name
year(At) eq 2026 and month(Day) eq 11 and day(At) eq 21
hour(At) eq 15 and minute(Clock) eq 5 and second(At) eq 10
fractionalseconds(At) eq 0.25
totaloffsetminutes(At) eq 60
totaloffsetminutes(Naive) eq 0
date(At) eq 2026-11-21
time(At) gt 15:30
totalseconds(Took) eq 60.5
Took gt duration'PT1M'
Day add duration'P1D' eq 2026-11-22
At sub At eq duration'PT0S'
At lt now()
mindatetime() lt At and At lt maxdatetime()
At eq 2026-11-21T14:30:10.25Z
At eq 2026-11-21T15:30:10.25+01:00
Naive eq 2026-11-21T15:30:00Z
At gt 2026-11-21
Day le 2026-11-21
Clock eq 07:05
Guid eq 6BA7B810-9DAD-11D1-80B4-00C04FD430C8
Raw eq binary'T0s='
GuidText eq 6BA7B810-9DAD-11D1-80B4-00C04FD430C8
Took divby 0.5 eq duration'PT2M1S'
Name in ["Milk"]
Quantity in ((3 add 4))
Name in (concat('Mi','lk'))
not (Name in ())
round(Price) eq 3
round(-2.5) eq -3
round(Weight) eq 2
floor(Price) eq 2
ceiling(Price) eq 3
Quantity lt INF and -INF lt Weight
hassubset(Allergens,Allergens)
hassubsequence(Allergens,Allergens)
""".strip().splitlines()

NOT_TRUE = """
Nullable gt 5
Nullable le 5
not (Nullable add 1)
Nullable eq 'x'
not contains(Nullable,'x')
contains(Nullable,'x')
Nullable has 'x'
Nullable and Done
not (Nullable and Done)
null
Price
'true'
Items/any(i:i/Nothing gt 1)
Name eq 'milk'
Color has Sales.Color'Green'
""".strip().splitlines()


@pytest.mark.parametrize("text", TRUE)
def test_a_filter_chooses_a_row(text: str) -> None:  # O11
    assert matches(parse_expression(text, ALIASES), ROW)


@pytest.mark.parametrize("text", NOT_TRUE)
def test_a_filter_that_is_false_null_or_no_boolean_chooses_nothing(text: str) -> None:
    assert not matches(parse_expression(text, ALIASES), ROW)


def test_null_is_a_third_value_of_and_and_or() -> None:
    assert compiled(parse_expression("Nullable or Done"))(ROW) is True
    assert compiled(parse_expression("Nullable and false"))(ROW) is False
    assert compiled(parse_expression("Nullable and Done"))(ROW) is None
    assert compiled(parse_expression("not Nullable"))(ROW) is None


def test_rows_may_be_objects() -> None:
    assert chosen(parse_expression("Name eq 'Milk' and Other eq null"), [Plain(), Plain()])


def test_now_is_what_the_clock_says() -> None:
    assert matches(parse_expression("now() eq 1970-01-01T00:01:00Z"), {}, clock=lambda: 60.0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "end"),
        ("Name eq", "end"),
        ("Name eq 'x", "position 8"),
        ("Name like 'x'", "like"),
        ("(Name eq 'x'", "end"),
        ("Name eq 'x')", "position 11"),
        ('Name eq "x"', "single quotes"),
        ("foo(Name)", "foo"),
        ('Name in ["\\q"]', "JSON"),
        ("Name eq (1,2)", "list"),
        ("1,2", "list"),
        ("Items/any(a/b:true)", "variable"),
        ("Items/any(:true)", "variable"),
        ('Name in ["\ud800"]', "JSON"),
        ("contains(Name)", "contains"),
        ("Name eq @other", "alias"),
        ("Name eq @bad", "end"),
        ("Items/$count/x gt 1", "count"),
        ("Day eq 2026-02-30", "Edm.Date"),
        ("Took gt duration'P99999999999999D'", "Edm.Duration"),
        ("1e999 gt 1", "Edm.Double"),
        ("9" * 500 + " gt 1", "Edm.Decimal"),
        ("Name eq 1 " * 3, "Name"),
        ("not " * 100 + "true", "deep"),
        ("1 add " * 100 + "1 gt 0", "deep"),
        ("true or " * 5000 + "true", "parts"),
        ("\x00", "position 0"),
    ],
)
def test_what_is_no_expression_is_refused_and_says_where(text: str, named: str) -> None:
    with pytest.raises(ODataError) as refused:
        parse_expression(text, ALIASES)
    assert (refused.value.target, refused.value.status) == ("$filter", 400)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("cast(Price,Edm.String) eq 'x'", "cast"),
        ("isof(Sales.Customer)", "isof"),
        ("case(true:1,false:2) eq 1", "case"),
        ("matchesPattern(Name,'(a+)+$')", "matchesPattern"),
        ("geo.distance(A,B) lt 1", "geo.distance"),
        ("A eq geography'SRID=0;Point(1 2)'", "geography"),
        ("Sales.Available(x=1)", "Sales.Available"),
        ("Items/Sales.Best()/Name eq 'x'", "Sales.Best"),
        ("Items/Sales.Special/Name eq 'x'", "Sales.Special"),
        ("$root/Orders/$count eq 1", "$root"),
        ("Items/$count($filter=true) eq 1", "$count"),
        ("Price/@Measures.Currency eq 'EUR'", "@Measures.Currency"),
        ("[1,2] eq [1,2]", "collections"),
        ('Address eq {"City":"x"}', "objects"),
    ],
)
def test_what_is_not_here_is_refused_by_its_name(text: str, named: str) -> None:  # O11
    with pytest.raises(NotSupported, match=named.replace("$", r"\$")) as refused:
        parse_expression(text)
    assert refused.value.status == 501


@pytest.mark.parametrize(
    "text",
    [
        "Name gt 5",
        "Name add 1 eq 2",
        "Quantity div 0 eq 1",
        "Price mod 0 eq 1",
        "not Name",
        "length(Quantity) eq 1",
        "startswith(Quantity,'a')",
        "year(Name) eq 1",
        "maxdatetime() add duration'P1D' gt At",
        "Quantity" + " mul 9999999999999999999999999999999" * 10 + " gt 1",
        "Name/Length/$count gt 1 or Quantity/$count gt 1",
    ],
)
def test_types_that_do_not_fit_are_a_bad_query_and_no_failure(text: str) -> None:
    with pytest.raises(BadQuery):
        matches(parse_expression(text), ROW)


def test_a_variable_of_a_lambda_hides_none() -> None:
    with pytest.raises(BadQuery, match="variable i"):
        compiled(parse_expression("Items/any(i:Items/any(i:true))"))


def test_lambdas_in_lambdas_look_at_so_many_items_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "MOST_ITEMS", 1000)
    row = {"Items": [{"No": number} for number in range(20)]}
    assert matches(parse_expression("not Items/any(a:$it/Items/any(b:b/No eq -1))"), row)
    with pytest.raises(BadQuery, match="more than 1000 items"):
        matches(parse_expression("Items/any(a:$it/Items/any(b:$it/Items/any(c:c/No eq -1)))"), row)


def test_a_thousand_alternatives_are_one_level() -> None:
    text = " or ".join(f"Quantity eq {number}" for number in range(900))
    assert matches(parse_expression(text), ROW)


def test_rows_are_ordered_by_several_expressions_with_null_first() -> None:
    rows = [{"a": 1, "b": "x"}, {"a": None, "b": "z"}, {"a": 2, "b": "y"}, {"a": 1, "b": None}]
    by = [(parse_expression("a"), True), (parse_expression("b"), False)]
    assert [(row["a"], row["b"]) for row in ordered(rows, by)] == [(2, "y"), (1, None), (1, "x"), (None, "z")]
    with pytest.raises(BadQuery, match="order"):
        ordered([{"a": 1}, {"a": "x"}], [(parse_expression("a"), False)])


NAMES = st.sampled_from(["Name", "Quantity", "Price", "Nullable", "Items", "any", "not", "in", "$it", "null", "true"])
PIECES = st.one_of(
    NAMES,
    st.sampled_from(
        ["eq", "ne", "gt", "has", "in", "and", "or", "not", "add", "div", "mod", "-5", "2.5", "'x'", "@sum"]
    ),
    st.sampled_from(["(", ")", "[", "]", ",", ":", "/any(", "/all(i:", "i/No", "contains(", "/$count", "2026-11-21"]),
)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=12))
def test_any_text_is_a_filter_or_refused_with_an_odata_error(pieces: list[str]) -> None:
    with suppress(ODataError):
        assert matches(parse_expression(" ".join(pieces), ALIASES), ROW) in (True, False)


@settings(max_examples=100)
@given(st.text(max_size=40))
def test_any_string_is_found_by_its_literal(text: str) -> None:
    assert matches(parse_expression("Name eq '" + text.replace("'", "''") + "'"), {"Name": text})
