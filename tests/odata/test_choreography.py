"""The table of sticky sessions against its vocabulary: every sentence, and a naive reading of the prose."""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from holdfast.odata.choreography import (
    OUTSIDE,
    ROWS,
    TABLE,
    Act,
    ChoreographyError,
    Next,
    Outcome,
    Place,
    check,
    decide,
)

ENTITIES = ("Orders('1')", "Orders('2')", "Orders('')")
EDITING = Place(inside=True, unsaved=frozenset({"Orders('1')"}))


def walk(*steps: tuple[Act, Outcome, str]) -> Next:
    there = Next(OUTSIDE)
    for step in steps:
        there = decide(there.place, *step)
    return there


def test_the_table_has_exactly_one_row_for_every_case() -> None:
    cases = set(itertools.product((False, True), Act, Outcome))
    assert set(ROWS) == cases
    assert len(TABLE) == len(cases)


@pytest.mark.parametrize("act", [Act.NEW, Act.EDIT])
def test_new_and_edit_start_a_session_when_they_succeed_and_none_when_they_fail(act: Act) -> None:  # O3
    assert decide(OUTSIDE, act, Outcome.OK, "Orders('1')") == Next(EDITING, starts=True)
    assert decide(OUTSIDE, act, Outcome.FAILED, "Orders('1')") == Next(OUTSIDE)


@pytest.mark.parametrize("act", [Act.NEW, Act.EDIT])
@pytest.mark.parametrize("outcome", Outcome)
def test_new_and_edit_inside_a_session_continue_it(act: Act, outcome: Outcome) -> None:  # O3
    then = decide(EDITING, act, outcome, "Orders('2')")
    assert then.place.inside
    assert (then.starts, then.ends) == (False, False)
    assert ("Orders('2')" in then.place.unsaved) == (outcome is Outcome.OK)


def test_the_session_ends_with_the_save_of_its_last_unsaved_entity() -> None:  # O4
    steps = [(Act.EDIT, Outcome.OK, "Orders('1')"), (Act.EDIT, Outcome.OK, "Orders('2')")]
    first = walk(*steps, (Act.SAVE, Outcome.OK, "Orders('1')"))
    assert first == Next(Place(inside=True, unsaved=frozenset({"Orders('2')"})))
    assert decide(first.place, Act.SAVE, Outcome.OK, "Orders('2')") == Next(OUTSIDE, ends=True)


def test_a_refused_save_keeps_the_session_with_all_that_is_in_it() -> None:  # O3
    assert decide(EDITING, Act.SAVE, Outcome.FAILED, "Orders('1')") == Next(EDITING)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_discard_ends_the_session_whether_it_succeeds_or_fails(outcome: Outcome) -> None:  # O3
    assert decide(EDITING, Act.DISCARD, outcome) == Next(OUTSIDE, ends=True)


@pytest.mark.parametrize("act", [Act.SAVE, Act.DISCARD])
@pytest.mark.parametrize("outcome", Outcome)
def test_save_and_discard_outside_are_refused_and_start_nothing(act: Act, outcome: Outcome) -> None:  # O3, O15
    with pytest.raises(ChoreographyError, match="outside"):
        check(OUTSIDE, act, "Orders('1')")
    assert decide(OUTSIDE, act, outcome, "Orders('1')") == Next(OUTSIDE)


def test_what_was_not_opened_in_a_session_cannot_be_saved_in_it() -> None:  # O15
    with pytest.raises(ChoreographyError, match=r"Orders\('2'\)"):
        check(EDITING, Act.SAVE, "Orders('2')")
    check(EDITING, Act.SAVE, "Orders('1')")


@pytest.mark.parametrize("place", [OUTSIDE, EDITING])
@pytest.mark.parametrize("outcome", Outcome)
def test_reads_and_changes_move_nobody(place: Place, outcome: Outcome) -> None:  # O5
    check(place, Act.OTHER, "Orders('1')")
    assert decide(place, Act.OTHER, outcome, "Orders('1')") == Next(place)


def test_a_lost_session_takes_all_that_is_unsaved_with_it() -> None:
    assert decide(EDITING, Act.LOSE, Outcome.OK) == Next(OUTSIDE, ends=True)
    assert decide(OUTSIDE, Act.LOSE, Outcome.OK) == Next(OUTSIDE)


class AgainstTheProse(RuleBasedStateMachine):
    """The vocabulary read word by word, with a list of notes for a memory, beside the table."""

    def __init__(self) -> None:
        super().__init__()
        self.place = OUTSIDE
        self.notes: list[str] | None = None  # None: no session
        self.sessions = [0, 0]  # begun, ended by the prose
        self.told = [0, 0]  # and by the table

    def go(self, act: Act, outcome: Outcome, entity: str = "") -> None:
        then = decide(self.place, act, outcome, entity)
        self.place = then.place
        self.told[0] += then.starts
        self.told[1] += then.ends

    def over(self) -> None:
        if self.notes is not None:
            self.notes = None
            self.sessions[1] += 1

    @rule(act=st.sampled_from([Act.NEW, Act.EDIT]), ok=st.booleans(), entity=st.sampled_from(ENTITIES))
    def begin(self, act: Act, ok: bool, entity: str) -> None:
        if ok and self.notes is None:
            self.notes = []
            self.sessions[0] += 1
        if ok and self.notes is not None and entity not in self.notes:
            self.notes.append(entity)
        self.go(act, Outcome.OK if ok else Outcome.FAILED, entity)

    @rule(ok=st.booleans(), entity=st.sampled_from(ENTITIES))
    def save(self, ok: bool, entity: str) -> None:
        if self.notes is None or entity not in self.notes:
            with pytest.raises(ChoreographyError):
                check(self.place, Act.SAVE, entity)
            return
        check(self.place, Act.SAVE, entity)
        if ok:
            self.notes.remove(entity)
            if not self.notes:
                self.over()
        self.go(Act.SAVE, Outcome.OK if ok else Outcome.FAILED, entity)

    @rule(outcome=st.sampled_from(Outcome), act=st.sampled_from([Act.DISCARD, Act.LOSE]))
    def end(self, outcome: Outcome, act: Act) -> None:
        self.over()
        self.go(act, outcome)

    @rule(outcome=st.sampled_from(Outcome), entity=st.sampled_from(ENTITIES))
    def anything_else(self, outcome: Outcome, entity: str) -> None:
        self.go(Act.OTHER, outcome, entity)

    @invariant()
    def they_agree(self) -> None:
        assert self.place.inside == (self.notes is not None)
        assert self.place.unsaved == frozenset(self.notes or ())
        assert self.told == self.sessions
        assert self.place.inside == bool(self.place.unsaved)


TestAgainstTheProse = AgainstTheProse.TestCase
TestAgainstTheProse.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
