"""The functions and operators of expressions over Python values; none is handed a null (Part 2 §5.1.1).

Text is compared and cut by code points. A value of the wrong type is told by TypeError or AttributeError, which
`evaluate` turns into a `BadQuery`.
"""

import datetime as dt
import enum
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final
from uuid import UUID

from odata_query import ast

from holdfast.odata.query import nodes

LARGEST_BITS: Final = 256
_EARLIEST: Final = dt.datetime.min.replace(tzinfo=dt.UTC)
_LATEST: Final = dt.datetime.max.replace(tzinfo=dt.UTC)


def comparable(value: Any) -> Any:
    """Return a row's value as expressions compare it: enumerations by name, moments with a zone."""
    if isinstance(value, enum.Flag):
        return ",".join(one.name or "" for one in value)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return value.replace(tzinfo=dt.UTC)
    return value


def alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Return two values of one type: numbers as floats if one is, a date as its midnight, a Guid for its text."""
    if isinstance(left, float) and isinstance(right, Decimal):
        return left, float(right)
    if isinstance(right, UUID) and isinstance(left, str):
        return left.lower(), str(right)
    if isinstance(right, dt.datetime) and type(left) is dt.date:
        return dt.datetime.combine(left, dt.time(), dt.UTC), right
    return left, right


def pair(left: Any, right: Any) -> tuple[Any, Any]:
    """Return two values as `alike`, whichever of them has to change."""
    left, right = alike(left, right)
    right, left = alike(right, left)
    return left, right


def equal(left: Any, right: Any) -> bool:
    """`eq`: null equals null alone; dates equal moments at midnight UTC."""
    one, other = pair(left, right)
    return bool(one == other)


def has(left: Any, right: Any) -> bool:
    """`has`: all members of the right side are among those of the left one."""
    return _members(right) <= _members(left)


def _members(value: str) -> frozenset[str]:
    return frozenset(name.strip() for name in value.split(","))


def _divided(left: Any, right: Any) -> Any:
    """Divide whole numbers towards zero, as `div` does, and others exactly."""
    if isinstance(left, int) and isinstance(right, int):
        whole = abs(left) // abs(right)
        return whole if (left < 0) == (right < 0) else -whole
    return _divided_by(left, right)


def _divided_by(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int | Decimal):
        return Decimal(left) / right
    if isinstance(left, dt.timedelta) and isinstance(right, Decimal):
        return left / float(right)
    return left / right


def _remainder(left: Any, right: Any) -> Any:
    """Return what is left of a division, with the sign of the dividend."""
    if isinstance(left, int) and isinstance(right, int):
        return int(math.copysign(1, left)) * (abs(left) % abs(right))
    return math.fmod(left, right) if isinstance(left, float) else left % right


def _bounded(compute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def computed(left: Any, right: Any) -> Any:
        value = compute(*pair(left, right))
        if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
            raise OverflowError
        return value

    return computed


ARITHMETIC: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Add: _bounded(operator.add),
    ast.Sub: _bounded(operator.sub),
    ast.Mult: _bounded(operator.mul),
    ast.Div: _bounded(_divided),
    nodes.DivBy: _bounded(_divided_by),
    ast.Mod: _bounded(_remainder),
}
ORDER: Final[Mapping[type, Callable[[Any, Any], bool]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _substring(text: Any, start: int, length: int | None = None) -> Any:
    """Cut a text or collection; a negative start counts from the end (4.01)."""
    begin = max(start + len(text), 0) if start < 0 else start
    return text[begin:] if length is None else text[begin : begin + max(length, 0)]


def _index(whole: Any, part: Any) -> int:
    if isinstance(whole, str):
        return whole.find(_text(part))
    places = range(len(whole) - len(part) + 1)
    return next((at for at in places if list(whole[at : at + len(part)]) == list(part)), -1)


def _contains(whole: Any, part: Any) -> bool:
    return _index(whole, part) >= 0


def _rounded(value: Any) -> Any:
    """Round half away from zero, as OData does, and not to the even number."""
    if isinstance(value, float):
        return math.copysign(math.floor(abs(value) + 0.5), value) if math.isfinite(value) else value
    return Decimal(value).quantize(Decimal(1), ROUND_HALF_UP)


def _whole(function: Callable[[Any], int]) -> Callable[[Any], Any]:
    return lambda value: type(value)(function(value)) if math.isfinite(value) else value


def _fraction(value: Any) -> Decimal:
    return Decimal(value.microseconds if isinstance(value, dt.timedelta) else value.microsecond) / 1_000_000


def _total_seconds(value: dt.timedelta) -> Decimal:
    return Decimal(value // dt.timedelta(microseconds=1)) / 1_000_000


def _offset(value: dt.datetime) -> int:
    offset = value.utcoffset()
    return 0 if offset is None else int(offset.total_seconds()) // 60


def _in_order(part: Sequence[Any], whole: Sequence[Any]) -> bool:
    rest = iter(whole)
    return all(any(one == other for other in rest) for one in part)


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "concat": operator.concat,
    "contains": _contains,
    "endswith": lambda whole, part: _text(whole).endswith(_text(part)),
    "startswith": lambda whole, part: _text(whole).startswith(_text(part)),
    "indexof": _index,
    "length": len,
    "substring": _substring,
    "tolower": lambda text: _text(text).lower(),
    "toupper": lambda text: _text(text).upper(),
    "trim": lambda text: _text(text).strip(),
    **{name: operator.attrgetter(name) for name in ("year", "month", "day", "hour", "minute", "second")},
    "fractionalseconds": _fraction,
    "totalseconds": _total_seconds,
    "date": lambda moment: moment.date(),
    "time": lambda moment: moment.time(),
    "totaloffsetminutes": _offset,
    "mindatetime": lambda: _EARLIEST,
    "maxdatetime": lambda: _LATEST,
    "round": _rounded,
    "floor": _whole(math.floor),
    "ceiling": _whole(math.ceil),
    "hassubset": lambda whole, part: all(one in whole for one in part),
    "hassubsequence": lambda whole, part: _in_order(part, whole),
}
