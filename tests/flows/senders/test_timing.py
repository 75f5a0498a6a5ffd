"""When a sender is due."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.flows.senders.timing import Timing


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("timing", "now", "due"),
    [
        (Timing(every="5m"), "2026-03-01T10:02:30", "2026-03-01T10:05:00"),
        (Timing(every="5m"), "2026-03-01T10:05:00", "2026-03-01T10:10:00"),
        (Timing(every="1d"), "2026-03-01T10:05:00", "2026-03-02T00:00:00"),
        (Timing(cron="0 6 * * MON-FRI"), "2026-03-06T06:00:00", "2026-03-09T06:00:00"),
        (Timing(cron="*/10 * * * * *"), "2026-03-06T06:00:05", "2026-03-06T06:00:10"),
        (Timing(cron="0 6 * * *", zone="Europe/Berlin"), "2026-07-01T12:00:00", "2026-07-02T04:00:00"),
        (Timing(cron="30 2 * * *", zone="Europe/Berlin"), "2026-03-29T00:00:00", "2026-03-29T01:00:00"),  # 2:30 is none
        (Timing(cron="30 2 * * *", zone="Europe/Berlin"), "2026-10-25T00:00:00", "2026-10-25T00:30:00"),  # twice 2:30
        (Timing(cron="30 2 * * *", zone="Europe/Berlin"), "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
    ],
)
def test_the_next_time_follows_what_was_said(timing: Timing, now: str, due: str) -> None:
    assert timing.due_after(at(now)) == at(due)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "either every or cron"),
        ({"every": "5m", "cron": "* * * * *"}, "either every or cron"),
        ({"every": "0s"}, "'0s' is no time such as"),
        ({"every": "5 minutes"}, "is no time such as"),
        ({"cron": "99 * * * *"}, r"is no cron expression that is ever due: Bad minute"),
        ({"cron": "0 0 30 2 *"}, "is no cron expression that is ever due"),
        ({"cron": "* * * * *", "zone": "Europe/Bonn"}, "'Europe/Bonn' is no time zone"),
        ({"cron": "* * * * *", "zone": "../etc"}, "is no time zone"),
    ],
)
def test_what_is_never_due_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Timing(**given)


@settings(max_examples=60)
@given(
    st.sampled_from(
        [
            Timing(every="7s"),
            Timing(every="3h"),
            Timing(cron="*/7 * * * *"),
            Timing(cron="5 4 * * SUN", zone="Asia/Tokyo"),
        ]
    ),
    st.floats(0, 4e9),
)
def test_every_due_time_lies_ahead_and_the_one_before_it_leads_to_it(timing: Timing, now: float) -> None:
    due = timing.due_after(now)
    assert due > now
    assert timing.due_after(due - 0.001) == due
    assert timing.due_after(due) > due
