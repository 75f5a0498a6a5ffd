"""`$search`: words, phrases, AND, OR, NOT and brackets (O11)."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata.query import BadQuery, Search, found, parse_search

TEXTS = ["Mountain Bike", "blue & Grün", 'the "best" AND only for']


@pytest.mark.parametrize(
    "text",
    [
        "bike",
        "BLUE",
        "grün",
        '"mountain bike"',
        "mountain bike blue",
        "mountain AND blue",
        "red OR blue",
        "NOT red",
        "blue NOT red",
        "red OR NOT green AND blue",
        "(red OR blue) AND (NOT green)",
        "red AND green OR blue",
        '"AND"',
        r'"\"best\""',
        " bike  ",
        "Grün &",
        "AND",
        "the AND",
        "NOT NOT",
        "bike OR",
    ],
)
def test_a_search_finds(text: str) -> None:  # O11
    assert parse_search(text).finds(TEXTS)


@pytest.mark.parametrize(
    "text",
    ["red", '"bike mountain"', "bike red", "bike AND red", "NOT bike", "NOT (red OR bike)", "(red OR bike) green"],
)
def test_a_search_does_not_find(text: str) -> None:
    assert not parse_search(text).finds(TEXTS)


def test_or_binds_less_than_and_and_and_less_than_not() -> None:
    a, b, c = (Search("term", name) for name in "abc")
    negated = Search("not", operands=(c,))
    assert parse_search("a OR b NOT c") == Search("or", operands=(a, Search("and", operands=(b, negated))))


def test_an_operator_without_an_operand_is_a_word_to_look_for() -> None:  # 4.01
    words = Search("and", operands=(Search("term", "rock"), Search("term", "AND")))
    assert parse_search("rock AND") == words
    assert parse_search("NOT NOT") == Search("not", operands=(Search("term", "NOT"),))
    assert parse_search("(OR)") == Search("term", "OR")


def test_rows_are_found_by_their_texts() -> None:
    rows = [{"Name": "Milk"}, {"Name": "Cheese"}]
    assert found(parse_search("milk"), rows, lambda row: row.values()) == rows[:1]


@pytest.mark.parametrize("text", ["", " ", "(", "(a", "a)", "()", "NOT ()", '"a', "(" * 40 + "a" + ")" * 40])
def test_what_is_no_search_is_refused(text: str) -> None:
    with pytest.raises(BadQuery) as refused:
        parse_search(text)
    assert refused.value.target == "$search"


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["a", "b", "AND", "OR", "NOT", "(", ")", '"', " "]), max_size=12))
def test_any_text_is_a_search_or_refused(pieces: list[str]) -> None:
    with suppress(BadQuery):
        assert parse_search(" ".join(pieces)).finds(["a b"]) in (True, False)
