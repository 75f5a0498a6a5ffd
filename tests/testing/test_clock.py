"""A clock for tests."""

import pytest

from holdfast.testing import Clock


def test_a_clock_stands_still_until_told() -> None:
    clock = Clock(10.0)
    assert clock() == clock() == 10.0
    assert clock.advance(2.5) == 12.5
    assert clock.now == clock() == 12.5


def test_a_clock_can_be_set() -> None:
    clock = Clock()
    clock.now = 5.0
    assert clock() == 5.0


def test_a_clock_does_not_go_back() -> None:
    clock = Clock(10.0)
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)
    assert clock() == 10.0
