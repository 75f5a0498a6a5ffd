"""In which order a subtree is closed, what may go when some of it fails, and when to try again."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.samples import record
from holdfast.core.closing import after_busy, after_failure, certainly_gone, levels, removable
from holdfast.core.kinds import Kind
from holdfast.core.model import Record, State

KINDS = {
    "http": Kind(name="http"),
    "backend": Kind(name="backend", outside=True, ends_children=True, gone_after=100.0),
    "lock": Kind(name="lock", outside=True),
}
TOP = record(1)
BACKEND = record(2, parent=1, tree=1, kind="backend")
LOCK = record(3, parent=2, tree=1, kind="lock")
OTHER = record(4, parent=1, tree=1, kind="lock")
STRANGER = record(5, parent=9, tree=1)


def keys(records: list[Record]) -> set[int]:
    return {r.key[-1] for r in records}


def test_the_deepest_come_first_and_strangers_not_at_all() -> None:  # E14
    order = levels(TOP, [STRANGER, OTHER, LOCK, BACKEND, TOP])
    assert [keys(level) for level in order] == [{3}, {2, 4}, {1}]


def test_only_the_subtree_of_the_marked_node_is_closed() -> None:  # E14
    assert [keys(level) for level in levels(BACKEND, [OTHER, LOCK, BACKEND, TOP])] == [{3}, {2}]


def test_a_failure_keeps_the_node_and_those_above_it() -> None:  # E16
    order = [LOCK, BACKEND, OTHER, TOP]
    assert keys(removable(order, [OTHER.key], KINDS)) == {2, 3}


def test_a_back_end_that_closed_settles_the_lock_below_whose_closer_failed() -> None:  # E14
    order = [LOCK, BACKEND, OTHER, TOP]
    assert keys(removable(order, [LOCK.key], KINDS)) == {1, 2, 3, 4}


def test_a_back_end_that_failed_keeps_its_lock_only_if_that_failed_too() -> None:  # E14
    order = [LOCK, BACKEND, TOP]
    assert keys(removable(order, [BACKEND.key], KINDS)) == {3}
    assert keys(removable(order, [BACKEND.key, LOCK.key], KINDS)) == set()


@given(st.sets(st.sampled_from([1, 2, 3, 4])))
def test_no_row_goes_before_what_is_below_it(failed: set[int]) -> None:  # E14
    order = [LOCK, BACKEND, OTHER, TOP]
    gone = keys(removable(order, [r.key for r in order if r.key[-1] in failed], KINDS))
    for node in order:
        if node.key[-1] in gone:
            assert {r.key[-1] for r in order if r.parent == node.key} <= gone


def test_the_next_tries_are_one_two_four_and_at_most_sixty_seconds_apart() -> None:  # E16
    node, now, delays = msgspec.structs.replace(LOCK, state=State.ENDING, ended_at=0.0), 0.0, []
    for _ in range(8):
        node = after_failure(node, now, patience=900.0)
        assert node.due_at is not None
        delays.append(node.due_at - now)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(("now", "state"), [(899.0, State.ENDING), (900.0, State.STRANDED), (901.0, State.STRANDED)])
def test_a_node_is_stranded_when_patience_has_run_out_and_tried_hourly_then(now: float, state: State) -> None:  # E16
    node = after_failure(msgspec.structs.replace(LOCK, state=State.ENDING, ended_at=0.0), now, patience=900.0)
    assert node.state is state
    if state is State.STRANDED:
        assert node.due_at == now + 3600
        assert after_failure(node, now + 1, patience=1e9).state is State.STRANDED


def test_a_busy_subtree_is_tried_again_soon_and_costs_no_attempt() -> None:  # E18
    node = after_busy(LOCK, 10.0)
    assert node.due_at == 10.5
    assert node.attempts == 0


@pytest.mark.parametrize(("now", "gone"), [(99.0, False), (100.0, True), (101.0, True)])
def test_the_outside_has_forgotten_after_its_own_limit(now: float, gone: bool) -> None:  # E16
    assert certainly_gone(KINDS["backend"], 0.0, now) == gone
    assert not certainly_gone(KINDS["lock"], 0.0, 1e9)
