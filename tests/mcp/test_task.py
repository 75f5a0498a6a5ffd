"""What may happen to a task, in any order: an end is for good, and only its own run is heard."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.mcp.tasks.task import MOST_TRIES, Call, Status, Task

RUNS = ["", "r1", "r2", "r3"]
Step = Callable[[Task, float], Task]


def fresh(run: str = "r1") -> Task:
    return Task(call=Call("t", b'{"name":"t","requestState":"old"}', "2026-07-28"), updated_at=0.0, run=run, tries=1)


def asked(**requests: bytes) -> Task:
    return fresh().asking("r1", requests, "s", 1.0)


def step(name: str, run: str, flag: bool) -> Step:
    match name:
        case "begin":
            return lambda task, now: task.begun(run or "r1", now)
        case "tell":
            return lambda task, now: task.told(run, "half", now)
        case "complete":
            return lambda task, now: task.completed(run, b'{"content":[]}', now)
        case "fail":
            return lambda task, now: task.failed(run, b'{"code":1,"message":"x"}', now)
        case "ask":
            return lambda task, now: task.asking(run, {"a": b"{}", "b": b"{}"} if flag else {}, "s", now)
        case "lose":
            return lambda task, now: task.lost(run, now, again=flag)
        case "answer":
            return lambda task, now: task.answered(dict.fromkeys(list(task.questions)[: 1 + flag], b"{}"), now)
        case _:
            return lambda task, now: task.cancelled(now)


STEPS = st.lists(
    st.builds(
        step,
        st.sampled_from(["begin", "tell", "complete", "fail", "ask", "lose", "answer", "cancel"]),
        st.sampled_from(RUNS),
        st.booleans(),
    )
)


@given(STEPS)
def test_whatever_happens_an_end_stays_and_no_question_is_asked_twice(steps: list[Step]) -> None:
    # M19
    task, seen = fresh(), set[str]()
    for now, happens in enumerate(steps, 1):
        before, task = task, happens(task, float(now))
        if before.status.final:
            assert task is before
        if task is not before:
            assert task.updated_at == now
            assert msgspec.convert(msgspec.to_builtins(task, builtin_types=(bytes,)), Task) == task
        new = task.questions.keys() - before.questions.keys()
        assert not new & seen
        seen |= new
        assert (task.status is Status.INPUT_REQUIRED) == bool(task.questions)
        assert bool(task.result) == (task.status is Status.COMPLETED)
        assert bool(task.error) == (task.status is Status.FAILED)
        assert task.run == "" or task.status is Status.WORKING
        assert task.tries <= MOST_TRIES + 1


@given(STEPS, st.sampled_from(RUNS[1:]))
def test_a_run_that_was_given_up_is_not_heard(steps: list[Step], late: str) -> None:
    # M19
    task = fresh()
    for now, happens in enumerate(steps, 1):
        task = happens(task, float(now))
    if task.run != late:
        for says in ("tell", "complete", "fail", "ask", "lose"):
            assert step(says, late, True)(task, 99.0) is task


def test_a_run_that_stopped_is_tried_again_only_where_that_is_allowed_and_not_for_ever() -> None:
    # M19
    task = fresh()
    assert task.lost("r1", 1.0, again=False).status is Status.FAILED
    assert b"not known" in task.lost("r1", 1.0, again=False).error
    for number in range(2, MOST_TRIES + 1):
        task = task.lost(task.run, 1.0, again=True)
        assert task.ready
        task = task.begun(f"r{number}", 1.0)
    ended = task.lost(task.run, 1.0, again=True)
    assert ended.status is Status.FAILED
    assert b"3rd time" in ended.error


def test_answers_come_one_at_a_time_under_the_names_that_clients_see() -> None:
    # M19
    task = asked(a=b"1", b=b"2")
    assert list(task.questions) == ["a.1", "b.1"]
    assert task.answered({"a": b"{}"}, 2.0) is task  # the tool's own name is none
    half = task.answered({"a.1": b'{"x":1}'}, 2.0)
    assert (half.status, list(half.questions)) == (Status.INPUT_REQUIRED, ["b.1"])
    assert half.answered({"a.1": b"{}"}, 3.0) is half
    whole = half.answered({"b.1": b'{"y":2}'}, 3.0)
    assert whole.ready
    params = msgspec.json.decode(whole.params())
    assert params == {"name": "t", "inputResponses": {"a": {"x": 1}, "b": {"y": 2}}, "requestState": "s"}


@pytest.mark.parametrize("again", [True, False])
def test_the_second_round_has_names_of_its_own_and_no_old_answers(again: bool) -> None:
    task = asked(a=b"1").answered({"a.1": b"{}"}, 2.0).begun("r2", 3.0)
    second: Any = task.asking("r2", {"a": b"1"} if again else {}, None, 4.0)
    assert list(second.questions) == (["a.2"] if again else [])
    assert msgspec.json.decode(second.params()) == {"name": "t"}
