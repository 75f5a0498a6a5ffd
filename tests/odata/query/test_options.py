"""Query options against a model: each option, nested ones, names that are not there, what is not here (O11)."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata.errors import NotSupported, ODataError
from holdfast.odata.query import BadQuery, Options, aliases_of, matches, parse_options, parse_path
from odata.query.shop import MODEL


def options(query: str, path: str = "Orders") -> Options:
    return parse_options(MODEL, parse_path(MODEL, path), query)


def test_a_query_of_openui5_is_read() -> None:  # O11
    found = options(
        "sap-client=100&$count=true&$expand=Buyer($select=Guid,Name),Items($expand=Of($select=ID);$orderby=No%20desc;"
        "$filter=Price%20gt%205;$top=3;$skip=1;$count=true)&$filter=Note%20eq%20%27a%26b%27&$orderby=Amount%20desc,ID"
        "&$select=ID,Note,Ship/City&$skip=0&$top=20"
    )
    assert (found.count, found.top, found.skip, found.custom) == (True, 20, 0, {"sap-client": "100"})
    assert found.filter is not None
    assert matches(found.filter, {"Note": "a&b"})
    assert [(one.expression.text, one.descending) for one in found.orderby] == [("Amount", True), ("ID", False)]
    assert [one.path for one in found.select] == [("ID",), ("Note",), ("Ship", "City")]
    buyer, items = found.expand
    assert (buyer.path, [one.path for one in buyer.options.select]) == (("Buyer",), [("Guid",), ("Name",)])
    assert (items.options.top, items.options.skip, items.options.count) == (3, 1, True)
    assert items.options.filter is not None
    assert matches(items.options.filter, {"Price": 6})
    assert items.options.orderby[0].descending
    assert [one.path for one in items.options.expand] == [("Of",)]


def test_system_options_need_no_dollar_and_have_no_case() -> None:  # 4.01
    assert options("top=2&SKIP=3&$Count=TRUE&$orderBy=ID DESC") == options(
        "$top=2&$skip=3&$count=true&$orderby=ID%20desc"
    )


def test_nothing_asked_for_is_nothing() -> None:
    assert options("") == options("&&") == Options()


def test_a_plus_is_a_space_but_not_in_a_time_zone_or_an_exponent() -> None:
    found = options("$filter=At+eq+2026-11-07T15:30:00+01:00+and+Amount+gt+1e+0+and+Note+eq+'a%2Bb'")
    assert found.filter is not None
    assert found.filter.text == "At eq 2026-11-07T15:30:00+01:00 and Amount gt 1e+0 and Note eq 'a+b'"


def test_aliases_stand_for_their_values_on_every_level() -> None:
    query = "$filter=Note eq @n&@n='x'&$expand=Items($filter=Price gt @p and No eq @q;@q=2)&@p=5"
    assert aliases_of(query) == {"@n": "'x'", "@p": "5"}
    found = options(query)
    assert found.filter is not None
    assert found.expand[0].options.filter is not None
    assert matches(found.filter, {"Note": "x"})
    assert matches(found.expand[0].options.filter, {"Price": 6, "No": 2})


@pytest.mark.parametrize(
    ("text", "path", "what"),
    [
        ("Items", ("Items",), "entities"),
        ("Items/$ref", ("Items",), "ref"),
        ("Items/$count", ("Items",), "count"),
        ("Items/$count($filter=Price gt 1;$search=x)", ("Items",), "count"),
        ("Items/$ref($top=1)", ("Items",), "ref"),
        ("Items($levels=1)", ("Items",), "entities"),
        ("Ship/Country", ("Ship", "Country"), "entities"),
        ("*", ("*",), "entities"),
        ("*/$ref", ("*",), "ref"),
    ],
)
def test_an_item_of_expand_says_what_it_wants(text: str, path: tuple[str, ...], what: str) -> None:
    (found,) = options(f"$expand={text}").expand
    assert (found.path, found.what) == (path, what)


def test_nested_select_is_a_path() -> None:
    assert [one.path for one in options("$select=Ship($select=City,Street),*").select] == [
        ("Ship", "City"),
        ("Ship", "Street"),
        ("*",),
    ]


def test_the_type_that_a_path_gives_counts() -> None:
    assert options("$filter=Price gt 5", "Orders('1')/Items").filter
    assert options("$filter=Price gt 5", "Orders('1')/Items/$count").filter
    assert options("$filter=Items/$count gt 5 and Items/any()").filter
    assert options("$filter=Anything/Goes/$count gt 5 and More/any(m:m/Most eq 1)", "Customers").filter
    assert options("$filter=$it eq 'nuts'", "Orders('1')/Allergens").filter
    assert options("$filter=Anything eq 1 and Name eq 'x'", "Customers").filter  # an open type
    with pytest.raises(BadQuery):
        options("$filter=Price gt 5", "Orders")


@pytest.mark.parametrize(
    ("query", "target", "named"),
    [
        ("$filter=Nope eq 1", "$filter", "Nope"),
        ("$filter=Ship/Nope eq 1", "$filter", "Nope"),
        ("$filter=Items/Price eq 1", "$filter", "collection"),
        ("$filter=Items/any(i:i/Nope eq 1)", "$filter", "Nope"),
        ("$filter=Items/any(i:Nope eq 1)", "$filter", "Nope"),
        ("$filter=Note/any(i:i eq 1)", "$filter", "collection"),
        ("$filter=Note/$count eq 1", "$filter", "collection"),
        ("$filter=contains(Nope,'x')", "$filter", "Nope"),
        ("$filter=", "$filter", "end"),
        ("$filter=Note eq 'x", "$filter", "position"),
        ("$orderby=Nope", "$orderby", "Nope"),
        ("$orderby=ID desk", "$orderby", "desk"),
        ("$orderby=", "$orderby", "empty"),
        ("$orderby=ID,", "$orderby", "empty"),
        ("$select=Nope", "$select", "Nope"),
        ("$select=Ship/Nope", "$select", "Nope"),
        ("$select=,", "$select", "empty"),
        ("$expand=Nope", "$expand", "Nope"),
        ("$expand=Note", "$expand", "Note"),
        ("$expand=Items($filter=Nope eq 1)", "$filter", "Nope"),
        ("$expand=Items($format=json)", "$expand", "option"),
        ("$expand=Items/$ref($select=No)", "$expand", "option"),
        ("$expand=Items/$count($top=1)", "$expand", "option"),
        ("$expand=Items(", "", "missing"),
        ("$expand=Items($top=1)x", "", "bracket"),
        ("$top=-1", "$top", "whole"),
        ("$top=x", "$top", "whole"),
        ("$top=", "$top", "whole"),
        ("$top=" + "9" * 50, "$top", "whole"),
        ("$skip=1.5", "$skip", "whole"),
        ("$count=yes", "$count", "true"),
        ("$count", "$count", "true"),
        ("$top=1&$top=2", "$top", "twice"),
        ("$top=1&top=2", "$top", "twice"),
        ("$nope=1", "$nope", "$nope"),
        ("$levels=2", "$levels", "expand"),
        ("$search=(a", "$search", "bracket"),
        ("$filter=%FF", "", "UTF-8"),
        ("&".join(f"a{number}=1" for number in range(200)), "", "options"),
        ("$expand=" + "Items($expand=Of($expand=" * 40 + ")" * 80, "", "brackets"),
    ],
)
def test_a_wrong_option_is_refused_with_its_name_as_target(query: str, target: str, named: str) -> None:  # O11
    with pytest.raises(BadQuery) as refused:
        options(query)
    assert (refused.value.status, refused.value.target) == (400, target)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("$apply=groupby((Note))", "$apply"),
        ("$compute=Amount mul 2 as Twice", "$compute"),
        ("$deltatoken=1", "$deltatoken"),
        ("$index=1", "$index"),
        ("$expand=Items($levels=2)", "$levels"),
        ("$expand=Buyer/Shop.Vip/Orders", "Shop.Vip"),
        ("$expand=Buyer/Shop.Vip", "Shop.Vip"),
        ("$expand=Ship/*", "Ship/*"),
        ("$expand=$value", "$value"),
        ("$select=@Core.Messages", "@Core.Messages"),
        ("$select=Shop.*", "Shop"),
        ("$select=Ship($top=1)", "$select"),
        ("$filter=cast(Amount,Edm.String) eq '1'", "cast"),
        ("$orderby=cast(Amount,Edm.String)", "cast"),
    ],
)
def test_what_is_not_here_is_refused_by_its_name(query: str, named: str) -> None:  # O11
    with pytest.raises(NotSupported) as refused:
        options(query)
    assert refused.value.status == 501
    assert named in str(refused.value)


def test_tokens_formats_and_ids_are_carried_as_they_are() -> None:
    found = options(
        "$skiptoken=Start@Next_Chunk:From?=Here!&$format=application/json;odata.metadata=none&$id=Orders('1')"
    )
    assert (found.skiptoken, found.format, found.id) == (
        "Start@Next_Chunk:From?=Here!",
        "application/json;odata.metadata=none",
        "Orders('1')",
    )


PIECES: Any = st.one_of(
    st.sampled_from(
        ["$filter=", "$expand=", "$select=", "$orderby=", "$search=", "$top=", "&", ",", ";", "(", ")", "'"]
    ),
    st.sampled_from(
        ['"', "Items", "ID", " eq ", "1", "@a", "*", "/", "$ref", "$count", "Ship", " desc", "%27", "%", "+"]
    ),
)


@settings(max_examples=200)
@given(st.lists(PIECES, max_size=14))
def test_any_query_is_read_or_refused_with_an_odata_error(pieces: list[str]) -> None:
    with suppress(ODataError):
        assert isinstance(options("".join(pieces)), Options)
