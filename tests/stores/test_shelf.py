"""The ordered collections below the memory store, against plain sets."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.stores import shelf
from holdfast.stores.shelf import Index, Shelf, Timeline


def test_a_shelf_of_thousands_is_always_sorted() -> None:  # E21
    dice = random.Random(7)
    items = dice.sample(range(100_000), 6_000)
    numbers: Shelf[int] = Shelf()
    for item in items:
        numbers.add(item)
    for item in items[:4_500]:
        numbers.remove(item)
    left = sorted(items[4_500:])
    assert list(numbers) == left
    assert len(numbers) == 1_500
    for start in (-1, left[0], left[700], left[-1], 100_000):
        assert list(numbers.after(start)) == [item for item in left if item > start]


@given(st.lists(st.integers(0, 60), max_size=200), st.integers(-1, 61))
@settings(deadline=None)
def test_a_shelf_is_a_sorted_set(steps: list[int], start: int) -> None:  # E21
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelf, "CHUNK", 4)
        numbers: Shelf[int] = Shelf()
        model: set[int] = set()
        for step in steps:  # a number comes, and the next time it goes
            (numbers.remove if step in model else numbers.add)(step)
            model ^= {step}
            assert list(numbers) == sorted(model)
            assert len(numbers) == len(model)
        assert list(numbers.after(start)) == sorted(item for item in model if item > start)


def test_an_index_forgets_what_nobody_has() -> None:  # E21
    index = Index()
    for key in (b"c", b"a", b"b"):
        index.add("ann", key)
    index.add("bob", b"d")
    assert list(index.keys("ann", b"a")) == [b"b", b"c"]
    assert (index.count("ann"), index.count("bob"), index.count("eve")) == (3, 1, 0)
    for key in (b"a", b"b", b"c"):
        index.discard("ann", key)
    index.discard("bob", b"d")
    assert (index.count("ann"), index.count("bob")) == (0, 0)
    assert list(index.keys("ann")) == list(index.keys("bob")) == []


def test_touches_leave_no_garbage_on_a_timeline() -> None:  # E10
    line = Timeline()
    line.move(b"k", None, 0.0)
    for second in range(10_000):
        line.move(b"k", float(second), float(second + 1))
    assert list(line.until(9_990.0)) == []
    assert list(line.until(10_000.0)) == [[b"k"]]
    line.move(b"k", 10_000.0, None)
    assert list(line.until(math.inf)) == []


def test_a_timeline_reaches_to_infinity() -> None:  # E10
    line = Timeline()
    line.move(b"never", None, math.inf)
    line.move(b"soon", None, 5.0)
    assert list(line.until(1e12)) == [[b"soon"]]
    assert list(line.until(math.inf)) == [[b"soon"], [b"never"]]
