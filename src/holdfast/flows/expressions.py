"""What a flow may compute: conditions, and templates with `${…}`. Data in, data out; nothing of Python can be reached.

headers.more == 'true' and properties.round < 10
len(body.items) > 0

Names are `headers`, `properties` and `body`. A dot or brackets look into a mapping, where what is missing is None;
there are lists, comparisons, `and`, `or`, `not`, `in`, `… if … else …`, `+ - * / // %`, and `FUNCTIONS`. Header
names are lower case: `headers['content-type']`.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import msgspec

from holdfast.errors import BadInput

NAMES: Final = ("headers", "properties", "body")
MAX_NODES: Final = 300
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
COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, many: item in many,
    ast.NotIn: lambda item, many: item not in many,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
ALLOWED: Final = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Compare, ast.IfExp),
    *(ast.Constant, ast.Name, ast.Load, ast.Attribute, ast.Subscript, ast.List, ast.Tuple, ast.Call),
    *COMPARISONS,
    *ARITHMETIC,
)


class ExpressionError(BadInput):
    """An expression is malformed, or cannot be computed with this message."""

    code = "expression"
    default_hint = "Correct the expression, or what the message brings for it."


def evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """Return what an expression says of `headers`, `properties` and `body`. Raises ExpressionError."""
    tree = compiled(text)
    try:
        return _value(tree, names)
    except ExpressionError:
        raise
    except (TypeError, ValueError, ArithmeticError, LookupError, msgspec.MsgspecError, RecursionError) as exc:
        raise ExpressionError(f"{text!r} cannot be computed: {type(exc).__name__}") from exc


@lru_cache(maxsize=1024)
def compiled(text: str) -> ast.expr:
    """Return the tree of an expression that has nothing in it but what is allowed. Raises ExpressionError."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"{text!r} is no expression") from None
    for number, node in enumerate(ast.walk(tree)):
        if number > MAX_NODES:
            raise ExpressionError(f"an expression of more than {MAX_NODES} parts: write a script")
        if (wrong := _forbidden(node)) is not None:
            raise ExpressionError(f"{wrong} cannot stand in an expression: {text!r}")
    return tree.body


def _forbidden(node: ast.AST) -> str | None:
    """Return what of this node is not allowed."""
    match node:
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
            return None
        case ast.Call():
            return f"a function other than {', '.join(FUNCTIONS)}"
        case ast.Name(id=name) if name not in NAMES and name not in FUNCTIONS:
            return f"the name {name!r} (there are {', '.join(NAMES)})"
        case ast.Constant(value=constant) if not isinstance(constant, str | int | float | None):
            return f"{constant!r}"
    return None if isinstance(node, ALLOWED) else f"a {type(node).__name__}"


Of = Callable[[ast.expr], Any]


def _value(tree: ast.expr, names: Mapping[str, Any]) -> Any:
    def of(node: ast.expr) -> Any:
        return names[node.id] if isinstance(node, ast.Name) else RULES[type(node)](node, of)

    return of(tree)


RULES: Final[Mapping[type[ast.expr], Callable[[Any, Of], Any]]] = {
    ast.Constant: lambda node, of: node.value,
    ast.Attribute: lambda node, of: _inside(of(node.value), node.attr),
    ast.Subscript: lambda node, of: _inside(of(node.value), of(node.slice)),
    ast.List: lambda node, of: [of(item) for item in node.elts],
    ast.Tuple: lambda node, of: [of(item) for item in node.elts],
    ast.BoolOp: lambda node, of: _chosen(isinstance(node.op, ast.Or), node.values, of),
    ast.UnaryOp: lambda node, of: not of(node.operand) if isinstance(node.op, ast.Not) else -of(node.operand),
    ast.IfExp: lambda node, of: of(node.body) if of(node.test) else of(node.orelse),
    ast.BinOp: lambda node, of: _arithmetic(type(node.op), of(node.left), of(node.right)),
    ast.Compare: lambda node, of: _compared(of(node.left), [type(how) for how in node.ops], node.comparators, of),
    ast.Call: lambda node, of: FUNCTIONS[node.func.id](*(of(argument) for argument in node.args)),
}


def _inside(value: Any, key: Any) -> Any:
    """Return an item of a mapping or a list, never an attribute of an object."""
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, Sequence) and isinstance(key, int):
        return value[key]
    if value is None:
        return None
    raise ExpressionError(f"there is no {key!r} in a {type(value).__name__}")


def _chosen(either: bool, parts: list[ast.expr], of: Of) -> Any:
    value = None
    for part in parts:
        value = of(part)
        if bool(value) is either:
            break
    return value


def _compared(left: Any, hows: list[type[ast.cmpop]], rights: list[ast.expr], of: Of) -> bool:
    for how, part in zip(hows, rights, strict=True):
        right = of(part)
        if not COMPARISONS[how](left, right):
            return False
        left = right
    return True


def _arithmetic(how: type[ast.operator], left: Any, right: Any) -> Any:
    """Calculate with numbers; of texts and lists there is only the sum."""
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if not numbers and not (how is ast.Add and type(left) is type(right) and isinstance(left, str | list)):
        raise ExpressionError(f"this cannot be calculated with {type(left).__name__} and {type(right).__name__}")
    return ARITHMETIC[how](left, right)


# -- templates


def render(template: str, names: Mapping[str, Any], *, in_url: bool = False) -> str:
    """Return a text with each `${expression}` put in; None is empty. `in_url` percent-encodes what is put in."""

    def put_in(found: re.Match[str]) -> str:
        try:
            text = as_text(evaluate(found[1], names))
        except (TypeError, ValueError, RecursionError) as exc:
            raise ExpressionError(f"{found[1]!r} is nothing that can be written as a text") from exc
        return quote(text, safe="") if in_url else text

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
