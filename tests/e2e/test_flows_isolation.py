"""No message sees another's state, but where the source says so and that was warned of: 16 in parallel, two workers.

Each scope runs against a receiver with state in a process of its own, on stores that processes share.
"""

import itertools
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process

from e2e.flows_reader import CALLS
from e2e.flows_world import Receiver, first_line, module_process
from holdfast.core.sealing import new_key_text
from stores.stores import Servers, fresh, params

KEYS = new_key_text()
MESSAGES = 16  # at two workers, one half each
WORKERS = ("one", "two")
Saw = dict[str, list[list[str]]]  # for each message, for each of its calls: who was known in its session


@pytest.fixture(params=params("sqlite", "redis"))
def store(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Any:
    url = fresh(request.param, servers, tmp_path).url
    if request.param == "redis":
        from redis import Redis

        with closing(Redis.from_url(url)) as redis:
            redis.flushdb()
    return url


async def processed(store: str, erp: Receiver, reuse: str) -> tuple[Saw, list[str]]:
    """Process all messages at the same time; return what they saw, and what the workers reported."""
    arguments = (store, KEYS, erp.url, reuse)
    half = str(MESSAGES // len(WORKERS))
    async with (
        module_process("e2e.flows_reader", *arguments, WORKERS[0], half) as one,
        module_process("e2e.flows_reader", *arguments, WORKERS[1], half) as two,
    ):
        for worker in (one, two):
            assert await first_line(worker) == b"ready"
        for worker in (one, two):
            assert worker.stdin is not None
            await worker.stdin.send(b"go\n")
        answers = [json.loads(await first_line(worker)) for worker in (one, two)]
        for worker in (one, two):
            await ended(worker)
    return answers[0]["saw"] | answers[1]["saw"], answers[0]["told"] + answers[1]["told"]


async def ended(worker: Process) -> None:
    with anyio.fail_after(30):
        assert await worker.wait() == 0


def were_parallel(erp: Receiver) -> bool:
    """Say whether the receiver was called by messages in turns, and by both workers."""
    names = [request["path"].rpartition("/")[2] for request in erp.tell()["requests"]]
    assert len(names) == MESSAGES * CALLS
    turns = [name for name, _ in itertools.groupby(names)]
    return len(turns) > MESSAGES and {name.partition("-")[0] for name in names} == set(WORKERS)


async def test_none_every_call_is_alone(erp: Receiver, store: str) -> None:
    # F1
    saw, told = await processed(store, erp, "none")
    assert all(seen == [[name]] * CALLS for name, seen in saw.items())
    assert (len(saw), erp.authentications, erp.sessions) == (MESSAGES, MESSAGES * CALLS, MESSAGES * CALLS)
    assert were_parallel(erp)
    assert "shared_state" not in told


async def test_on_exchange_a_message_sees_what_it_did_itself_and_nothing_else(erp: Receiver, store: str) -> None:
    # F1
    saw, told = await processed(store, erp, "on_exchange")
    assert all(seen == [[name] * number for number in range(1, CALLS + 1)] for name, seen in saw.items())
    assert (len(saw), erp.authentications, erp.sessions) == (MESSAGES, MESSAGES, MESSAGES)
    assert were_parallel(erp)
    assert told == []


async def test_on_integration_flow_messages_see_each_other_and_that_was_warned_of(erp: Receiver, store: str) -> None:
    # F1, F12, statement 25
    saw, told = await processed(store, erp, "on_integration_flow")
    last = max((seen for each in saw.values() for seen in each), key=len)
    assert set(last) == set(saw)
    assert len(last) == MESSAGES * CALLS
    assert (len(saw), erp.authentications, erp.sessions) == (MESSAGES, 1, 1)
    assert were_parallel(erp)
    assert told == ["shared_state"]  # once for all workers
