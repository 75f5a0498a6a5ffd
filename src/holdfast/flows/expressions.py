"""What a flow may compute: conditions, and templates with `${…}`. Data in, data out; nothing of Python can be reached.

headers.more == 'true' and properties.round < 10
len(body.items) > 0

Names are `headers`, `properties` and `body`. A dot or brackets look into a mapping, where what is missing is None;
there are lists and slices, comparisons, `and`, `or`, `not`, `in`, `… if … else …`, `+ - * / // %`, and `FUNCTIONS`.
Header names are lower case: `headers['content-type']`.

Evaluated by simpleeval, of which less is open than it offers: no methods, no comprehensions, no powers, no formatting.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any, Final
from urllib.parse import quote

import msgspec
from simpleeval import DEFAULT_OPERATORS, EvalWithCompoundTypes, InvalidExpression  # type: ignore[import-untyped]

from holdfast.errors import BadInput

NAMES: Final = ("headers", "properties", "body")
MAX_NODES: Final = 300
MAX_BITS: Final = 4096  # of a whole number
MAX_LENGTH: Final = 10_000_000  # characters of a text, items of a list
IN_TEMPLATE: Final = re.compile(r"\$\{([^{}]*)\}")


def as_text(value: Any) -> str:
    """Return a value as a text: bytes as UTF-8, mappings and lists as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bytes():
            return value.decode(errors="replace")
        case bool() | list() | tuple() | dict():
            return msgspec.json.encode(value).decode()
    return str(value)


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "len": len,
    "int": int,
    "float": float,
    "str": as_text,
    "lower": lambda text: as_text(text).lower(),
    "upper": lambda text: as_text(text).upper(),
    "strip": lambda text: as_text(text).strip(),
    "starts": lambda text, start: as_text(text).startswith(as_text(start)),
    "ends": lambda text, end: as_text(text).endswith(as_text(end)),
    "lines": lambda text: as_text(text).splitlines(),
    "json": msgspec.json.decode,
}


class ExpressionError(BadInput):
    """An expression is malformed, or cannot be computed with this message."""

    code = "expression"
    default_hint = "Correct the expression, or what the message brings for it."


# -- what can stand in one


def _calculated(how: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Calculate with numbers, up to a bounded length."""
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise ExpressionError(f"this cannot be calculated with {type(left).__name__} and {type(right).__name__}")
    result = how(left, right)
    if isinstance(result, int) and result.bit_length() > MAX_BITS:
        raise ExpressionError(f"a number of more than {MAX_BITS} bits")
    return result


def _sum(left: Any, right: Any) -> Any:
    """Add numbers, texts or lists, up to a bounded length."""
    if type(left) is not type(right) or not isinstance(left, str | list):
        return _calculated(operator.add, left, right)
    if len(left) + len(right) > MAX_LENGTH:
        raise ExpressionError(f"a {type(left).__name__} of more than {MAX_LENGTH:,} parts")
    return left + right


def _inside(value: Any, key: Any) -> Any:
    """Return an item of a mapping, or an item or a slice of a list; never an attribute of an object."""
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, Sequence) and isinstance(key, int | slice):
        return value[key]
    if value is None:
        return None
    raise ExpressionError(f"there is no {key!r} in a {type(value).__name__}")


COMPARISONS: Final = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot)
ARITHMETIC: Final = (ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
OPERATORS: Final[Mapping[type[ast.AST], Callable[..., Any]]] = {
    **{how: DEFAULT_OPERATORS[how] for how in (*COMPARISONS, ast.Not, ast.USub)},
    **{how: partial(_calculated, DEFAULT_OPERATORS[how]) for how in ARITHMETIC},
    ast.Add: _sum,
}
NODES: Final = (
    *(ast.Constant, ast.Name, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call),
    *(ast.Attribute, ast.Subscript, ast.Slice, ast.List),
)
ALLOWED: Final = (*NODES, *OPERATORS, ast.Tuple, ast.And, ast.Or, ast.Load)

MESSAGE: Final[ContextVar[Mapping[str, Any]]] = ContextVar("message")


class _Message:
    """The names of the message for which an expression is being computed."""

    def __getitem__(self, name: str) -> Any:
        return MESSAGE.get()[name]


class _Evaluator(EvalWithCompoundTypes):  # type: ignore[misc]
    """Knows `NODES` alone. A dot looks into mappings, and only `FUNCTIONS` are called, so no object has to be kept from
    an expression by looking through all of a body for it, as the library does at each step.
    """

    nodes: dict[type[ast.AST], Callable[[Any], Any]]

    def __init__(self) -> None:
        super().__init__(OPERATORS, dict(FUNCTIONS), _Message())
        self.nodes = {kind: self.nodes[kind] for kind in NODES} | {ast.Tuple: self._eval_list}

    def _eval_attribute(self, node: ast.Attribute) -> Any:
        return _inside(self._eval(node.value), node.attr)

    def _eval_subscript(self, node: ast.Subscript) -> Any:
        return _inside(self._eval(node.value), self._eval(node.slice))

    def _check_disallowed_items(self, item: Any) -> None:
        pass


EVALUATOR: Final = _Evaluator()
UNCOMPUTABLE: Final = (
    *(TypeError, ValueError, ArithmeticError, LookupError, RecursionError),
    *(InvalidExpression, msgspec.MsgspecError),
)


def evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """Return what an expression says of `headers`, `properties` and `body`. Raises ExpressionError."""
    tree = compiled(text)
    token = MESSAGE.set(names)
    try:
        return EVALUATOR.eval(text, tree)
    except ExpressionError:
        raise
    except UNCOMPUTABLE as exc:
        raise ExpressionError(f"{text!r} cannot be computed: {type(exc).__name__}") from exc
    finally:
        MESSAGE.reset(token)


@lru_cache(maxsize=1024)
def compiled(text: str) -> ast.expr:
    """Return the tree of an expression that has nothing in it but what is allowed. Raises ExpressionError."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"{text!r} is no expression") from None
    called = set()
    for number, node in enumerate(ast.walk(tree)):
        if number > MAX_NODES:
            raise ExpressionError(f"an expression of more than {MAX_NODES} parts: write a script")
        if isinstance(node, ast.Call):
            called.add(node.func)
        if node not in called and (wrong := _forbidden(node)) is not None:
            raise ExpressionError(f"{wrong} cannot stand in an expression: {text!r}")
    return tree


def _forbidden(node: ast.AST) -> str | None:
    """Return what of this node is not allowed."""
    match node:
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
            return None
        case ast.Call():
            return f"a function other than {', '.join(FUNCTIONS)}"
        case ast.Name(id=name) if name not in NAMES:
            return f"the name {name!r} (there are {', '.join(NAMES)})"
        case ast.Constant(value=constant) if not isinstance(constant, str | int | float | None):
            return f"{constant!r}"
    return None if isinstance(node, ALLOWED) else f"a {type(node).__name__}"


# -- templates


def render(template: str, names: Mapping[str, Any], *, in_url: bool = False, put: Callable[[str], str] = str) -> str:
    """Return a text with each `${expression}` put in, as `put` makes it; None is empty. `in_url` percent-encodes it."""

    def put_in(found: re.Match[str]) -> str:
        try:
            text = as_text(evaluate(found[1], names))
        except (TypeError, ValueError, RecursionError) as exc:
            raise ExpressionError(f"{found[1]!r} is nothing that can be written as a text") from exc
        return quote(text, safe="") if in_url else put(text)

    return IN_TEMPLATE.sub(put_in, template)


def filled(template: Any, names: Mapping[str, Any]) -> Any:
    """Return a template's value: one that is nothing but `${…}` keeps its type; lists and mappings are gone through."""
    match template:
        case str() if whole := IN_TEMPLATE.fullmatch(template):
            return evaluate(whole[1], names)
        case str():
            return render(template, names)
        case list():
            return [filled(item, names) for item in template]
        case dict():
            return {key: filled(item, names) for key, item in template.items()}
    return template


def expressions_in(template: Any) -> list[str]:
    """Return the expressions in a template."""
    match template:
        case str():
            return IN_TEMPLATE.findall(template)
        case list() | tuple():
            return [found for item in template for found in expressions_in(item)]
        case dict():
            return expressions_in(list(template.values()))
    return []
