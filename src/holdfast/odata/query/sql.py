"""Filters and orders as SQLAlchemy statements, over a mapped class or a table: odata-query's visitors, made exact.

What is different from theirs: `contains` and its like tell upper from lower case and take `%` and `_` as they are, `ne`
and `not` choose rows with null as OData does, moments fit columns with and without a zone, Decimals stay Decimals,
`/$count`, `$it`, `divby` and chains. What a database cannot do is refused by name (501), not approximated.

Properties are columns of the same name. Whoever imports this module has SQLAlchemy.
"""

import datetime as dt
import operator
import time
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from odata_query import ast
from odata_query import exceptions as theirs
from odata_query.sqlalchemy.core import AstToSqlAlchemyCoreVisitor
from odata_query.sqlalchemy.orm import AstToSqlAlchemyOrmVisitor
from odata_query.utils import expression_relative_to_identifier
from sqlalchemy.orm import RelationshipProperty

from holdfast.odata.errors import NotSupported
from holdfast.odata.query import nodes
from holdfast.odata.query.expression import children, literal
from holdfast.odata.query.nodes import Expression
from holdfast.odata.query.sql_values import Position, alike, compared, divided, fitted, kind_of, of_kind
from holdfast.odata.query.text import BadQuery

Clock = Callable[[], float]


def filtered(statement: sa.Select[Any], expression: Expression, source: Any, *, clock: Clock = time.time) -> Any:
    """Return a statement that selects only what a filter chooses.

    Args:
        statement: A select over `source`.
        expression: The filter; its names were checked by `parse_options`.
        source: The mapped class or the `sa.Table`.
        clock: Unix seconds, for `now()`.
    Raises:
        BadQuery: a property is no column.
        NotSupported: the database cannot do it; the message names it.
    """
    clause, joins = _translated(expression, source, clock, "$filter")
    if kind_of(clause) != "truth":
        raise BadQuery("the filter is no condition", target="$filter")
    return _joined(statement, joins).where(clause)


def ordered_by(
    statement: sa.Select[Any], by: Iterable[tuple[Expression, bool]], source: Any, *, clock: Clock = time.time
) -> Any:
    """Return a statement ordered by pairs of an expression and whether it descends; null comes before all values."""
    for expression, descends in by:
        clause, joins = _translated(expression, source, clock, "$orderby")
        nulls_first = clause.is_(None) if descends else clause.is_not(None)
        statement = _joined(statement, joins).order_by(nulls_first, clause.desc() if descends else clause.asc())
    return statement


def _joined(statement: Any, joins: list[Any]) -> Any:
    for relation in dict.fromkeys(joins):
        statement = statement.outerjoin(relation)
    return statement


def _translated(expression: Expression, source: Any, clock: Clock, target: str) -> tuple[Any, list[Any]]:
    visitor = (_OverTable if isinstance(source, sa.Table) else _OverClass)(source)
    visitor.clock = clock
    try:
        clause = visitor.visit(expression.tree)
    except theirs.InvalidFieldException as error:
        raise BadQuery(f"there is no column {error.field_name}", target=target) from None
    except theirs.UnsupportedFunctionException as error:
        raise NotSupported(f"{error.function_name} is not supported by the database", target=target) from None
    except (theirs.ODataException, NotImplementedError, ValueError, TypeError, AttributeError, sa.exc.ArgumentError):
        raise BadQuery("the expression cannot be put to the database", target=target) from None
    return clause, getattr(visitor, "join_relationships", [])


class _Exact:
    """What both visitors share; odata-query calls the method of a node's class, `func_…` with a call's arguments."""

    clock: Clock = time.time
    within = False  # within a comparison or `not`, where null and false are not the same

    visit: Callable[[Any], Any]

    def visit_Chain(self, node: nodes.Chain) -> Any:  # noqa: N802 - odata-query names these methods
        combine = sa.or_ if isinstance(node.op, ast.Or) else sa.and_
        return combine(*(of_kind(self.visit(one), "truth") for one in node.operands))

    def visit_Integer(self, node: ast.Integer) -> Any:  # noqa: N802
        value = literal(node)
        if not -(1 << 63) <= value < 1 << 63:
            raise theirs.ValueException(node.val)
        return sa.literal(value)

    def visit_Float(self, node: ast.Float) -> Any:  # noqa: N802
        return sa.literal(literal(node))

    def visit_DateTime(self, node: ast.DateTime) -> Any:  # noqa: N802
        return sa.literal(literal(node).astimezone(dt.UTC))

    def visit_Date(self, node: ast.Date) -> Any:  # noqa: N802
        return sa.literal(literal(node))

    def visit_Time(self, node: ast.Time) -> Any:  # noqa: N802
        return sa.literal(literal(node))

    def visit_Duration(self, node: ast.Duration) -> Any:  # noqa: N802
        return sa.literal(literal(node))

    def visit_GUID(self, node: ast.GUID) -> Any:  # noqa: N802
        return sa.literal(literal(node))

    def visit_Binary(self, node: nodes.Binary) -> Any:  # noqa: N802
        return sa.literal(literal(node))

    def visit_EnumValue(self, node: nodes.EnumValue) -> Any:  # noqa: N802
        return sa.literal(literal(node))

    def visit_Div(self, _: ast.Div) -> Any:  # noqa: N802
        return divided

    def visit_DivBy(self, _: nodes.DivBy) -> Any:  # noqa: N802
        return operator.truediv

    def visit_BinOp(self, node: ast.BinOp) -> Any:  # noqa: N802
        left, right = self.visit(node.left), self.visit(node.right)
        if {kind_of(left), kind_of(right)} & {"moment", "clock", "span"}:
            raise NotSupported(
                "arithmetic with moments and durations is not supported by the database", target="$filter"
            )
        of_kind(left, "number"), of_kind(right, "number")
        return self.visit(node.op)(fitted(left, right), fitted(right, left))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:  # noqa: N802
        if isinstance(node.op, ast.USub):
            return -of_kind(self.visit(node.operand), "number")
        operand = of_kind(self._visit_within(node.operand), "truth")
        if self.within:  # as an operand NOT would join an IS before it
            return sa.case((operand, sa.false()), (sa.not_(operand), sa.true()))
        return sa.type_coerce(sa.not_(operand), sa.Boolean)  # NOT of more than a comparison has no type of its own

    def _visit_within(self, node: Any) -> Any:
        outer, self.within = self.within, True
        visited = self.visit(node)
        self.within = outer
        return visited

    def visit_Compare(self, node: ast.Compare) -> Any:  # noqa: N802
        if isinstance(node.comparator, nodes.Has):
            raise theirs.UnsupportedFunctionException("has")
        left, right = self._visit_within(node.left), self._visit_within(node.right)
        if isinstance(node.comparator, ast.In):
            result = left.in_([alike(one, left) for one in right])
        else:
            result = compared(type(node.comparator), alike(left, right), alike(right, left))
        return sa.func.coalesce(result, sa.false()) if self.within else result

    def func_contains(self, field: Any, part: Any) -> Any:
        return Position(self.visit(field), self.visit(part)) > 0

    def func_indexof(self, field: Any, part: Any) -> Any:
        return Position(self.visit(field), self.visit(part)) - 1

    def func_startswith(self, field: Any, part: Any) -> Any:
        text, start = self.visit(field), self.visit(part)
        return sa.func.substr(text, 1, sa.func.char_length(start)) == start

    def func_endswith(self, field: Any, part: Any) -> Any:
        text, end = self.visit(field), self.visit(part)
        begin = sa.func.char_length(text) - sa.func.char_length(end) + 1
        return sa.and_(begin > 0, sa.func.substr(text, begin) == end)

    def func_concat(self, *texts: Any) -> Any:
        left, right = (self.visit(one) for one in texts)
        return sa.cast(left, sa.Text()).concat(right)

    def func_date(self, moment: Any) -> Any:
        return sa.func.date(self.visit(moment), type_=sa.Date())

    def func_time(self, _: Any) -> Any:
        raise theirs.UnsupportedFunctionException("time")

    def func_now(self) -> Any:
        return sa.literal(dt.datetime.fromtimestamp(self.clock(), dt.UTC))


class _OverTable(_Exact, AstToSqlAlchemyCoreVisitor):
    """Over a table, which has no relations."""

    def visit_Attribute(self, node: ast.Attribute) -> Any:  # noqa: N802
        if node.owner == ast.Identifier(nodes.THIS):
            return self.visit(ast.Identifier(node.attr))
        raise NotSupported(f"paths such as {node.attr} are not supported by a table", target="$filter")

    def visit_CollectionLambda(self, node: ast.CollectionLambda) -> Any:  # noqa: N802
        raise NotSupported("any and all are not supported by a table", target="$filter")


class _OverClass(_Exact, AstToSqlAlchemyOrmVisitor):
    """Over a mapped class and its relations; a path to one thing becomes an outer join."""

    def visit_Attribute(self, node: ast.Attribute) -> Any:  # noqa: N802
        if node.owner == ast.Identifier(nodes.THIS):
            return self.visit(ast.Identifier(node.attr))
        if node.attr == "$count":
            return _counted(self.visit(node.owner))
        return super().visit_Attribute(node)

    def visit_CollectionLambda(self, node: ast.CollectionLambda) -> Any:  # noqa: N802
        if node.lambda_ is None:
            return self.visit(node.owner).any()
        if _names_this(node.lambda_.expression):
            raise NotSupported("$it in any or all is not supported by the database", target="$filter")
        owner = self.visit(node.owner)
        inner = type(self)(_relation(owner).entity.class_)
        inner.clock = self.clock
        clause = inner.visit(expression_relative_to_identifier(node.lambda_.identifier, node.lambda_.expression))
        if inner.join_relationships:
            raise NotSupported("paths to other entities in any or all are not supported", target="$filter")
        if isinstance(node.operator, ast.Any):
            return owner.any(clause)
        return ~owner.any(sa.not_(sa.func.coalesce(clause, sa.false())))


def _relation(attribute: Any) -> RelationshipProperty[Any]:
    found = sa.inspect(attribute).property
    if not isinstance(found, RelationshipProperty):
        raise BadQuery("any, all and $count stand behind relations", target="$filter")
    return found


def _counted(attribute: Any) -> Any:
    """Return the number of related rows, as a subquery of the row around."""
    relation = _relation(attribute)
    if relation.secondary is not None or relation.mapper is relation.parent:
        raise NotSupported("$count of this relation is not supported by the database", target="$filter")
    counted = sa.select(sa.func.count()).select_from(relation.entity.class_).where(relation.primaryjoin)
    return counted.correlate(relation.parent.class_).scalar_subquery()


def _names_this(node: Any) -> bool:
    return node == ast.Identifier(nodes.THIS) or any(_names_this(one) for one in children(node))
