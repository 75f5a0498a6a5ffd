"""Expressions, searches and orders over plain rows: mappings, or objects with attributes.

A tree becomes one Python function, once; then it runs over any number of rows. Logic has three values: a comparison of
order with null is false, `eq` of null and null true, arithmetic and functions of null are null, `not null` is null;
only true chooses a row (Part 2 §5.1.1.1).
"""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from odata_query import ast
from odata_query.visitor import NodeVisitor

from holdfast.odata.query import functions, nodes
from holdfast.odata.query.expression import literal
from holdfast.odata.query.nodes import Expression
from holdfast.odata.query.search import Search
from holdfast.odata.query.text import BadQuery

MOST_ITEMS: Final = 1_000_000

Scope = dict[str, Any]  # the row as `$it`, and the variables of lambdas
Compiled = Callable[[Scope], Any]
Clock = Callable[[], float]


def compiled(expression: Expression, *, clock: Clock = time.time) -> Callable[[Any], Any]:
    """Return a function from a row to the expression's value, to be used for one request.

    It raises `BadQuery` where types do not fit, and when `any` and `all` have looked at `MOST_ITEMS` over all rows:
    one within another multiply. `clock` is Unix seconds, for `now()`.
    """
    evaluate = _Compiler(clock).visit(expression.tree)

    def value(row: Any) -> Any:
        try:
            return evaluate({nodes.THIS: row})
        except (TypeError, AttributeError, ArithmeticError, ValueError) as error:
            raise BadQuery(
                f"{expression.text[:200]} cannot be computed: {type(error).__name__}", target="$filter"
            ) from None

    return value


def matches(expression: Expression, row: Any, *, clock: Clock = time.time) -> bool:
    """Return whether a row is chosen by a filter. Over many rows, call `compiled` once instead."""
    return compiled(expression, clock=clock)(row) is True


def chosen(expression: Expression, rows: Iterable[Any], *, clock: Clock = time.time) -> list[Any]:
    """Return the rows that a filter chooses, in their order."""
    value = compiled(expression, clock=clock)
    return [row for row in rows if value(row) is True]


def ordered(rows: Iterable[Any], by: Iterable[tuple[Expression, bool]], *, clock: Clock = time.time) -> list[Any]:
    """Return rows ordered by pairs of an expression and whether it descends; null comes before all values.

    Rows that are equal by all of them stay in their order.
    """
    result = list(rows)
    for expression, descends in reversed(list(by)):
        value = compiled(expression, clock=clock)
        try:
            result.sort(key=_sort_key(value), reverse=descends)
        except TypeError:
            raise BadQuery(f"{expression.text[:200]} has no order", target="$orderby") from None
    return result


def _sort_key(value: Callable[[Any], Any]) -> Callable[[Any], tuple[bool, Any]]:
    def key(row: Any) -> tuple[bool, Any]:
        found = value(row)
        return (found is not None, 0 if found is None else found)

    return key


def found(search: Search, rows: Iterable[Any], texts: Callable[[Any], Iterable[str]]) -> list[Any]:
    """Return the rows whose texts a search finds; `texts` gives those of a row."""
    return [row for row in rows if search.finds(texts(row))]


def member(row: Any, name: str) -> Any:
    """Return a property of a row, null if the row is null or has no such property."""
    value = row.get(name) if isinstance(row, Mapping) else getattr(row, name, None)
    return functions.comparable(value)


class _Compiler(NodeVisitor):
    """Turns a node into a function of the scope. odata-query's visitor calls the method of the node's class."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._variables = {nodes.THIS}
        self._left = iter(range(MOST_ITEMS))

    def visit(self, node: Any) -> Compiled:
        if isinstance(node, ast._Literal) and not isinstance(node, ast.List):
            value = literal(node)
            return lambda _: value
        compiled_node: Compiled = super().visit(node)
        return compiled_node

    def generic_visit(self, node: Any) -> Compiled:
        raise BadQuery(f"{type(node).__name__} cannot stand here", target="$filter")

    def visit_Identifier(self, node: ast.Identifier) -> Compiled:  # noqa: N802 - odata-query names these methods
        name = node.name
        if name in self._variables:
            return lambda scope: functions.comparable(scope[name])
        return lambda scope: member(scope[nodes.THIS], name)

    def visit_Attribute(self, node: ast.Attribute) -> Compiled:  # noqa: N802
        owner, name = self.visit(node.owner), node.attr
        if name == "$count":
            return lambda scope: len(owner(scope) or ())
        return lambda scope: member(owner(scope), name)

    def visit_List(self, node: ast.List) -> Compiled:  # noqa: N802
        items = [self.visit(item) for item in node.val]
        return lambda scope: [item(scope) for item in items]

    def visit_Chain(self, node: nodes.Chain) -> Compiled:  # noqa: N802
        operands = [self.visit(operand) for operand in node.operands]
        decides = isinstance(node.op, ast.Or)

        def chain(scope: Scope) -> bool | None:
            unknown = False
            for operand in operands:
                value: bool | None = operand(scope)
                if value is decides:
                    return value
                unknown = unknown or value is None
            return None if unknown else not decides

        return chain

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Compiled:  # noqa: N802
        operand = self.visit(node.operand)
        return _not(operand) if isinstance(node.op, ast.Not) else _known(lambda value: -value, [operand])

    def visit_BinOp(self, node: ast.BinOp) -> Compiled:  # noqa: N802
        return _known(functions.ARITHMETIC[type(node.op)], [self.visit(node.left), self.visit(node.right)])

    def visit_Compare(self, node: ast.Compare) -> Compiled:  # noqa: N802
        left, right, comparator = self.visit(node.left), self.visit(node.right), type(node.comparator)
        if comparator is ast.Eq:
            return lambda scope: functions.equal(left(scope), right(scope))
        if comparator is ast.NotEq:
            return lambda scope: not functions.equal(left(scope), right(scope))
        if comparator is ast.In:
            return lambda scope: _is_in(left(scope), right(scope))
        if comparator is nodes.Has:
            return _known(lambda whole, part: functions.has(whole, part[0]), [left, right])
        return _order(functions.ORDER[comparator], left, right)

    def visit_Call(self, node: ast.Call) -> Compiled:  # noqa: N802
        name = node.func.name
        if name == "now":
            return lambda _: dt.datetime.fromtimestamp(self._clock(), dt.UTC)
        return _known(functions.FUNCTIONS[name], [self.visit(argument) for argument in node.args])

    def visit_CollectionLambda(self, node: ast.CollectionLambda) -> Compiled:  # noqa: N802
        owner = self.visit(node.owner)
        if node.lambda_ is None:
            return lambda scope: bool(owner(scope))
        name = node.lambda_.identifier.name
        if name in self._variables:
            raise BadQuery(f"the lambda variable {name} is there already", target="$filter")
        self._variables.add(name)
        inner = self.visit(node.lambda_.expression)
        self._variables.discard(name)
        wanted = isinstance(node.operator, ast.Any)

        def decided(scope: Scope) -> bool:
            each = ((inner({**scope, name: item}) is True) is wanted for item in self._counted(owner(scope) or ()))
            return any(each) is wanted

        return decided

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            if next(self._left, None) is None:
                raise BadQuery(f"any and all would look at more than {MOST_ITEMS} items", target="$filter")
            yield item


def _not(operand: Compiled) -> Compiled:
    def negated(scope: Scope) -> bool | None:
        value = operand(scope)
        if value is None:
            return None
        if not isinstance(value, bool):
            raise TypeError
        return not value

    return negated


def _known(function: Callable[..., Any], arguments: list[Compiled]) -> Compiled:
    """Call the function unless an argument is null: then the result is null."""

    def call(scope: Scope) -> Any:
        values = [argument(scope) for argument in arguments]
        return None if any(value is None for value in values) else function(*values)

    return call


def _order(compare: Callable[[Any, Any], bool], left: Compiled, right: Compiled) -> Compiled:
    def compared(scope: Scope) -> bool:
        one, other = left(scope), right(scope)
        return one is not None and other is not None and compare(*functions.pair(one, other))

    return compared


def _is_in(value: Any, items: list[Any]) -> bool:
    return any(functions.equal(value, item) for item in items)
