"""What an expression can say, and that it can say nothing else."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.flows.expressions import ExpressionError, compiled, evaluate, filled, render

NAMES: dict[str, Any] = {
    "headers": {"more": "true", "content-type": "text/plain"},
    "properties": {"round": 3, "tags": ["a", "b"]},
    "body": {"items": [{"id": 1}, {"id": 2}], "text": "x"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("headers.more == 'true'", True),
        ("headers.none == 'true'", False),
        ("headers['content-type']", "text/plain"),
        ("body.items[1].id + properties.round * 2", 8),
        ("body.none.deeper", None),
        ("1 < properties.round <= 3 and not headers.none", True),
        ("'a' in properties.tags and 'c' not in properties.tags", True),
        ("headers.none or 'default'", "default"),
        ("len(body.items) if body.items else 0", 2),
        ("'q' + upper(body.text) + str(properties.round)", "qX3"),
        ("json('[1, 2]')[-1]", 2),
        ("-properties.round // 2 % 5", 3),
        ("[1, 'x'] + [headers.more is None]", [1, "x", False]),
        ("lines('a\\nb')", ["a", "b"]),
        ("body.items[1:]", [{"id": 2}]),
        ("'abc'[:2] + 'd'", "abd"),
        ("(1, 2)", [1, 2]),
    ],
)
def test_an_expression_says_what_python_would(text: str, value: object) -> None:
    # F15
    assert evaluate(text, NAMES) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "open('/etc/passwd')",
        "().__class__.__bases__[0]",
        "headers.__class__.__name__()",
        "[x for x in body]",
        "(lambda: 1)()",
        "len.__self__.eval",
        "9 ** 9 ** 9",
        "9 << 999",
        "body.items.pop()",
        "body.items['append'](1)",
        "{body: 1}",
        "{*body}",
        "len({})",
        "'a' * 1000000000",
        "'%s' % body",
        "f'{body}'",
        "(x := 1)",
        "len(*body)",
        "len(body, key=1)",
        "b'x'",
        "...",
        "{1: 2}",
        "import os",
        "",
        "1 +",
        "+".join("1" * 400),
        "(" * 300 + "1" + ")" * 300,
        "not " * 5000 + "1",
        "len(body.none)",
        "body.items < 3",
        "body.items['id']",
        "body.text.x",
        "1 / 0",
        "int('x')",
        "json('{')",
        "len",
    ],
)
def test_everything_else_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        assert callable(evaluate(text, NAMES))


@pytest.mark.parametrize("text", ["body * body", "body + body * 9999", "[body] + [body * body]"])
def test_a_number_does_not_grow_without_end(text: str) -> None:
    # a loop may compute a million times with what it has computed
    with pytest.raises(ExpressionError, match="more than 4096 bits"):
        evaluate(text, {"body": 1 << 4095})


@pytest.mark.parametrize("part", ["x" * 6_000_000, [0] * 6_000_000])
def test_a_text_or_a_list_does_not_grow_without_end(part: Any) -> None:
    assert len(evaluate("body + body[:9]", {"body": part})) == 6_000_009
    with pytest.raises(ExpressionError, match="of more than 10,000,000 parts"):
        evaluate("body + body", {"body": part})


def test_expressions_of_several_threads_see_their_own_messages() -> None:
    def counted(number: int) -> set[Any]:
        return {evaluate("body + 1 - 1", {"body": number}) for _ in range(500)}

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(counted, range(8))) == [{number} for number in range(8)]


class Guarded(dict[str, Any]):
    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") and name not in ("__class__", "__len__"):
            raise AssertionError(name)
        return super().__getattribute__(name)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abodyheadrs_.[]()'\"+-*/=<>! 0123", max_size=30))
def test_any_text_has_a_value_or_is_an_error(text: str) -> None:
    with suppress(ExpressionError):
        value = evaluate(text, {name: Guarded(value) for name, value in NAMES.items()})
        assert value is None or isinstance(value, str | int | float | list | dict)


def test_a_template_is_filled_and_keeps_types_where_it_is_nothing_else() -> None:
    assert render("a ${properties.round}/${headers.none}${body.items}", NAMES) == 'a 3/[{"id":1},{"id":2}]'
    assert filled({"n": "${properties.round}", "t": ["${properties.round}!", 1]}, NAMES) == {"n": 3, "t": ["3!", 1]}
    assert render("http://x/${'a/../b?c'}", NAMES, in_url=True) == "http://x/a%2F..%2Fb%3Fc"


def test_what_cannot_be_written_as_a_text_is_an_error_of_the_template() -> None:
    with pytest.raises(ExpressionError, match="'body' is nothing that can be written as a text"):
        render("a ${body}", {"body": [object()]})


def test_an_expression_is_read_once() -> None:
    assert compiled("headers.more") is compiled("headers.more")
