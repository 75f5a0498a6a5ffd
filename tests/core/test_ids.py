"""Ids: how they are made, measured, and checked for form."""

import base64
import itertools
import secrets
import string
import time
from collections import Counter
from typing import Final, Literal

import pytest

from holdfast.core.ids import alias_of, entropy_bits, make_ids, mark_of
from holdfast.errors import ConfigurationError

DRAWN: Final = 30_000
ORDERS: Final[tuple[Literal["big", "little"], ...]] = ("big", "little")


def test_ids_are_drawn_from_the_systems_source_of_randomness(monkeypatch: pytest.MonkeyPatch) -> None:  # R1
    asked: list[int] = []

    def drawn(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    monkeypatch.setattr(secrets, "token_bytes", drawn)
    assert make_ids().generate() == "A" * 43
    assert asked == [33], "43 symbols of six bits"


@pytest.mark.slow
def test_no_id_repeats_and_no_symbol_is_likelier_than_another_at_any_place() -> None:  # R1, R2
    ids, symbols = make_ids(), string.ascii_letters + string.digits + "-_"
    drawn = [ids.generate() for _ in range(DRAWN)]
    assert len(set(drawn)) == len({one[:8] for one in drawn}) == DRAWN, "nor do two of one moment begin alike"
    for place in range(43):
        counts = Counter(one[place] for one in drawn)
        expected = DRAWN / len(symbols)
        chi_square = sum((counts[symbol] - expected) ** 2 / expected for symbol in symbols)
        assert chi_square < 150.0, place  # 63 degrees of freedom: above 150 once in 10^8 times


def test_an_id_says_nothing_of_the_time_at_which_it_was_made() -> None:  # R2
    now, spans = time.time(), (1.0, 1e3, 1e6, 1e9)
    for one in (make_ids().generate() for _ in range(100)):
        raw = base64.urlsafe_b64decode(one + "=")
        for size in (4, 6, 8):
            numbers = {int.from_bytes(raw[at : at + size], order) for at in (0, 32 - size) for order in ORDERS}
            assert not {n for n in numbers for span in spans if size > 4 and abs(n / span - now) < 60.0}


def test_an_id_has_43_url_safe_symbols_and_256_bits() -> None:  # E1
    ids = make_ids()
    assert len(ids.generate()) == 43
    assert ids.bits >= 256
    assert all(ids.well_formed(ids.generate()) for _ in range(100))


@pytest.mark.parametrize(("bits", "length"), [(128, 22), (160, 27), (512, 86)])
def test_the_length_follows_from_the_bits_asked_for(bits: int, length: int) -> None:  # E1
    ids = make_ids(id_bits=bits)
    assert {len(ids.generate()) for _ in range(50)} == {length}


def test_the_source_s_alphabet_gives_32_symbols_of_165_bits() -> None:  # E1
    ids = make_ids(id_format="alnum")
    assert round(ids.bits, 1) == 165.4
    assert all(ids.well_formed(ids.generate()) and len(ids.generate()) == 32 for _ in range(50))


@pytest.mark.parametrize("settings", [{"id_bits": 127}, {"id_format": "alnum", "id_bits": 200}])
def test_too_few_bits_and_more_than_can_be_had_are_refused_at_start(settings: dict[str, object]) -> None:  # E1
    with pytest.raises(ConfigurationError):
        make_ids(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("outside", ["", "a" * 42, "a" * 44, "é" * 43, "a" * 42 + "\n", "a" * 42 + " ", "a" * 42 + "+"])
def test_an_id_of_another_form_is_malformed(outside: str) -> None:  # E3
    assert not make_ids().well_formed(outside)


def test_lenient_validation_takes_visible_ascii_up_to_256() -> None:  # E3
    ids = make_ids(validation="lenient")
    assert ids.well_formed("anything-visible!")
    assert not ids.well_formed("x" * 257)
    assert not ids.well_formed("a b")


def test_a_custom_generator_is_measured_and_its_form_becomes_the_rule() -> None:  # E2
    ids = make_ids(generator=lambda: secrets.token_hex(32))
    assert ids.bits == pytest.approx(256, abs=1)
    assert ids.well_formed(secrets.token_hex(32))
    assert not ids.well_formed("Z" * 64)


def test_a_custom_pattern_rules_over_the_form_seen() -> None:  # E3
    ids = make_ids(generator=lambda: secrets.token_hex(32), id_pattern="[0-9a-f]{64}")
    assert not ids.well_formed("a" * 63)


def test_the_source_s_own_generator_is_an_error_when_strict_and_a_warning_with_its_bits_when_lenient() -> None:  # E2
    def stamped() -> str:
        return f"1700000000-{secrets.token_hex(12)}"

    with pytest.raises(ConfigurationError, match="96 bits"):
        make_ids(generator=stamped)
    ids = make_ids(generator=stamped, validation="lenient")
    assert "96 bits" in ids.warnings[0]


def test_a_generator_that_repeats_itself_is_refused() -> None:  # E2
    numbers = itertools.cycle(range(9_999))
    with pytest.raises(ConfigurationError, match="repeated"):
        make_ids(generator=lambda: f"{next(numbers):040d}")


@pytest.mark.parametrize("bad", ["", "with space", "x" * 257])
def test_a_generator_of_unusable_ids_is_refused(bad: str) -> None:  # E2
    with pytest.raises(ConfigurationError, match="URL-safe"):
        make_ids(generator=lambda: bad)


def test_entropy_is_counted_place_by_place() -> None:  # E2
    assert entropy_bits(["aa", "ab", "ac", "ad"]) == 2.0


def test_only_the_hash_and_the_first_eight_characters_of_an_id_are_kept() -> None:  # E4
    assert len(alias_of("abcdefghijkl")) == 32
    assert mark_of("abcdefghijkl") == "abcdefgh"
