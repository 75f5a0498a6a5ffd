"""URLs of OData: what a message brings stays in its literal and in its part of the URL."""

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BadInput
from holdfast.flows.adapters import odata_urls as urls
from holdfast.odata.edm import unquoted


def names(**body: Any) -> dict[str, Any]:
    return {"headers": {}, "properties": {}, "body": body}


@settings(max_examples=100)
@given(st.text())
def test_between_quotes_any_text_is_one_literal(text: str) -> None:
    # F16
    brought = names(id=text)
    in_path = (
        urls.path("Orders('${body.id}')", brought).removeprefix("Orders(").removesuffix(")"),
        urls.key("${body.id}", brought)[1:-1],
        urls.arguments({"x": text}).removeprefix("x="),
    )
    assert not any("/" in made for made in in_path)
    for made in (*in_path, urls.option("Name eq '${body.id}'", brought).removeprefix("Name%20eq%20")):
        assert not set(made) & set("?#&+ ")
        decoded = unquote(made)
        assert "'" not in decoded[1:-1].replace("''", "")
        assert unquoted(decoded) == text


@pytest.mark.parametrize("text", ["1 or 1 eq 1", "'", "a/b", "x)", "1,2", "ü"])
def test_outside_quotes_only_a_bare_literal_can_stand(text: str) -> None:
    for made in (urls.option, urls.path):
        with pytest.raises(BadInput, match=r"what \$\{body\.id\} brings cannot stand outside single quotes"):
            made("Price gt ${body.id}", names(id=text))


def test_numbers_and_bare_literals_stand_outside_quotes() -> None:
    brought = names(n=7, id="0a1b2c3d-0000-4000-8000-000000000000", at="2026-11-21T10:00:00Z", of="O'N")
    assert urls.option("N lt ${body.n} and At gt ${body.at}", brought) == (
        "N%20lt%207%20and%20At%20gt%202026-11-21T10:00:00Z"
    )
    assert urls.path("Orders(guid'${body.id}')/Of('${body.of}')", brought) == (
        "Orders(guid'0a1b2c3d-0000-4000-8000-000000000000')/Of('O''N')"
    )


def test_doubled_quotes_in_the_template_leave_the_literal_open() -> None:
    assert urls.option("Name eq 'O''${body.id}'", names(id="N'x")) == "Name%20eq%20'O''N''x'"


def test_a_template_that_is_nothing_else_is_a_whole_option_or_path() -> None:
    brought = names(all="Name eq 'a&b' or N gt 1", path="/Orders('1')/Items?x=1")
    assert urls.option("${body.all}", brought) == "Name%20eq%20'a%26b'%20or%20N%20gt%201"
    assert urls.path("${body.path}", brought) == "Orders('1')/Items%3Fx=1"


@pytest.mark.parametrize("path", ["../other", "Orders/./..", "."])
def test_no_path_leads_out_of_the_service(path: str) -> None:
    with pytest.raises(BadInput, match="would lead out of the service"):
        urls.path("${body.path}", names(path=path))
    assert urls.path("Orders('${body.path}')", names(path=path)).startswith("Orders('")


def test_keys_are_literals_by_their_types() -> None:
    brought = names(id="A B", n=3)
    assert urls.key("${body.id}", brought) == "('A%20B')"
    assert urls.key({"ID": "${body.id}", "Pos": "${body.n}", "On": True}, brought) == ("(ID='A%20B',Pos=3,On=true)")
    with pytest.raises(BadInput, match="a list is no value of a key or parameter"):
        urls.key("${body.ids}", names(ids=[1]))


def test_parameters_are_named_literals() -> None:
    assert urls.arguments({"a b": None, "c": 1.5, "d": False, "e": "x"}) == "a%20b=null,c=1.5,d=false,e='x'"


def test_counts_are_digits() -> None:
    assert (urls.number(5, {}), urls.number("${body.n}", names(n=7))) == ("5", "7")
    for wrong in ("-1", "1&$filter=x", "", "٣"):
        with pytest.raises(BadInput, match="is no number of entities"):
            urls.number("${body.n}", names(n=wrong))
