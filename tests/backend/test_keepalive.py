"""When a held context is touched (A3)."""

import pytest

from holdfast.backend.keepalive import lost_early, next_look, touch_interval


@pytest.mark.parametrize(
    ("idle_limit", "halvings", "seconds"),
    [(None, 0, 120), (1800, 0, 120), (90, 0, 30), (1800, 1, 60), (1800, 3, 15), (6, 0, 5), (1800, 10, 5)],
)
def test_a_third_of_the_limit_two_minutes_at_most_halved_for_every_early_loss(
    idle_limit: float | None, halvings: int, seconds: float
) -> None:
    assert touch_interval(idle_limit, halvings) == seconds


def test_a_loss_is_early_only_before_an_announced_limit() -> None:
    assert lost_early(100.0, 60.0, 159.0)
    assert not lost_early(100.0, 60.0, 160.0)
    assert not lost_early(100.0, None, 101.0)


def test_the_keeper_looks_at_the_next_touch_or_at_the_end_of_the_lock() -> None:
    assert next_look(touched_at=10, interval=120, used_at=10, hold_limit=900) == 130
    assert next_look(touched_at=880, interval=120, used_at=10, hold_limit=900) == 910
