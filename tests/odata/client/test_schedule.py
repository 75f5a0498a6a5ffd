"""When a session is kept alive and when it is given up (O17)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata.choreography import Place
from holdfast.odata.client.schedule import CAP_S, Due, Duty, next_due, readable_timeout, touch_interval
from holdfast.odata.client.standing import Standing


def standing(timeout: float | None, answered_at: float = 1000.0) -> Standing:
    return Standing(Place(inside=True), "A", timeout, answered_at)


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(900.0, 895.0), (62.0, 57.0), (60.0, 55.0), (59.0, 59 / 3), (3.0, 1.0), (None, 55.0)]
)
def test_a_session_is_touched_five_seconds_before_its_end_and_a_short_one_after_a_third(
    timeout: float | None, seconds: float
) -> None:
    # O17
    assert touch_interval(timeout) == pytest.approx(seconds)


def test_after_a_touch_without_success_the_next_one_comes_soon() -> None:
    due = next_due(standing(900.0), used_at=1000.0, tried_at=1895.0, cap=None)
    assert due == Due(Duty.TOUCH, 1897.0)


def test_a_session_that_is_not_used_is_given_up_at_the_cap_however_often_it_was_touched() -> None:  # O17
    due = next_due(standing(900.0, answered_at=2790.0), used_at=1000.0, tried_at=2790.0, cap=CAP_S)
    assert due == Due(Duty.GIVE_UP, 2800.0)
    assert next_due(standing(900.0, 2790.0), used_at=1000.0, tried_at=2790.0, cap=None).duty is Duty.TOUCH


@settings(max_examples=100, deadline=None)
@given(st.floats(1, 86_400), st.floats(0, 10_000))
def test_a_touch_is_always_due_before_the_server_lets_go(timeout: float, answered_at: float) -> None:
    due = next_due(standing(timeout, answered_at), used_at=answered_at, tried_at=0.0, cap=None)
    assert answered_at < due.at < answered_at + timeout


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60.0), ("1", 1.0), ("999999999", 86_400.0)]
    + [(wrong, None) for wrong in ("", "0", "-5", "1.5", "60 s", "never", "٦٠", "9" * 40)],
)
def test_a_timeout_that_is_no_number_of_seconds_is_none(text: str, seconds: float | None) -> None:
    assert readable_timeout(text) == seconds
