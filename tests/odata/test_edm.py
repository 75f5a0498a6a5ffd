"""Edm's primitive values as Python, JSON, text and URL literals hold them (O11)."""

import datetime as dt
import math
from contextlib import suppress
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata import edm
from holdfast.odata.edm import EdmError

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
VALUES = {
    "Edm.Boolean": st.booleans(),
    "Edm.SByte": st.integers(-128, 127),
    "Edm.Byte": st.integers(0, 255),
    "Edm.Int16": st.integers(-(2**15), 2**15 - 1),
    "Edm.Int32": st.integers(-(2**31), 2**31 - 1),
    "Edm.Int64": st.integers(-(2**63), 2**63 - 1),
    "Edm.Decimal": st.decimals(allow_nan=False, allow_infinity=False, places=6),
    "Edm.Single": st.floats(width=32, allow_nan=False),
    "Edm.Double": st.floats(allow_nan=False),
    "Edm.String": st.text(),
    "Edm.Guid": st.uuids(),
    "Edm.Date": st.dates(),
    "Edm.TimeOfDay": st.times(),
    "Edm.DateTimeOffset": st.datetimes(timezones=ZONES),
    "Edm.Duration": st.timedeltas(),
    "Edm.Binary": st.binary(),
}
TYPED = st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), VALUES[name]))


def test_every_type_has_a_strategy_here() -> None:
    assert set(VALUES) == set(edm.TYPES)


@settings(max_examples=300)
@given(TYPED, st.booleans())
def test_a_value_comes_back_from_json_text_and_url_as_it_was(typed: tuple[str, object], ieee754: bool) -> None:  # O11
    name, value = typed
    wire = msgspec.json.encode(edm.to_json(name, value, ieee754=ieee754))
    decoded = msgspec.json.Decoder(float_hook=Decimal).decode(wire)
    assert edm.from_json(name, decoded, ieee754=ieee754) == value
    assert edm.from_text(name, edm.to_text(name, value)) == value
    assert edm.from_url(name, edm.to_url(name, value)) == value


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(VALUES)), st.text(alphabet="0123456789+-:.TZPDHMSeE'INFaN=_ ", max_size=30), st.booleans()
)
def test_any_text_is_a_value_or_an_edm_error(name: str, text: str, ieee754: bool) -> None:
    for read in (lambda: edm.from_json(name, text, ieee754=ieee754), lambda: edm.from_url(name, text)):
        with suppress(EdmError):
            assert isinstance(read(), edm.TYPES[name].takes)


@pytest.mark.parametrize(
    ("name", "value", "ieee754", "wire"),
    [
        ("Edm.Int64", 9007199254740993, False, b"9007199254740993"),
        ("Edm.Int64", 9007199254740993, True, b'"9007199254740993"'),
        ("Edm.Decimal", Decimal("3.10"), False, b"3.10"),
        ("Edm.Decimal", Decimal("3.10"), True, b'"3.10"'),
        ("Edm.Decimal", 3, True, b'"3"'),
        ("Edm.Decimal", Decimal("1E+3"), False, b"1000"),
        ("Edm.Double", math.inf, False, b'"INF"'),
        ("Edm.Double", -math.inf, True, b'"-INF"'),
        ("Edm.Double", 2, False, b"2"),
        ("Edm.Duration", dt.timedelta(days=-1, hours=-2, milliseconds=-500), False, b'"-P1DT2H0.5S"'),
        ("Edm.Duration", dt.timedelta(), False, b'"P0D"'),
        ("Edm.DateTimeOffset", dt.datetime(2026, 1, 2, 3, 4, 5), False, b'"2026-01-02T03:04:05Z"'),  # noqa: DTZ001
        ("Edm.Date", dt.date(2026, 1, 2), False, b'"2026-01-02"'),
        ("Edm.Binary", b"\xfb\xff", False, b'"-_8="'),
        ("Edm.String", None, False, b"null"),
    ],
)
def test_json_is_as_the_standard_writes_it(name: str, value: object, ieee754: bool, wire: bytes) -> None:
    assert msgspec.json.encode(edm.to_json(name, value, ieee754=ieee754)) == wire


@pytest.mark.parametrize(
    ("name", "payload", "ieee754"),
    [
        ("Edm.Boolean", "true", False),
        ("Edm.Boolean", 1, False),
        ("Edm.Byte", 256, False),
        ("Edm.Byte", True, False),
        ("Edm.Int32", 1.5, False),
        ("Edm.Int32", "1", True),
        ("Edm.Int64", "1", False),
        ("Edm.Int64", 2**63, False),
        ("Edm.Int64", "9" * 5000, True),
        ("Edm.Int64", float("1e300"), False),
        ("Edm.Decimal", "1", False),
        ("Edm.Decimal", "1e999999999", True),
        ("Edm.Double", "Infinity", False),
        ("Edm.Double", "1e999", False),
        ("Edm.String", 1, False),
        ("Edm.Guid", "x", False),
        ("Edm.Date", "2026-02-30", False),
        ("Edm.Date", 20260101, False),
        ("Edm.Date", "0000-01-01", False),
        ("Edm.DateTimeOffset", "2026-01-01T00:00:00", False),
        ("Edm.DateTimeOffset", "2026-01-01T24:00Z", False),
        ("Edm.Duration", "P1Y", False),
        ("Edm.Duration", "P99999999999D", False),
        ("Edm.Duration", "P1DT", False),
        ("Edm.Binary", "a", False),
        ("Edm.Binary", "+/==", False),
        ("Edm.String", ["a"], False),
        ("Edm.String", None, False),
    ],
)
def test_a_value_of_another_type_is_refused_and_the_type_is_named(name: str, payload: object, ieee754: bool) -> None:
    with pytest.raises(EdmError, match=name):
        edm.from_json(name, payload, ieee754=ieee754)


@pytest.mark.parametrize(
    ("name", "literal", "value"),
    [
        ("Edm.String", "'O''Neil'", "O'Neil"),
        ("Edm.String", "''", ""),
        ("Edm.String", "'a\nb'", "a\nb"),
        ("Edm.Boolean", "TRUE", True),
        ("Edm.Int64", "+7", 7),
        ("Edm.Decimal", "1e2", Decimal(100)),
        ("Edm.Duration", "DURATION'PT1M'", dt.timedelta(minutes=1)),
        ("Edm.Binary", "binary'Zg'", b"f"),
        ("Edm.Guid", "6BA7B810-9dad-11d1-80b4-00c04fd430c8", UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")),
        ("Edm.TimeOfDay", "07:59:59.1234567", dt.time(7, 59, 59, 123456)),
    ],
)
def test_a_url_literal_is_read(name: str, literal: str, value: object) -> None:
    assert edm.from_url(name, literal) == value
    assert edm.literal_type(literal) in (name, "Edm.Decimal")


@pytest.mark.parametrize("literal", ["O'Neil", "'O'Neil'", "'", "x", "duration", ""])
def test_a_string_literal_must_be_quoted_and_its_quotes_doubled(literal: str) -> None:
    with pytest.raises(EdmError, match=r"Edm\.String"):
        edm.from_url("Edm.String", literal)


def test_whole_numbers_may_be_written_with_a_fraction_or_an_exponent() -> None:
    assert [edm.from_json("Edm.Int32", number) for number in (1, 1.0, 1e3, Decimal("2.0"))] == [1, 1, 1000, 2]


def test_null_is_a_literal_of_any_type_and_no_value_of_one() -> None:
    assert edm.to_url("Edm.Int32", None) == "null"
    with pytest.raises(EdmError, match=r"Edm\.Int32"):
        edm.to_text("Edm.Int32", True)
    with pytest.raises(EdmError, match=r"Edm\.Int32"):
        edm.from_json("Edm.Int32", int("9" * 4000) * 10**1000)


def test_a_type_without_values_here_is_named() -> None:
    with pytest.raises(EdmError, match=r"Edm\.GeographyPoint"):
        edm.from_json("Edm.GeographyPoint", {})


def test_facets_bound_texts_and_decimals() -> None:
    edm.check_facets("Edm.String", "abc", max_length=3)
    edm.check_facets("Edm.Decimal", Decimal("12.50"), precision=3, scale=1)
    edm.check_facets("Edm.Decimal", Decimal("NaN"), precision=3, scale=1)
    for name, value, facets in (
        ("Edm.String", "abcd", {"max_length": 3}),
        ("Edm.Decimal", Decimal("1.25"), {"scale": 1}),
        ("Edm.Decimal", Decimal("123"), {"precision": 4, "scale": 2}),
        ("Edm.Decimal", Decimal("1E3"), {"precision": 5, "scale": 2}),
        ("Edm.Decimal", Decimal("1E+3"), {"precision": 3}),
    ):
        with pytest.raises(EdmError, match=name):
            edm.check_facets(name, value, **facets)
