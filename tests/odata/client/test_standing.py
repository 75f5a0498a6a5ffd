"""What an answer makes of where a client stands (O16), case by case and for any order of answers."""

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata.choreography import OUTSIDE, Act, Outcome, Place
from holdfast.odata.client.standing import (
    NOWHERE,
    STARTS,
    Judgement,
    Seen,
    Sent,
    Standing,
    Verdict,
    judge,
    unanswered,
)

ONE, TWO = "Orders('1')", "Orders('2')"
INSIDE = Standing(place=Place(inside=True, unsaved=frozenset({ONE})), context_id="A", timeout=600.0, answered_at=100.0)
BOTH = Standing(place=Place(inside=True, unsaved=frozenset({ONE, TWO})), context_id="A", timeout=600.0)
OK, FAILED = Outcome.OK, Outcome.FAILED


def sent(act: Act = Act.OTHER, entity: str = "", *, under: str = "A", at: float = 200.0) -> Sent:
    return Sent(act, entity, under, at)


def test_an_edit_starts_a_session_with_the_id_and_the_timeout_of_its_answer() -> None:
    judgement = judge(NOWHERE, sent(Act.EDIT, ONE, under=""), Seen(OK, "A", 600.0))
    assert judgement.verdict is Verdict.STARTED
    assert judgement.standing == Standing(INSIDE.place, "A", 600.0, 200.0)


def test_no_other_answer_starts_one_whatever_id_it_brings() -> None:  # O16
    for act in (Act.OTHER, Act.SAVE, Act.DISCARD):
        assert judge(NOWHERE, sent(act, ONE, under=""), Seen(OK, "A", 600.0)).standing == NOWHERE
    assert judge(NOWHERE, sent(Act.EDIT, ONE, under=""), Seen(FAILED, "A")).standing == NOWHERE


def test_a_slow_read_of_before_the_edit_changes_nothing_when_its_answer_comes_at_last() -> None:  # O16, scenario G
    assert judge(INSIDE, sent(under=""), Seen(OK)).standing == INSIDE
    assert judge(INSIDE, sent(under=""), Seen(FAILED)).standing == INSIDE


def test_an_answer_of_a_session_that_is_over_does_not_touch_the_next_one() -> None:
    for seen in (Seen(OK), Seen(FAILED, gone=True), Seen(OK, "Z")):
        assert judge(INSIDE, sent(under="Z"), seen).standing == INSIDE


def test_errors_with_the_id_keep_the_session_and_prove_it_alive() -> None:
    judgement = judge(INSIDE, sent(Act.SAVE, ONE, at=300.0), Seen(FAILED, "A"))
    assert judgement.verdict is Verdict.NOTHING_NEW
    assert (judgement.standing.answered_at, judgement.standing.timeout) == (300.0, 600.0)
    assert judgement.standing.place == INSIDE.place


def test_an_error_without_the_id_is_a_question_and_not_an_end() -> None:  # O16
    judgement = judge(INSIDE, sent(), Seen(FAILED))
    assert (judgement.verdict, judgement.standing) == (Verdict.ASK, INSIDE)


def test_icmenosession_is_the_loss_of_what_was_unsaved() -> None:  # O16
    judgement = judge(BOTH, sent(Act.SAVE, ONE), Seen(FAILED, gone=True))
    assert (judgement.verdict, judgement.standing) == (Verdict.LOST, NOWHERE)
    assert judgement.unsaved == {ONE, TWO}  # the save was not executed


def test_a_discard_that_finds_its_session_gone_has_lost_nothing() -> None:
    assert judge(BOTH, sent(Act.DISCARD), Seen(FAILED, gone=True)).verdict is Verdict.ENDED


def test_the_last_save_ends_the_session() -> None:
    assert judge(INSIDE, sent(Act.SAVE, ONE), Seen(OK)).verdict is Verdict.ENDED


def test_a_good_answer_without_the_id_is_a_question_while_something_is_unsaved() -> None:
    # §2.8: a stateless handler that was called with a live id; or a proxy that has taken the header off
    assert judge(INSIDE, sent(), Seen(OK)) == Judgement(INSIDE, Verdict.ASK)
    judgement = judge(BOTH, sent(Act.SAVE, ONE), Seen(OK))
    assert (judgement.verdict, judgement.standing.place.unsaved) == (Verdict.ASK, {TWO})


def test_the_same_answer_to_the_question_is_the_loss() -> None:
    judgement = judge(BOTH, sent(), Seen(OK), asked=True)
    assert (judgement.verdict, judgement.unsaved) == (Verdict.LOST, {ONE, TWO})


def test_another_id_in_the_answer_means_that_the_session_was_replaced() -> None:
    # §2.6: soft state, whose clients cannot see the loss otherwise
    judgement = judge(INSIDE, sent(), Seen(OK, "B", 600.0))
    assert (judgement.verdict, judgement.standing) == (Verdict.LOST, NOWHERE)


def test_a_server_that_keeps_the_session_after_the_last_save_is_believed() -> None:
    judgement = judge(INSIDE, sent(Act.SAVE, ONE), Seen(OK, "A", 600.0))
    assert judgement.standing.place == Place(inside=True, unsaved=frozenset())


def test_a_discard_whose_answer_has_the_id_has_discarded_nothing() -> None:
    assert judge(INSIDE, sent(Act.DISCARD), Seen(FAILED, "A")).standing.place == INSIDE.place


def test_a_lost_answer_makes_unsure_until_an_answer_comes() -> None:
    judgement = unanswered(INSIDE, sent(Act.SAVE, ONE))
    assert (judgement.verdict, judgement.standing.sure) == (Verdict.ASK, False)
    assert judge(judgement.standing, sent(), Seen(OK, "A")).standing.sure
    assert unanswered(INSIDE, sent(under="")).standing == INSIDE


acts = st.sampled_from([Act.NEW, Act.EDIT, Act.SAVE, Act.DISCARD, Act.OTHER])
answers = st.builds(
    Seen, st.sampled_from(Outcome), st.sampled_from(["", "A", "B"]), st.sampled_from([None, 60.0]), st.booleans()
)
steps = st.tuples(acts, st.sampled_from([ONE, TWO]), st.booleans(), st.booleans(), answers | st.none())


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=25))
def test_whatever_a_server_answers_each_session_ends_once_and_its_id_with_it(
    script: list[tuple[Act, str, bool, bool, Seen | None]],
) -> None:
    # O16: and only a request that carried the id can end it
    standing, begun, ended = NOWHERE, 0, 0
    for number, (act, entity, late, question, seen) in enumerate(script):
        asked = sent(act, entity, under="" if late else standing.context_id, at=float(number))
        judgement = unanswered(standing, asked) if seen is None else judge(standing, asked, seen, asked=question)
        begun += judgement.verdict is Verdict.STARTED
        ended += judgement.verdict in (Verdict.ENDED, Verdict.LOST)
        if not asked.context_id and standing.place.inside:
            assert judgement.standing == standing
        if judgement.verdict is Verdict.STARTED:
            assert not standing.place.inside
            assert act in STARTS
        if judgement.verdict is Verdict.LOST:
            assert judgement.unsaved <= standing.place.unsaved | {entity}
            assert judgement.unsaved
        standing = judgement.standing
        assert bool(standing.context_id) == standing.place.inside == (begun - ended == 1)
        assert standing.place.inside or standing.place == OUTSIDE
