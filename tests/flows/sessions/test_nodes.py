"""What several workers make of one flow's sessions, whatever the receiver and undeployments do in between.

Workers go by what they remember of the sessions, here for ever: only what receivers answer makes them look again.
"""

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.sealing import new_key_text
from holdfast.engine import open_engine
from holdfast.errors import SessionEnded, SessionExpiredError
from holdfast.flows import Channel, Deployment, ReusingTransport, flow_kinds
from holdfast.flows.sessions import nodes
from holdfast.stores.memory import memory_store

KEYS = new_key_text()
ERP = "http://erp.example/orders"
WORKERS = 2


@pytest.fixture(autouse=True, scope="module")
def for_ever() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nodes, "COPY_S", math.inf)
        yield


class Receiver(httpx2.AsyncBaseTransport):
    """Has one session at most; while it `rotates`, every answer gives its cookie another value."""

    def __init__(self) -> None:
        self.value, self.rotates, self.logons, self.served = "", False, 0, 0
        self._values = count(1)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        known = bool(self.value) and request.headers.get("cookie") == f"S={self.value}"
        if not known and "authorization" not in request.headers:
            return httpx2.Response(401, headers=[("set-cookie", "S=; Path=/; Max-Age=0")])
        self.logons += not known
        self.served += 1
        if known and not self.rotates:
            return httpx2.Response(200)
        self.value = str(next(self._values))
        return httpx2.Response(200, headers=[("set-cookie", f"S={self.value}; Path=/")])


class Worker:
    """A worker with the flow deployed."""

    def __init__(self, deployment: Deployment, client: httpx2.AsyncClient) -> None:
        self.deployment, self.client = deployment, client

    async def call(self) -> int:
        return (await self.client.post(ERP, content=b"order")).status_code


@asynccontextmanager
async def world(receiver: Receiver, **channel: Any) -> AsyncIterator[list[Worker]]:
    """Run workers on one store."""
    store = memory_store()
    async with open_engine(store, kinds=flow_kinds(), keys=KEYS) as engine:
        workers = []
        for _ in range(WORKERS):
            deployment = Deployment(engine.manager, "orders", "on_integration_flow")
            await deployment.deploy()
            transport = ReusingTransport(deployment, Channel(name="erp", **channel), receiver)
            workers.append(Worker(deployment, httpx2.AsyncClient(transport=transport, auth=("anna", "secret"))))
        yield workers


moves = st.lists(
    st.tuples(st.sampled_from(["call"] * 5 + ["drop", "rotate", "undeploy", "deploy"]), st.integers(0, WORKERS - 1)),
    min_size=10,
    max_size=30,
)


@settings(max_examples=75, deadline=None)
@given(moves)
def test_every_call_is_served_with_no_logon_too_many_unless_the_flow_was_undeployed(played: list[Any]) -> None:
    # F7, F13
    anyio.run(play, played)


async def play(played: list[Any]) -> None:
    receiver = Receiver()
    node, behind, expected = False, set[int](), 0  # is there a node; who was deployed before the last undeployment
    with anyio.fail_after(30):
        async with world(receiver) as workers:
            for what, at in played:
                match what:
                    case "call" if not node and at in behind:
                        served = receiver.served
                        with pytest.raises(SessionEnded):
                            await workers[at].call()
                        assert receiver.served == served
                    case "call":
                        node, expected = True, expected + (not receiver.value)
                        assert await workers[at].call() == 200
                        assert receiver.logons == expected
                    case "drop":
                        receiver.value = ""
                    case "rotate":
                        receiver.rotates = not receiver.rotates
                    case "undeploy":
                        assert await workers[at].deployment.undeploy() is node
                        node, behind, receiver.value = False, set(range(WORKERS)), ""
                    case "deploy":
                        await workers[at].deployment.deploy()
                        behind.discard(at)


async def test_a_receiver_with_state_is_always_called_in_the_session_that_is_there_now() -> None:
    # F7: another worker has begun a new one, so nothing of this worker's was lost
    receiver = Receiver()
    async with world(receiver, stateful=True) as (one, other):
        assert [await one.call(), await other.call()] == [200, 200]
        receiver.value = ""
        with pytest.raises(SessionExpiredError):
            await one.call()
        assert [await one.call(), await other.call()] == [200, 200]
    assert receiver.logons == 2


async def test_a_receiver_without_sessions_costs_the_store_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver()

    async def without_session(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200 if "authorization" in request.headers else 401)

    monkeypatch.setattr(receiver, "handle_async_request", without_session)
    async with world(receiver) as (worker, *_):
        assert await worker.call() == 200
        read: list[Any] = []
        sessions = worker.deployment.manager.store.sessions
        load = sessions.load

        async def noted(*at: Any, **more: Any) -> Any:
            read.append(at)
            return await load(*at, **more)

        monkeypatch.setattr(sessions, "load", noted)
        assert [await worker.call() for _ in range(5)] == [200] * 5
    assert read == []
