"""What each kind of step does, and what is told of one that fails."""

import json
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.runtime.world import flow, processed
from holdfast.errors import BackendUnavailable
from holdfast.flows.failures import LoopTooLong, ScriptFailed
from holdfast.flows.runtime import Counted, Message, StepEnded, StepFailed

SCRIPTS = "flows.runtime.scripts"


async def failure(steps: str, message: Message, *answer: Any, **more: Any) -> StepFailed:
    with pytest.raises(StepFailed) as caught:
        await processed(steps, message, *answer, **more)
    return caught.value


async def test_a_call_brings_the_answer_and_a_send_leaves_the_message_as_it_was() -> None:
    # F15
    called: list[tuple[str, Any]] = []

    async def answer(name: str, message: Message) -> Any:
        called.append((name, message.body))
        return f"{name} says {message.body}"

    result = await processed("- call: erp\n- send: crm", Message(body="hello", headers={"A-B": 1}), answer)
    assert result == Message(body="erp says hello", headers={"a-b": 1})
    assert called == [("erp", "hello"), ("crm", "erp says hello")]


async def test_a_loop_fetches_blocks_until_there_is_none_left() -> None:
    # F15: the flow of the specification
    async def answer(name: str, message: Message) -> Any:
        read = len(message.properties.get("blocks", []))
        return {"block": read, "more": "true" if read < 4 else "false"}

    script = f"{{script: '{SCRIPTS}:append_block'}}"
    steps = f"- loop: {{while: \"body.more == 'true'\", max: 10, do: [{{call: erp}}, {script}]}}"
    result = await processed(steps, Message(), answer)
    assert result is not None
    assert [each["block"] for each in result.properties["blocks"]] == [0, 1, 2, 3, 4]


async def test_a_loop_without_end_ends_with_an_error_at_its_line() -> None:
    failed = await failure("- filter: '1'\n- loop:\n    while: '1'\n    max: 3\n    do: [{call: erp}]", Message())
    assert failed.place == "orders.yaml:8"
    assert isinstance(failed.cause, LoopTooLong)
    assert "3 rounds are over" in str(failed)


async def test_a_loop_that_looks_first_may_have_no_round() -> None:
    steps = (
        "- loop: {while: headers.more, check_first: true, max: 1, do: [{modify: {body: 1, remove_headers: [MORE]}}]}"
    )
    assert await processed(steps, Message()) == Message()
    assert await processed(steps, Message(headers={"More": 1})) == Message(body=1)


@pytest.mark.parametrize(("body", "way"), [({"n": 1}, "small"), ({"n": 10}, "large"), ({"n": -1}, "odd"), ({}, "none")])
async def test_a_router_takes_the_first_way_that_is_open(body: Any, way: str) -> None:
    steps = """
- router:
    routes:
      - {when: body.n is None, do: []}
      - {when: 0 < body.n < 5, do: [{modify: {headers: {way: small}}}]}
      - {when: body.n > 0, do: [{modify: {headers: {way: large}}}]}
    otherwise: [{modify: {headers: {way: odd}}}]"""
    result = await processed(steps, Message(body=body))
    assert result is not None
    assert result.headers.get("way", "none") == way


async def test_a_filter_lets_the_message_go_no_further() -> None:
    told: list[Any] = []
    assert await processed("- filter: body > 1\n- call: erp", Message(body=1), tell=told.append) is None
    assert [(each.kind, each.outcome) for each in told] == [("filter", "filtered")]
    assert await processed("- filter: body > 1\n- call: erp", Message(body=2)) == Message(body=2)


async def test_a_modifier_sets_and_removes_and_keeps_types() -> None:
    steps = """
- modify:
    headers: {Id: "no ${body.id}", n: "${body.id}"}
    properties: {all: "${body}"}
    body: {id: "${headers.old}", fixed: [1, "${body.id}"]}
    remove_headers: [OLD]"""
    result = await processed(steps, Message(body={"id": 7}, headers={"Old": "o"}))
    assert result == Message(
        headers={"id": "no 7", "n": 7}, properties={"all": {"id": 7}}, body={"id": "o", "fixed": [1, 7]}
    )


async def test_an_expression_that_cannot_be_computed_names_its_line() -> None:
    failed = await failure("- call: erp\n- filter: body.x > 3", Message(body={}))
    assert str(failed).startswith("orders.yaml:8: filter: 'body.x > 3' cannot be computed")
    assert failed.code == "step_failed"


# -- scripts


async def test_a_script_may_be_a_coroutine_and_return_a_body() -> None:
    assert await processed(f"- script: {SCRIPTS}:doubled", Message(body="ab")) == Message(body="abab")
    assert await processed(f"- script: {SCRIPTS}:later", Message(body="ab")) == Message(body="later ab")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fails", "raised ValueError: no thing (scripts.py:"),
        ("leaves", "raised SystemExit: 3 (scripts.py:"),
    ],
)
async def test_a_script_that_raises_is_told_with_the_lines_of_flow_and_script(name: str, told: str) -> None:
    failed = await failure(f"- call: erp\n- script: {SCRIPTS}:{name}", Message(body="thing"))
    assert str(failed).startswith(f"orders.yaml:8: script: {SCRIPTS}:{name} {told}")
    assert isinstance(failed.cause, ScriptFailed)


@pytest.mark.parametrize("name", ["never", "slow"])
async def test_a_script_that_hangs_is_given_up(name: str) -> None:
    steps = f"- script: {{function: '{SCRIPTS}:{name}', timeout: 0.05}}"
    with anyio.fail_after(5):
        failed = await failure(steps, Message())
    assert str(failed) == f"orders.yaml:7: script: {SCRIPTS}:{name} did not come to an end within 0.05 s"


# -- errors


async def test_a_receiver_that_hangs_is_given_up_with_its_line() -> None:
    async def answer(name: str, message: Message) -> Any:
        await anyio.sleep_forever()

    with anyio.fail_after(5):
        failed = await failure("- send: {receiver: erp, timeout: 0.05, method: POST}", Message(), answer)
    assert str(failed) == "orders.yaml:7: send: erp did not answer within 0.05 s"
    assert isinstance(failed.cause, BackendUnavailable)


async def test_an_adapter_that_breaks_is_told_with_the_line() -> None:
    async def answer(name: str, message: Message) -> Any:
        raise KeyError("cookie=secret")

    failed = await failure("- call: erp", Message(), answer)
    assert str(failed) == "orders.yaml:7: call: erp: the adapter failed with KeyError"


async def test_what_fails_can_be_dealt_with_with_the_message_as_it_was() -> None:
    steps = f"""
- try:
    do: [{{modify: {{headers: {{x: 1}}}}}}, {{script: '{SCRIPTS}:mark'}}, {{script: '{SCRIPTS}:fails'}}]
    on_error: [{{modify: {{body: "${{properties.error.code}} at ${{properties.error.place}}"}}}}]
- call: erp"""
    result = await processed(steps, Message(body={"a": 1}, properties={"mine": 1}))
    assert result is not None
    assert (result.headers, result.properties["mine"]) == ({}, 1)
    assert result.body == "script_failed at orders.yaml:9"


async def test_a_failure_while_dealing_with_one_is_a_failure() -> None:
    steps = f"- try:\n    do: [{{script: '{SCRIPTS}:fails'}}]\n    on_error:\n      - script: {SCRIPTS}:fails"
    assert (await failure(steps, Message())).place == "orders.yaml:10"


async def test_what_happens_is_told_step_by_step() -> None:
    # F18
    told: list[Any] = []
    steps = "- split: {over: '[1, 2]', do: [{call: erp}]}\n- loop: {while: '0', max: 1, do: [{call: crm}]}"
    async with flow(steps, tell=told.append) as running:
        await running.process(Message(id="m1"))
    ended = [(each.place, each.kind, each.outcome) for each in told if isinstance(each, StepEnded)]
    split, loop = ("orders.yaml:7", "split", "done"), ("orders.yaml:8", "loop", "done")
    first, second = ("orders.yaml:7", "call", "done"), ("orders.yaml:8", "call", "done")
    assert ended == [first, first, split, second, loop]
    counted = [(each.place, each.done, each.total) for each in told if isinstance(each, Counted)]
    assert counted == [("orders.yaml:7", 1, 2), ("orders.yaml:7", 2, 2), ("orders.yaml:8", 1, None)]
    assert {each.message for each in told} == {"m1"}


# -- any flow


plain = st.fixed_dictionaries({"set": st.integers(0, 9)}) | st.fixed_dictionaries({"add": st.integers(0, 9)})
repeats = st.fixed_dictionaries({"repeat": st.tuples(st.integers(1, 3), st.lists(plain, max_size=3))})
programs = st.recursive(
    st.lists(plain | repeats, max_size=3),
    lambda inner: st.lists(
        plain
        | repeats
        | st.fixed_dictionaries({"when": st.tuples(st.integers(0, 9), inner, inner)})
        | st.fixed_dictionaries({"undo": inner}),
        max_size=3,
    ),
    max_leaves=8,
)


def yaml_of(program: list[dict[str, Any]]) -> list[Any]:
    return [_step(*next(iter(each.items()))) for each in program]


def _step(kind: str, what: Any) -> Any:
    if kind == "set":
        return {"modify": {"body": what}}
    if kind == "add":
        return {"modify": {"body": f"${{body + {what}}}"}}
    if kind == "when":
        limit, then, other = what
        return {"router": {"routes": [{"when": f"body < {limit}", "do": yaml_of(then)}], "otherwise": yaml_of(other)}}
    if kind == "undo":
        return {"try": {"do": [*yaml_of(what), {"filter": "1 / 0"}], "on_error": []}}
    times, body = what
    start = {"modify": {"properties": {"round": 0}}}
    turn = {"modify": {"properties": {"round": "${properties.round + 1}"}}}
    loop = {"loop": {"while": f"properties.round < {times}", "max": times, "do": [*yaml_of(body), turn]}}
    return {"router": {"routes": [{"when": "1", "do": [start, loop]}]}}


def value_of(program: list[dict[str, Any]], value: int) -> int:
    for each in program:
        kind, what = next(iter(each.items()))
        if kind == "set":
            value = what
        elif kind == "add":
            value += what
        elif kind == "when":
            value = value_of(what[1] if value < what[0] else what[2], value)
        elif kind == "repeat":
            for _ in range(what[0]):
                value = value_of(what[1], value)
    return value


@settings(max_examples=40, deadline=None)
@given(programs, st.integers(0, 9))
def test_steps_run_in_their_order_whatever_they_are_nested_in(program: list[dict[str, Any]], start: int) -> None:
    steps = "".join(f"- {json.dumps(step)}\n" for step in [{"modify": {}}, *yaml_of(program)])
    result = anyio.run(processed, steps, Message(body=start))
    assert result is not None
    assert result.body == value_of(program, start)
