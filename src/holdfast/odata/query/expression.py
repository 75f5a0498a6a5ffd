"""An expression of `$filter` or `$orderby`: text to tree, by odata-query's grammar over our tokens."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

from odata_query import ast
from odata_query.exceptions import ODataException, ParsingException
from odata_query.grammar import ODataParser

from holdfast.odata import edm
from holdfast.odata.errors import ODataError
from holdfast.odata.query import nodes
from holdfast.odata.query.nodes import Expression
from holdfast.odata.query.text import BadQuery
from holdfast.odata.query.tokens import tokens

DEEPEST_TREE: Final = 60  # levels; a chain of `or` is one

_NO_ALIASES: Final[Mapping[str, str]] = {}
_EDM: Final[Mapping[type, str]] = {
    ast.Integer: "Edm.Decimal",
    ast.Float: "Edm.Decimal",
    ast.GUID: "Edm.Guid",
    ast.Date: "Edm.Date",
    ast.Time: "Edm.TimeOfDay",
    ast.DateTime: "Edm.DateTimeOffset",
    ast.Duration: "Edm.Duration",
    nodes.Binary: "Edm.Binary",
}


def parse_expression(text: str, aliases: Mapping[str, str] = _NO_ALIASES, *, target: str = "$filter") -> Expression:
    """Return the tree of a decoded expression.

    Raises:
        BadQuery: it is no expression; `target` and the message say which and where.
        NotSupported: it uses something of OData that is not here, by its name.
    """
    try:
        return Expression(text, _checked(_parsed(text, aliases)))
    except ODataError as error:
        error.target = target
        raise


def _parsed(text: str, aliases: Mapping[str, str]) -> Any:
    found = tokens(text, aliases)
    try:
        return ODataParser().parse(iter(found))
    except ParsingException as error:
        where = "at its end" if error.token is None else f"at position {error.token.index}"
        raise BadQuery(f"the expression cannot be read {where}") from None
    except (ODataException, AttributeError, NotImplementedError) as error:
        raise BadQuery(f"the expression cannot be read: {error}") from None


def _checked(node: Any, depth: int = 0) -> Any:
    """Return the tree with chains of one operator as one node, its literals proved to be values, not too deep."""
    if depth > DEEPEST_TREE:
        raise BadQuery(f"the expression is more than {DEEPEST_TREE} levels deep")
    if isinstance(node, ast.BoolOp):
        operands = [_checked(one, depth + 1) for one in _operands(node)]
        return nodes.Chain(node.op, operands)
    if isinstance(node, ast.List):
        return ast.List([_checked(one, depth + 1) for one in node.val if not isinstance(one, nodes.Nothing)])
    if isinstance(node, ast._Literal):
        literal(node)
        return node
    return type(node)(**{one.name: _inner(getattr(node, one.name), depth + 1) for one in fields(node)})


def _inner(value: Any, depth: int) -> Any:
    if isinstance(value, list):
        return [_checked(one, depth) for one in value]
    return _checked(value, depth) if isinstance(value, ast._Node) else value


def _operands(node: Any) -> list[Any]:
    operands = []
    op = node.op
    while isinstance(node, ast.BoolOp) and node.op == op:
        operands.append(node.right)
        node = node.left
    return [node, *reversed(operands)]


def literal(node: Any) -> Any:
    """Return the Python value of a literal, as `edm` holds one of its type; whole numbers are int."""
    if isinstance(node, ast.Null):
        return None
    if isinstance(node, ast.String | ast.Boolean | nodes.EnumValue):
        return node.py_val
    if isinstance(node, ast.Integer) and len(node.val) <= edm.LONGEST_NUMBER:
        return int(node.val)
    if isinstance(node, ast.Float) and "e" in node.val.lower():
        return edm.from_text("Edm.Double", node.val)
    return edm.from_text(_EDM[type(node)], node.val)


def children(node: Any) -> Iterator[Any]:
    """Yield the nodes directly below one."""
    for one in fields(node):
        value = getattr(node, one.name)
        values = value if isinstance(value, list | tuple) else (value,)
        yield from (inner for inner in values if isinstance(inner, ast._Node))
