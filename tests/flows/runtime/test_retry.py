"""What is repeated, and how long is waited for it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.runtime.world import processed
from holdfast.errors import BackendError, BackendUnavailable, HoldfastError, LogonFailed, SessionExpiredError
from holdfast.flows.failures import NotCarriedOut, Unavailable
from holdfast.flows.parts import Retry
from holdfast.flows.runtime import Message, Patience, StepFailed
from holdfast.flows.runtime.retry import wait_s

AWAY = NotCarriedOut("away")
MAYBE = BackendUnavailable("no answer")
REFUSED: list[HoldfastError] = [BackendError("no"), LogonFailed("no"), SessionExpiredError("gone")]


def test_only_what_does_no_harm_is_repeated() -> None:
    # F17
    retry = Retry(times=1)
    assert [wait_s(retry, 1, AWAY, repeatable=each, draw=1) for each in (False, True)] == [0.5, 0.5]
    assert [wait_s(retry, 1, MAYBE, repeatable=each, draw=1) for each in (False, True)] == [None, 0.5]
    assert [wait_s(retry, 1, each, repeatable=True, draw=1) for each in REFUSED] == [None, None, None]


@given(st.integers(0, 50), st.integers(1, 60), st.floats(0.01, 10), st.floats(0.01, 60), st.floats(0, 1))
def test_waits_grow_up_to_a_limit_and_end(times: int, tried: int, first: float, most: float, draw: float) -> None:
    retry = Retry(times=times, first=first, most=most)
    wait = wait_s(retry, tried, AWAY, repeatable=False, draw=draw)
    assert (wait is None) == (tried > times)
    if wait is not None:
        full = min(first * 2 ** (tried - 1), most)
        assert full / 2 <= wait <= full


def test_a_receiver_that_asks_for_patience_gets_it_within_reason() -> None:
    asks: Callable[[float], HoldfastError] = lambda seconds: Unavailable("busy", retry_after=seconds)  # noqa: E731
    assert wait_s(Retry(), 1, asks(20), repeatable=True, draw=0) == 20
    assert wait_s(Retry(), 1, asks(20), repeatable=False, draw=0) is None
    assert wait_s(Retry(), 1, asks(3600), repeatable=True, draw=0) is None


async def attempts(method: str, failures: list[HoldfastError]) -> tuple[list[float], Any]:
    """Return the waits of a call that fails so often, and what came of it."""
    waited: list[float] = []

    async def answer(name: str, message: Message) -> Any:
        if failures:
            raise failures.pop(0)
        return "done"

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    steps = f"- call: {{receiver: erp, method: {method}}}"
    try:
        result = await processed(steps, Message(), answer, patience=Patience(sleep, lambda: 1.0))
    except StepFailed as exc:
        return waited, exc.cause
    assert result is not None
    return waited, result.body


async def test_a_call_is_made_again_until_it_succeeds_or_has_been_tried_enough() -> None:
    # F17
    assert await attempts("GET", [MAYBE, AWAY]) == ([0.5, 1.0], "done")
    assert await attempts("GET", [MAYBE, MAYBE, MAYBE]) == ([0.5, 1.0], MAYBE)


async def test_a_post_is_sent_again_only_if_it_never_arrived() -> None:
    assert await attempts("POST", [AWAY]) == ([0.5], "done")
    assert await attempts("POST", [MAYBE]) == ([], MAYBE)


@pytest.mark.parametrize("refused", REFUSED, ids=lambda each: type(each).__name__)
async def test_a_refusal_is_final(refused: HoldfastError) -> None:
    assert await attempts("GET", [refused]) == ([], refused)
