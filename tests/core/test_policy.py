"""Clocks and limits, at the boundaries T-1, T and T+1."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.samples import record
from holdfast.core.kinds import Clocks
from holdfast.core.model import Limit, Policy, Scope
from holdfast.core.policy import expires_at, touched, victims


@pytest.mark.parametrize(
    ("clocks", "end"),
    [
        ({}, 1000.0),
        ({"idle": 100.0}, 100.0),
        ({"idle": 100.0, "used_at": 50.0}, 150.0),
        ({"idle": 5000.0}, 1000.0),
        ({"sliding": 300.0, "slid_at": 20.0}, 320.0),
        ({"sliding": 300.0, "idle": 100.0}, 100.0),
        ({"idle": 100.0, "held": 1}, 1000.0),
        ({"sliding": 300.0, "idle": 100.0, "held": 2}, 1000.0),
    ],
)
def test_a_node_ends_when_its_first_clock_runs_out_and_never_by_idleness_while_something_is_held(
    clocks: dict[str, float], end: float
) -> None:  # E7
    assert expires_at(record(**clocks)) == end


@pytest.mark.parametrize(("now", "written"), [(9.0, False), (10.0, True), (11.0, True)])
def test_a_use_is_written_when_the_interval_has_passed_and_not_before(now: float, written: bool) -> None:  # E8
    result = touched(record(idle=100.0), now, 10.0)
    assert (result is not None) == written
    if result is not None:
        assert result.used_at == now
        assert expires_at(result) == now + 100.0


@pytest.mark.parametrize(("now", "slid_at"), [(1499.0, 0.0), (1500.0, 1500.0), (1501.0, 1501.0)])
def test_a_sliding_end_moves_only_when_less_than_the_refresh_threshold_is_left(
    now: float, slid_at: float
) -> None:  # E7
    result = touched(record(sliding=1800.0, slides_after=1500.0, ends_at=9000.0), now, 0.0)
    assert result is not None
    assert result.slid_at == slid_at


def test_a_running_call_is_recorded_even_when_the_use_is_fresh() -> None:  # E12
    result = touched(record(idle=100.0), 1.0, 10.0, busy_until=16.0)
    assert result is not None
    assert result.busy_until == 16.0
    assert touched(result, 2.0, 10.0, busy_until=16.0) is None


@given(st.lists(st.floats(0, 900), max_size=20), st.floats(1, 200), st.floats(0, 30))
def test_a_node_may_end_up_to_the_interval_early_and_never_late(
    uses: list[float], idle: float, interval: float
) -> None:  # E7
    node, last = record(idle=idle), 0.0
    for now in sorted(uses):
        if expires_at(node) <= now:
            break
        node, last = touched(node, now, interval) or node, now
    due = min(last + idle, node.ends_at)
    assert due - interval <= expires_at(node) <= due


@pytest.mark.parametrize(
    ("clocks", "after"),
    [
        (Clocks(idle=1800.0), 30.0),
        (Clocks(idle=100.0), 10.0),
        (Clocks(sliding=50.0, idle=100.0), 5.0),
        (Clocks(idle=100.0, touch_interval=3.0), 3.0),
        (Clocks(), None),
        (Clocks(touch_interval=7.0), 7.0),
    ],
)
def test_the_touch_interval_is_a_tenth_of_the_shortest_clock_and_at_most_30(
    clocks: Clocks, after: float | None
) -> None:  # E8
    assert clocks.touch_after == after


LEAST = Limit(Scope.OWNER, 2, Policy.LEAST_RECENT)


def test_there_is_room_below_the_limit() -> None:  # E12
    assert victims(LEAST, [record(1)], 0.0) == []


def test_a_full_limit_that_rejects_replaces_nobody() -> None:  # E12
    assert victims(Limit(Scope.OWNER, 1), [record(1)], 0.0) is None


@pytest.mark.parametrize(("policy", "gone"), [(Policy.OLDEST, 1), (Policy.LEAST_RECENT, 2)])
def test_the_policy_picks_the_oldest_or_the_least_recently_used(policy: Policy, gone: int) -> None:  # E12
    siblings = [record(1, created_at=1.0, used_at=9.0), record(2, created_at=2.0, used_at=5.0)]
    picked = victims(Limit(Scope.OWNER, 2, policy), siblings, 10.0)
    assert picked is not None
    assert [r.key[-1] for r in picked] == [gone]


def test_a_session_that_holds_a_lock_or_runs_a_call_is_never_replaced() -> None:  # E12
    siblings = [record(1, held=1), record(2, busy_until=11.0), record(3)]
    limit = msgspec.structs.replace(LEAST, most=3, spare=frozenset({siblings[2].key}))
    assert victims(limit, siblings, 10.0) is None
    picked = victims(limit, [*siblings[:2], record(4)], 10.0)
    assert picked is not None
    assert [r.key[-1] for r in picked] == [4]
