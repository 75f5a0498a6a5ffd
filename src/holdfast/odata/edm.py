"""The primitive types of Edm: one value as Python holds it, as JSON carries it, as text, and as a literal in a URL.

| type | Python | JSON | URL |
|---|---|---|---|
| Boolean | bool | true | true |
| SByte, Byte, Int16, Int32 | int | number | 1 |
| Int64 | int | number, or text if IEEE754Compatible | 1 |
| Decimal | Decimal | number, or text if IEEE754Compatible | 1.5 |
| Single, Double | float | number, "INF", "-INF", "NaN" | 1.5 |
| String | str | text | 'O''Neil' |
| Guid | uuid.UUID | text | 0a1b… bare |
| Date, TimeOfDay, DateTimeOffset | date, time, datetime | text | bare |
| Duration | timedelta | "P1DT2H" | duration'P1DT2H' |
| Binary | bytes | base64url text | binary'T0s=' |

Python's clocks keep microseconds and the years 1 to 9999: further digits are cut off, other years are an `EdmError`. A
datetime without a zone, as many databases return it, is UTC. Source: OData JSON Format 4.01 §7.1, OData ABNF 4.01.
"""

import base64
import binascii
import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

import msgspec

from holdfast.odata.errors import WrongValue

LONGEST_NUMBER: Final = 400  # characters: a Decimal or Int64 that anybody means is shorter
LARGEST_EXPONENT: Final = 400

_ZONE: Final = r"(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
_CLOCK: Final = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,12})?)?"
_DAY: Final = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
DATE: Final = _DAY
TIME: Final = _CLOCK
MOMENT: Final = rf"{_DAY}T{_CLOCK}{_ZONE}"
GUID: Final = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
DURATION: Final = r"-?P(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?"
INTEGER: Final = r"[+-]?\d+"
DECIMAL: Final = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
BASE64: Final = r"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]=?|[A-Za-z0-9_-][AQgw](?:==)?)?"
QUOTED: Final = r"'(?:[^']|'')*'"

_DURATION_PARTS: Final = re.compile(
    r"(-)?P(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d+))?S)?)?", re.ASCII
)
_SPECIAL: Final[Mapping[str, float]] = {"INF": math.inf, "-INF": -math.inf, "NaN": math.nan}


class EdmError(WrongValue):
    """A value is not one of its type; the message names the type, `target` the property where it is known."""

    code = "bad_value"
    default_hint = "Send a value of the type that the message names."


def _matched(pattern: str, text: str) -> str:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise ValueError
    return text


def _read_bool(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _int_between(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(_matched(INTEGER, text[:LONGEST_NUMBER]))
        if not low <= value <= high:
            raise ValueError
        return value

    return read


def _read_decimal(text: str) -> Decimal:
    if text in _SPECIAL:
        return Decimal(_SPECIAL[text])
    value = Decimal(_matched(DECIMAL, text))
    if len(text) > LONGEST_NUMBER or abs(value.adjusted()) > LARGEST_EXPONENT:
        raise ValueError
    return value


def _read_float(text: str) -> float:
    if text in _SPECIAL:
        return _SPECIAL[text]
    value = float(_matched(DECIMAL, text))
    if math.isinf(value):
        raise ValueError
    return value


def _read_time(text: str) -> dt.time:
    return dt.time.fromisoformat(_micros(_matched(TIME, text)))


def _read_moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(_micros(_matched(MOMENT, text.upper())))


def _micros(text: str) -> str:
    """Cut or fill fractions of a second to six digits."""
    return re.sub(r"\.(\d+)", lambda found: "." + found[1][:6].ljust(6, "0"), text)


def _read_duration(text: str) -> dt.timedelta:
    found = _DURATION_PARTS.fullmatch(text)
    if not found:
        raise ValueError
    sign, days, hours, minutes, seconds, fraction = found.groups(default="0")
    value = dt.timedelta(
        days=int(days),
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds),
        microseconds=int(fraction[:6].ljust(6, "0")),
    )
    return -value if sign == "-" else value


def _read_binary(text: str) -> bytes:
    bare = _matched(BASE64, text).rstrip("=")
    return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))


def _write_float(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"


def _write_decimal(value: Decimal) -> str:
    return format(value, "f") if value.is_finite() else _write_float(float(value))


def _write_moment(value: dt.datetime) -> str:
    zoned = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return zoned.isoformat().replace("+00:00", "Z")


def _write_duration(value: dt.timedelta) -> str:
    sign, value = ("-", -value) if value < dt.timedelta() else ("", value)
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    parts = ((hours, "H", ""), (minutes, "M", ""), (seconds, "S", fraction))
    clock = "".join(f"{n}{more}{unit}" for n, unit, more in parts if n or more)
    days = f"{value.days}D" if value.days or not clock else ""
    return f"{sign}P{days}{'T' + clock if clock else ''}"


class Primitive(msgspec.Struct, frozen=True, kw_only=True):
    """One primitive type: which Python classes it takes, its text, and how JSON and URLs show that text."""

    name: str
    takes: tuple[type, ...]
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    json: str = "text"  # or: number, plain (as it is), long (number, or text if IEEE754Compatible)
    prefix: str | None = None  # of the quoted literal in a URL; None: bare


def _integer(name: str, bits: int, *, signed: bool = True, json: str = "number") -> Primitive:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return Primitive(name=name, takes=(int,), read=_int_between(low, high), json=json)


_ALL: Final = (
    Primitive(name="Edm.Boolean", takes=(bool,), read=_read_bool, write=lambda v: str(v).lower(), json="plain"),
    _integer("Edm.SByte", 8),
    _integer("Edm.Byte", 8, signed=False),
    _integer("Edm.Int16", 16),
    _integer("Edm.Int32", 32),
    _integer("Edm.Int64", 64, json="long"),
    Primitive(name="Edm.Decimal", takes=(Decimal, int), read=_read_decimal, write=_write_decimal, json="long"),
    Primitive(name="Edm.Single", takes=(float, int), read=_read_float, write=_write_float, json="number"),
    Primitive(name="Edm.Double", takes=(float, int), read=_read_float, write=_write_float, json="number"),
    Primitive(name="Edm.String", takes=(str,), read=str, json="plain", prefix=""),
    Primitive(name="Edm.Guid", takes=(UUID,), read=lambda text: UUID(_matched(GUID, text))),
    Primitive(
        name="Edm.Date",
        takes=(dt.date,),
        read=lambda text: dt.date.fromisoformat(_matched(DATE, text)),
        write=lambda value: value.isoformat()[:10],
    ),
    Primitive(name="Edm.TimeOfDay", takes=(dt.time,), read=_read_time, write=dt.time.isoformat),
    Primitive(name="Edm.DateTimeOffset", takes=(dt.datetime,), read=_read_moment, write=_write_moment),
    Primitive(
        name="Edm.Duration", takes=(dt.timedelta,), read=_read_duration, write=_write_duration, prefix="duration"
    ),
    Primitive(
        name="Edm.Binary",
        takes=(bytes,),
        read=_read_binary,
        write=lambda value: base64.urlsafe_b64encode(value).decode(),
        prefix="binary",
    ),
)
TYPES: Final[Mapping[str, Primitive]] = {primitive.name: primitive for primitive in _ALL}


def primitive(name: str) -> Primitive:
    """Return the type of that qualified name; raise `EdmError` for one that has no values here (geography, streams)."""
    found = TYPES.get(name)
    if found is None:
        raise EdmError(f"values of {name} are not supported")
    return found


def from_text(type_name: str, text: str) -> Any:
    """Return the value of `text` as it stands in `$value` bodies, default values and CSDL."""
    known = primitive(type_name)
    try:
        return known.read(text)
    except (ValueError, KeyError, OverflowError, InvalidOperation, binascii.Error):
        raise EdmError(f"{shown(text)} is not a value of {type_name}") from None


def to_text(type_name: str, value: object) -> str:
    """Return the text of a value, the inverse of `from_text`."""
    known = primitive(type_name)
    if not isinstance(value, known.takes) or (isinstance(value, bool) and bool not in known.takes):
        raise EdmError(f"a {type(value).__name__} is not a value of {type_name}")
    return known.write(_exact(known, value))


def _exact(known: Primitive, value: Any) -> Any:
    if known.name == "Edm.Decimal" and isinstance(value, int):
        return Decimal(value)
    return value


def from_json(type_name: str, value: object, *, ieee754: bool = False) -> Any:
    """Return the Python value of one that msgspec decoded; null is for the caller to judge.

    `ieee754` is the format parameter IEEE754Compatible: Int64 and Decimal may then stand as text (JSON Format §3.2).
    """
    known = primitive(type_name)
    if known.json == "plain":
        if not isinstance(value, known.takes):
            raise EdmError(f"{shown(value)} is not a value of {type_name}")
        return value
    as_text = known.json == "text" or (known.json == "long" and ieee754) or value in tuple(_SPECIAL)
    if isinstance(value, str) and as_text:
        return from_text(type_name, value)
    if known.json == "text" or isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise EdmError(f"{shown(value)} is not a value of {type_name}")
    return from_text(type_name, _digits(known, value))


def _digits(known: Primitive, value: float | Decimal) -> str:
    """Return a JSON number as text: 1.0 and 1e3 are integers too (JSON knows one kind of number)."""
    integral = known.takes == (int,) and not isinstance(value, int)
    if integral and math.isfinite(value) and -(2.0**64) < value < 2.0**64 and value % 1 == 0:
        return str(int(value))
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits
        raise EdmError(f"the number is not a value of {known.name}") from None


def to_json(type_name: str, value: object, *, ieee754: bool = False) -> Any:
    """Return what msgspec can encode as the value's JSON form; None stays None."""
    if value is None:
        return None
    known = primitive(type_name)
    text = to_text(type_name, value)
    if known.json == "plain":
        return value
    if known.json == "text" or (known.json == "long" and ieee754) or text in _SPECIAL:
        return text
    return msgspec.Raw(text.encode()) if isinstance(value, Decimal) else value


def from_url(type_name: str, literal: str) -> Any:
    """Return the value of a literal that was percent-decoded: `'O''Neil'`, `42`, `duration'P1D'`."""
    known = primitive(type_name)
    if known.prefix is None:
        return from_text(type_name, literal.lower() if known.takes == (bool,) else literal)
    prefix = "" if known.name == "Edm.Duration" and literal.startswith("'") else known.prefix  # 4.01 needs none there
    quote = len(prefix)
    if literal[:quote].lower() != prefix or not re.fullmatch(QUOTED, literal[quote:], re.DOTALL):
        raise EdmError(f"{shown(literal)} is not a literal of {type_name}")
    return from_text(type_name, unquoted(literal[quote:]))


def to_url(type_name: str, value: object) -> str:
    """Return the literal of a value; percent-encoding is left to who writes the whole URL. None is `null`."""
    if value is None:
        return "null"
    known = primitive(type_name)
    text = to_text(type_name, value)
    return text if known.prefix is None else known.prefix + quoted(text)


def quoted(text: str) -> str:
    """Return `text` in single quotes, those in it doubled."""
    return "'" + text.replace("'", "''") + "'"


def unquoted(literal: str) -> str:
    """Return the text in a quoted literal, the inverse of `quoted`."""
    return literal[1:-1].replace("''", "'")


_LITERALS: Final = tuple(
    (re.compile(pattern, re.ASCII | re.IGNORECASE), name)
    for pattern, name in (
        (r"true|false", "Edm.Boolean"),
        (GUID, "Edm.Guid"),
        (MOMENT, "Edm.DateTimeOffset"),
        (DATE, "Edm.Date"),
        (TIME, "Edm.TimeOfDay"),
        (INTEGER, "Edm.Int64"),
        (DECIMAL, "Edm.Decimal"),
        (r"-?INF|NaN", "Edm.Double"),
        (r"(?s:" + QUOTED + ")", "Edm.String"),
        (r"duration'[^']*'", "Edm.Duration"),
        (r"binary'[^']*'", "Edm.Binary"),
    )
)


def literal_type(literal: str) -> str | None:
    """Return the type that a literal has by its form alone, None if it has the form of none."""
    return next((name for pattern, name in _LITERALS if pattern.fullmatch(literal)), None)


def check_facets(
    type_name: str,
    value: object,
    *,
    max_length: int | None = None,
    precision: int | None = None,
    scale: int | None = None,
) -> None:
    """Raise `EdmError` if a text or bytes are too long, or a Decimal has too many digits (CSDL §7.2)."""
    if max_length is not None and isinstance(value, str | bytes) and len(value) > max_length:
        raise EdmError(f"the value has {len(value)} of at most {max_length} characters of {type_name}")
    if not isinstance(value, Decimal) or not value.is_finite():
        return
    _, digits, exponent = value.normalize().as_tuple()
    decimals = max(0, -int(exponent))
    if scale is not None and decimals > scale:
        raise EdmError(f"the value has {decimals} of at most {scale} decimals of {type_name}")
    if precision is None:
        return
    if len(digits) + max(0, int(exponent)) > precision:
        raise EdmError(f"the value has more than {precision} digits of {type_name}")
    if scale is not None and len(digits) + int(exponent) > precision - scale:
        raise EdmError(f"the value has more than {precision - scale} digits of {type_name} before the point")


def shown(value: object) -> str:
    """Return a value as a message may show it: short, and on one line."""
    text = value if isinstance(value, str) else type(value).__name__
    return repr(text if len(text) <= 60 else text[:57] + "...")
