"""The two probes: what they say of a server that serves, one whose store is away, and one that goes down."""

import json
from typing import Any

import anyio
import pytest

from holdfast._asgi import Message
from holdfast.errors import StoreUnavailable
from holdfast.testing.clock import Clock
from holdfast.web.probes import Probes


class Asked:
    """A store that is asked: it answers, fails or hangs, and counts."""

    def __init__(self) -> None:
        self.times, self.hangs = 0, False
        self.failure: Exception | None = None

    async def __call__(self) -> None:
        self.times += 1
        if self.hangs:
            await anyio.sleep_forever()
        if self.failure is not None:
            raise self.failure


async def ready(probes: Probes) -> tuple[int, Any]:
    """Return status and body of an answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await probes.ready(send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def made(clock: Clock | None = None) -> tuple[Probes, Asked]:
    store = Asked()
    return Probes(store, timeout=0.01, clock=clock or Clock()), store


async def test_a_server_that_serves_is_ready() -> None:
    probes, _ = made()
    assert await ready(probes) == (200, {"ready": True, "checks": {"serving": "ok", "store": "ok"}})


@pytest.mark.parametrize(
    ("failure", "code"),
    [(StoreUnavailable("password=hunter2"), "store_unavailable"), (ValueError("password=hunter2"), "internal")],
)
async def test_a_store_that_fails_is_named_by_its_code_and_nothing_else(failure: Exception, code: str) -> None:  # E26
    probes, store = made()
    store.failure = failure
    assert await ready(probes) == (503, {"ready": False, "checks": {"serving": "ok", "store": code}})


async def test_a_store_that_hangs_is_waited_for_no_longer_than_its_time_out() -> None:  # E26
    probes, store = made()
    store.hangs = True
    with anyio.fail_after(5):
        status, body = await ready(probes)
    assert (status, body["checks"]["store"]) == (503, "store_unavailable")


async def test_the_store_is_asked_once_a_second_however_many_probes_come() -> None:
    clock = Clock()
    probes, store = made(clock)
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ready, probes)
    assert store.times == 1
    clock.advance(1.0)
    store.failure = StoreUnavailable("away")
    assert (await ready(probes))[0] == 503
    store.failure = None
    clock.advance(1.0)
    assert (await ready(probes))[0] == 200
    assert store.times == 3


async def test_a_server_that_goes_down_is_unready_at_once_and_asks_nobody() -> None:  # M18
    probes, store = made()
    probes.stop()
    status, body = await ready(probes)
    assert (status, body["checks"]["serving"], store.times) == (503, "server_stopping", 0)
