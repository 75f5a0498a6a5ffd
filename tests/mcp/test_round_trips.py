"""How often a request of a client asks the store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core.counted import counting
from e2e.mcp_world import call, echo, handshake, modern, texts
from e2e.wire import Wire
from holdfast.config import Settings
from holdfast.mcp import asgi
from holdfast.mcp.modern import Answers
from holdfast.stores import open_store

CALLS = 40


@asynccontextmanager
async def server(answers: Answers = "auto", **settings: float) -> AsyncIterator[tuple[Wire, list[str]]]:
    calls: list[str] = []
    async with open_store("memory://") as store:
        made = Settings(allowed_hosts=["*"], **settings)  # type: ignore[arg-type]
        app = asgi([echo], store=counting(store, calls), settings=made, answers=answers)
        async with app.running() as endpoint:
            yield Wire(endpoint), calls


def by_requests(calls: list[str]) -> list[str]:
    """Return what requests asked for: the rest is what the keeper and what counts sessions ask in their own time."""
    return [name for name in calls if name not in ("claim", "find", "read")]


@pytest.mark.parametrize("answers", ["auto", "stream"])
async def test_a_call_in_a_session_is_one_trip(answers: Answers) -> None:  # E25
    async with server(answers, rate_limit_per_session=0) as (wire, calls):
        named = await handshake(wire)
        calls.clear()
        assert texts((await wire.post(call("echo", text="hi"), **named)).result) == ["hi"]
        asked = by_requests(calls)
    assert asked == ["load"], "an answer at once needs no events"


async def test_rate_limits_cost_few_of_many_calls_a_trip() -> None:  # E13, E25
    async with server(rate_limit_per_client=60_000) as (wire, calls):
        named = await handshake(wire)
        calls.clear()
        for _ in range(CALLS):
            await wire.post(call("echo", text="hi"), **named)
        asked = by_requests(calls)
    assert asked.count("load") == CALLS
    assert asked.count("take") <= 2
    assert set(asked) <= {"load", "take"}


async def test_a_modern_call_asks_the_store_nothing() -> None:  # E25, M19
    async with server() as (wire, calls):
        calls.clear()
        assert texts((await modern(wire, call("echo", text="hi"))).result) == ["hi"]
        asked = by_requests(calls)
    assert not asked
