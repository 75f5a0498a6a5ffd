"""A server that was told to stop: what it still takes, and what becomes of the calls that run (M18)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from e2e.mcp_world import (
    LEGACY,
    META,
    MODERN,
    World,
    call,
    handshake,
    initialize,
    modern,
    notification,
    request,
    texts,
    world,
)
from e2e.wire import JSON_HEADERS, PATIENCE, Exchange


@asynccontextmanager
async def while_a_call_runs(era: str) -> AsyncIterator[tuple[World, Exchange]]:
    """Run one worker, and in it a call that waits; at the end it has been answered."""
    async with world() as made, anyio.create_task_group() as tasks:
        wire = made.workers[0].wire
        if era == MODERN:
            named = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "wait"}
            body = request("tools/call", {"name": "wait", "arguments": {}, "_meta": META})
        else:
            named, body = await handshake(wire), call("wait")
        exchange = wire.begin(tasks, "POST", body, headers={**JSON_HEADERS, **named})
        with anyio.fail_after(PATIENCE):
            await made.gate.entered.wait()
            yield made, exchange
            await exchange.until(lambda seen: seen.ended)


@pytest.mark.parametrize("era", [LEGACY, MODERN])
async def test_new_work_is_refused_with_the_advice_to_come_back(era: str) -> None:
    async with world() as made:
        worker = made.workers[0]
        named = await handshake(worker.wire)
        worker.endpoint.stop()
        if era == MODERN:
            seen = await modern(worker.wire, call("echo", 7, text="x"))
        else:
            seen = await worker.wire.post(call("echo", 7, text="x"), **named)
        assert (seen.status, seen.headers["retry-after"], seen.json["id"]) == (503, "2", 7)
        assert seen.json["error"]["data"] == {"code": "server_draining"}
        assert (await worker.wire.post(initialize())).status == 503
        assert (await worker.wire.post([call("echo", text="x")], **named)).status == 503  # type: ignore[arg-type]


async def test_what_running_calls_may_wait_for_is_still_taken() -> None:
    async with world() as made:
        worker = made.workers[0]
        named = await handshake(worker.wire)
        worker.endpoint.stop()
        answer = {"jsonrpc": "2.0", "id": 1, "result": {}}
        assert (await worker.wire.post(answer, **named)).status == 202
        assert (await worker.wire.post(notification("notifications/cancelled"), **named)).status == 202


@pytest.mark.parametrize("era", [LEGACY, MODERN])
async def test_a_running_call_finishes_after_the_server_was_told_to_stop(era: str) -> None:
    async with while_a_call_runs(era) as (made, exchange):
        made.workers[0].endpoint.stop()
        made.gate.open.set()
    assert texts(exchange.result) == ["opened"]


@pytest.mark.parametrize("era", [LEGACY, MODERN])
async def test_a_call_that_is_given_up_is_answered_that_the_server_went_down(era: str) -> None:
    async with while_a_call_runs(era) as (made, exchange):
        made.workers[0].endpoint.stop()
        made.workers[0].endpoint.give_up()
        await made.gate.cancelled.wait()
    assert (exchange.status, exchange.json["error"]["data"]["code"]) == (503, "server_stopping")
