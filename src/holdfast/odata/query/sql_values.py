"""What databases can put beside each other: values fit for a column, comparisons with OData's null, positions in texts.

SQL's null is neither equal nor unequal to anything; OData's equals itself. Databases refuse to compare a text with a
number, or compare them in ways of their own: that is a `TypeException` of odata-query here, which `sql.py` translates.
"""

import datetime as dt
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from odata_query import ast
from odata_query import exceptions as theirs
from sqlalchemy.ext.compiler import compiles


class Position(sa.sql.functions.GenericFunction[int]):
    """Where a text stands in another, from 1; 0: nowhere. Its case counts."""

    name, identifier = "strpos", "holdfast_position"  # as databases call it; as SQLAlchemy keeps it apart
    type = sa.Integer()
    inherit_cache = True


@compiles(Position, "sqlite", "mysql", "mariadb", "oracle")
def _instr(element: Any, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


_ORDER: Final = frozenset((ast.Lt, ast.LtE, ast.Gt, ast.GtE))
_COMPARE: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "truth": (sa.Boolean,),
    "number": (sa.Integer, sa.Numeric),
    "text": (sa.String, sa.Uuid),
    "moment": (sa.DateTime, sa.Date),
    "clock": (sa.Time,),
    "span": (sa.Interval,),
    "bytes": (sa.LargeBinary,),
}


def kind_of(value: Any) -> str:
    """Return what sort of values an expression has, "" where that is not known, as of null."""
    held = getattr(value, "type", None)
    return next((kind for kind, types in _KINDS.items() if isinstance(held, types)), "")


def of_kind(value: Any, *kinds: str) -> Any:
    """Return an expression if its values are of one of these sorts, or of none that is known; else raise."""
    if kind_of(value) not in (*kinds, ""):
        raise theirs.TypeException("a value", kind_of(value))
    return value


def alike(value: Any, other: Any) -> Any:
    """Return a value fit to be compared with another; raise where databases refuse to, or compare what is not alike."""
    return fitted(of_kind(value, kind_of(other) or kind_of(value)), other)


def compared(comparator: type, left: Any, right: Any) -> Any:
    """Compare; where both sides may be null, null equals null."""
    if isinstance(left, sa.sql.elements.Null) and comparator not in _ORDER:
        left, right = right, left
    if comparator in _ORDER and any(isinstance(one, sa.sql.elements.Null) for one in (left, right)):
        return sa.false()
    if comparator in _ORDER and "truth" in (kind_of(left), kind_of(right)):
        raise theirs.TypeException("order", "truth")
    if comparator is ast.NotEq:
        return left.is_distinct_from(right)
    if comparator is ast.Eq and not any(
        isinstance(one, sa.BindParameter | sa.sql.elements.Null) for one in (left, right)
    ):
        return left.is_not_distinct_from(right)
    return _COMPARE[comparator](left, right)


def divided(left: Any, right: Any) -> Any:
    """Divide whole numbers as whole numbers, towards zero, as databases do."""
    whole = isinstance(left.type, sa.Integer) and isinstance(right.type, sa.Integer)
    return left // right if whole else left / right


def fitted(value: Any, other: Any) -> Any:
    """Return a literal as the column that it is compared with holds such values; anything else as it is."""
    if not isinstance(value, sa.BindParameter) or isinstance(other, sa.BindParameter) or not hasattr(other, "type"):
        return value
    held = _as_held(value.value, other.type)
    return value if held is None else sa.literal(held, None if isinstance(held, float) else other.type)


def _as_held(value: Any, held: Any) -> Any:
    """Return a Python value as a column type holds it, None if it needs no change; raise if it cannot hold it."""
    if isinstance(held, sa.Enum) and value is not None and value not in held.enums:
        raise theirs.ValueException(value)
    if isinstance(held, sa.Uuid) and isinstance(value, str):
        return UUID(value)
    if isinstance(value, dt.datetime) and isinstance(held, sa.DateTime):
        return value if held.timezone else value.replace(tzinfo=None)
    if type(value) is dt.date and isinstance(held, sa.DateTime):
        return dt.datetime.combine(value, dt.time(), dt.UTC if held.timezone else None)
    if isinstance(value, UUID) and isinstance(held, sa.String):
        return str(value)
    if isinstance(value, Decimal) and isinstance(held, sa.Float | sa.Integer):
        return float(value)
    return value if isinstance(held, sa.Enum | sa.Uuid | sa.Numeric) and value is not None else None
