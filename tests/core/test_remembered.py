"""A mapping that forgets."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.remembered import Remembered


@given(st.lists(st.integers(0, 20)), st.integers(1, 10))
def test_there_are_never_more_than_so_many_and_they_are_those_put_in_last(keys: list[int], most: int) -> None:
    remembered, expected = Remembered[int, str](most), list[int]()
    for key in keys:
        remembered[key] = str(key)
        expected = (expected if key in expected else [*expected, key])[-most:]
        assert list(remembered) == expected
        assert remembered[key] == str(key)


def test_what_was_moved_to_the_end_outlives_what_came_later() -> None:
    remembered = Remembered[str, int](2)
    remembered["a"], remembered["b"] = 1, 2
    remembered.move_to_end("a")
    remembered["c"] = 3
    assert list(remembered) == ["a", "c"]


def test_an_entry_that_is_put_in_again_drives_nobody_out() -> None:
    remembered = Remembered[str, int](2)
    remembered["a"], remembered["b"], remembered["a"] = 1, 2, 3
    assert dict(remembered) == {"a": 3, "b": 2}
