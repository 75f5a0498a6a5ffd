"""Splitter, multicast and gather: order, isolation, and what a failing branch means for the others."""

import json
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.runtime.world import flow, processed
from holdfast.errors import BackendUnavailable, HoldfastError
from holdfast.flows.runtime import Message, StepFailed
from holdfast.flows.runtime.branches import gathered

SCRIPTS = "flows.runtime.scripts"


def split(*steps: Any, gather: str = "", **options: Any) -> str:
    after = [{"gather": gather}] if gather else []
    return "".join(f"- {json.dumps(step)}\n" for step in [{"split": {**options, "do": steps}}, *after])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=8), st.booleans(), st.integers(1, 4), st.data())
def test_results_come_in_the_order_of_the_items_in_whatever_order_they_are_ready(
    items: list[int], parallel: bool, workers: int, data: st.DataObject
) -> None:
    # F15
    ready = data.draw(st.lists(st.integers(0, 3), min_size=len(items), max_size=len(items)))
    running = most = 0

    async def answer(name: str, message: Message) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(ready[message.body["at"]]):
            await anyio.lowlevel.checkpoint()
        running -= 1
        return message.body["n"] * 10

    body = [{"at": at, "n": n} for at, n in enumerate(items)]
    steps = split({"filter": "body.n > 1"}, {"call": "erp"}, parallel=parallel, workers=workers)
    result = anyio.run(processed, steps, Message(body=body), answer)
    assert result is not None
    assert result.body == [n * 10 for n in items if n > 1]
    assert most <= (workers if parallel else 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.booleans(), st.sampled_from(["none", "on_exchange", "on_integration_flow"]))
def test_no_branch_sees_what_another_does_to_its_message(count: int, parallel: bool, reuse: str) -> None:
    # F15
    branches = [
        [{"modify": {"properties": {"mine": number}}}, {"script": f"{SCRIPTS}:mark"}, {"call": "erp"}]
        for number in range(count)
    ]
    before = {"seen": [], "shared": [1]}
    message = Message(body=before, properties={"mine": "outside"}, headers={"h": [1]})
    steps = f"- {json.dumps({'multicast': {'branches': branches, 'parallel': parallel}})}\n"

    async def run() -> Message | None:
        async with flow(steps, reuse=reuse) as running:
            return await running.process(message)

    result = anyio.run(run)
    assert result is not None
    assert [each["seen"] for each in result.body] == [[number] for number in range(count)]
    assert result.properties == message.properties == {"mine": "outside"}
    assert before == {"seen": [], "shared": [1]}


@pytest.mark.parametrize("parallel", [False, True])
async def test_a_branch_that_fails_stops_the_others_and_is_the_error(parallel: bool) -> None:
    ended: list[Any] = []

    async def answer(name: str, message: Message) -> Any:
        if message.body == 1:
            raise BackendUnavailable("erp is away")
        if message.body > 1:
            await anyio.sleep(10 if parallel else 0)
        ended.append(message.body)

    steps = split({"call": {"receiver": "erp", "method": "POST"}}, parallel=parallel)
    with anyio.fail_after(5), pytest.raises(StepFailed) as caught:
        await processed(steps, Message(body=[0, 1, 2, 3]), answer)
    assert str(caught.value) == "orders.yaml:7: call: erp is away"
    assert ended == [0]


async def test_a_failure_within_a_branch_can_be_dealt_with_there() -> None:
    async def answer(name: str, message: Message) -> Any:
        if message.body == 1:
            raise BackendUnavailable("erp is away")
        return message.body

    call = {"call": {"receiver": "erp", "method": "POST"}}
    deal = {"try": {"do": [call], "on_error": [{"modify": {"body": "${properties.error.text}"}}]}}
    result = await processed(split(deal, parallel=True), Message(body=[0, 1, 2]), answer)
    assert result == Message(body=[0, "erp is away", 2])


async def test_what_is_no_list_cannot_be_split() -> None:
    with pytest.raises(StepFailed, match=r"^orders\.yaml:7: split: 'body' is no list .* but a str$"):
        await processed(split({"call": "erp"}), Message(body="text"))


async def test_what_cannot_be_copied_is_told_where_a_branch_would_begin() -> None:
    steps = f"- script: {SCRIPTS}:uncopied\n" + split({"call": "erp"})
    with pytest.raises(StepFailed, match=r"^orders\.yaml:8: split: the message holds something that cannot be copied"):
        await processed(steps, Message())


async def test_splits_within_splits_keep_their_order() -> None:
    inner = json.loads(split({"modify": {"body": "${body + 1}"}}, parallel=True)[2:])
    result = await processed(split(inner, parallel=True, gather="join"), Message(body=[[1, 2], [], [3]]))
    assert result == Message(body=[2, 3, 4])


@pytest.mark.parametrize(
    ("how", "bodies", "one"),
    [
        ("join", ["a", "b"], "ab"),
        ("join", [b"a", b"b"], b"ab"),
        ("join", [[1], [], [2, 3]], [1, 2, 3]),
        ("join", [], []),
        ("merge", [{"a": 1, "b": 1}, {"b": 2}], {"a": 1, "b": 2}),
        ("merge", [], {}),
        ("first", [1, 2], 1),
        ("last", [1, 2], 2),
        ("last", [], None),
    ],
)
def test_bodies_are_made_one(how: str, bodies: list[Any], one: Any) -> None:
    # F15
    assert gathered(how, bodies) == one


@pytest.mark.parametrize(
    ("how", "bodies"), [("join", ["a", [1]]), ("join", [1, 2]), ("merge", [{}, []]), ("first", "text"), ("join", None)]
)
def test_bodies_that_cannot_be_made_one_are_told(how: str, bodies: Any) -> None:
    with pytest.raises(HoldfastError):
        gathered(how, bodies)


async def test_a_function_may_gather() -> None:
    result = await processed(split({"call": "erp"}, gather=f"{SCRIPTS}:total"), Message(body=[1, 2, 3]))
    assert result == Message(body=6)
