"""The key ring: what it seals, and everything that must not open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.sealing import KeyRing, Unreadable, new_key_text
from holdfast.errors import ConfigurationError

OLD, NEW = new_key_text(), new_key_text()


@given(st.binary(max_size=300), st.binary(max_size=50))
def test_what_was_sealed_opens_again_in_its_place(plain: bytes, place: bytes) -> None:  # E5
    ring = KeyRing.parse(NEW)
    assert ring.open(ring.seal(plain, place), place) == plain


def test_a_payload_moved_to_another_row_does_not_open() -> None:  # E5
    ring = KeyRing.parse(NEW)
    with pytest.raises(Unreadable):
        ring.open(ring.seal(b"secret", b"row 1"), b"row 2")


def test_the_first_key_seals_and_all_keys_open() -> None:  # E5
    old = KeyRing.parse(OLD).seal(b"secret", b"")
    both = KeyRing.parse(f"{NEW}, {OLD}")
    assert both.open(old, b"") == b"secret"
    with pytest.raises(Unreadable):
        KeyRing.parse(OLD).open(both.seal(b"secret", b""), b"")


@given(st.binary(max_size=80))
def test_no_foreign_bytes_open(junk: bytes) -> None:  # E6
    with pytest.raises(Unreadable):
        KeyRing.parse(NEW).open(junk, b"")


def test_a_truncated_or_altered_payload_does_not_open() -> None:  # E6
    ring = KeyRing.parse(NEW)
    sealed = ring.seal(b"secret", b"")
    for damaged in (sealed[:-1], sealed[:10], sealed[:18], sealed[:-1] + bytes([sealed[-1] ^ 1]), b"\x02" + sealed[1:]):
        with pytest.raises(Unreadable):
            ring.open(damaged, b"")


@pytest.mark.parametrize("text", ["", "c2hvcnQ", "§", "a"])
def test_a_missing_short_or_malformed_key_is_refused_with_how_to_make_one(text: str) -> None:  # E5
    with pytest.raises(ConfigurationError) as caught:
        KeyRing.parse(text)
    assert "holdfast keys new" in caught.value.hint
