"""Re-use for any client in two lines, and what nodes of flows and messages do when a keeper or an outage steps in."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from e2e.flows_receiver import app, world
from holdfast.core.model import Reason, Record
from holdfast.engine import Engine, open_engine
from holdfast.errors import ConfigurationError, SessionEnded, StoreUnavailable
from holdfast.flows import Channel, Deployment, ReusingTransport, SessionReuse, flow_kinds
from holdfast.flows.sessions.nodes import WORKER_GONE_S
from holdfast.testing import Clock

AUTH = ("anna", "secret")
ERP = "http://erp.example"


@pytest.fixture(autouse=True)
def receiver() -> Iterator[httpx2.AsyncBaseTransport]:
    """The receiver of the end-to-end tests, in this process."""
    world.__init__()  # type: ignore[misc]
    yield httpx2.ASGITransport(app=app)
    world.__init__()  # type: ignore[misc]


# -- in two lines


async def test_a_client_logs_on_once(receiver: httpx2.AsyncBaseTransport) -> None:
    # F14, statement 9
    reuse = SessionReuse("on_exchange", "memory://", inner=receiver)
    async with httpx2.AsyncClient(transport=reuse, auth=AUTH) as client:
        for _ in range(3):
            answer = await client.get(f"{ERP}/whole/a")
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers
        assert len(client.cookies) == 0
    assert (world.authentications, world.begun) == (1, 1)


async def test_blocks_have_sessions_of_their_own(receiver: httpx2.AsyncBaseTransport) -> None:
    # F14
    reuse = SessionReuse("on_exchange", "memory://", inner=receiver)
    async with httpx2.AsyncClient(transport=reuse, auth=AUTH) as client:
        seen = []
        for _ in range(2):
            async with reuse.exchange():
                seen.append([(await client.get(f"{ERP}/blocks")).json()["block"] for _ in range(3)])
    assert seen == [[1, 2, 3], [1, 2, 3]]
    assert world.authentications == 2


async def test_clients_one_after_the_other_go_on_with_the_flows_session(
    receiver: httpx2.AsyncBaseTransport, tmp_path: Path
) -> None:
    # F13, F14
    for _ in range(3):
        reuse = SessionReuse("on_integration_flow", f"sqlite:///{tmp_path}/flows.db", inner=receiver)
        async with httpx2.AsyncClient(transport=reuse, auth=AUTH) as client:
            await client.get(f"{ERP}/whole/a")
    assert (world.authentications, world.begun) == (1, 1)


async def test_a_cookie_of_the_callers_own_travels_along(receiver: httpx2.AsyncBaseTransport) -> None:
    reuse = SessionReuse("on_exchange", inner=receiver)
    async with httpx2.AsyncClient(transport=reuse, auth=AUTH, headers={"cookie": "mine=1"}) as client:
        for _ in range(2):
            await client.get(f"{ERP}/whole/a")
    assert [request["cookie"].partition("; JSESSIONID=")[0] for request in world.requests] == ["mine=1"] * 2
    assert world.begun == 1


async def test_a_client_that_is_not_open_is_told_so(receiver: httpx2.AsyncBaseTransport) -> None:
    reuse = SessionReuse("on_exchange", inner=receiver)
    with pytest.raises(ConfigurationError, match="not open"):
        await httpx2.AsyncClient(transport=reuse).get(ERP)


# -- nodes


@asynccontextmanager
async def deployed(
    reuse: str, inner: Any, *, keeper: bool = False, **more: Any
) -> AsyncIterator[tuple[Engine, Deployment, httpx2.AsyncClient]]:
    """Run a flow whose sessions are logged off at their end, by a keeper or by the test itself."""
    channel = Channel(name="erp", log_off=f"{ERP}/logoff")
    async with open_engine("memory://", kinds=flow_kinds(inner), keeper=keeper, **more) as engine:
        deployment = Deployment(engine.manager, "orders", reuse)
        transport = ReusingTransport(deployment, channel, inner)
        async with httpx2.AsyncClient(transport=transport, auth=AUTH, base_url=ERP) as client:
            yield engine, deployment, client


async def records(engine: Engine) -> list[Record]:
    return [record async for record in engine.manager.each("all", b"")]


async def test_the_end_of_an_exchange_ends_its_nodes_and_logs_off(receiver: httpx2.AsyncBaseTransport) -> None:
    # F1
    async with deployed("on_exchange", receiver, keeper=True) as (engine, deployment, client):
        async with deployment.exchange():
            [top] = await records(engine)
            async with deployment.split(2) as parts:
                for part in parts:
                    async with part:
                        await client.get("/whole/a")
                assert [record.kind for record in await records(engine)] == ["exchange"] * 3
            await client.get("/whole/a")
        assert await engine.manager.gone(top.ref, timeout=10)
        assert await records(engine) == []
    assert (world.begun, world.ended) == (3, 3)


async def test_an_exchange_whose_worker_is_silent_ends_and_one_that_is_used_does_not(
    receiver: httpx2.AsyncBaseTransport,
) -> None:
    # F1
    clock = Clock()
    async with deployed("on_exchange", receiver, clock=clock) as (engine, deployment, client):
        with pytest.raises(SessionEnded):
            async with deployment.exchange():
                await client.get("/whole/a")
                [record] = await records(engine)
                clock.advance(WORKER_GONE_S - 1)
                await engine.manager.get(record.ref, touch=True)
                clock.advance(2)
                await engine.keeper.turn()
                assert (await client.get("/out")).status_code == 200  # written over what the keeper wrote
                await client.get("/whole/a")
                clock.advance(2 * WORKER_GONE_S)
                await engine.keeper.turn()
                await client.get("/out")
        while await engine.keeper.turn():
            pass
        assert await records(engine) == []
    assert world.ended == 1  # the second session; the receiver's own end of the first was known


async def test_a_message_ends_with_an_error_when_it_was_ended_from_outside(receiver: httpx2.AsyncBaseTransport) -> None:
    async with deployed("on_exchange", receiver) as (engine, deployment, client):
        with pytest.raises(SessionEnded):
            async with deployment.exchange():
                [record] = await records(engine)
                await engine.manager.end(record.ref, Reason.ADMIN)
                await client.get("/whole/a")
    assert world.requests == []


async def test_a_call_outside_any_exchange_is_an_error(receiver: httpx2.AsyncBaseTransport) -> None:
    async with deployed("on_exchange", receiver) as (_, _, client):
        with pytest.raises(ConfigurationError, match="outside any exchange"):
            await client.get("/whole/a")


async def down(*_: Any, **__: Any) -> Any:
    raise StoreUnavailable("the store is down")


async def test_without_a_store_nothing_is_sent(
    receiver: httpx2.AsyncBaseTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployed("on_integration_flow", receiver) as (engine, _, client):
        with monkeypatch.context() as patched:
            patched.setattr(engine.store.sessions, "load", down)
            with pytest.raises(StoreUnavailable):
                await client.get("/whole/a")
        assert world.requests == []
        assert (await client.get("/whole/a")).status_code == 200


@pytest.mark.parametrize("reuse", ["on_exchange", "on_integration_flow"])
async def test_an_answer_is_not_lost_because_the_store_went_down_meanwhile(
    receiver: httpx2.AsyncBaseTransport, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, reuse: str
) -> None:
    caplog.set_level(logging.WARNING)
    async with deployed(reuse, receiver) as (engine, deployment, client), deployment.exchange():
        with monkeypatch.context() as patched:
            patched.setattr(engine.store.sessions, "replace", down)
            assert (await client.get("/whole/a")).status_code == 200
        assert "store_unavailable" in caplog.text
        assert (await client.get("/whole/a")).status_code == 200


async def test_an_outage_while_a_session_is_opened_costs_no_answer(
    receiver: httpx2.AsyncBaseTransport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reuse = SessionReuse("on_integration_flow", f"sqlite:///{tmp_path}/flows.db", inner=receiver)
    async with httpx2.AsyncClient(transport=reuse, auth=AUTH) as client:
        with monkeypatch.context() as patched:
            patched.setattr(reuse.deployment.manager.store.leases, "release", down)
            assert (await client.get(f"{ERP}/whole/a")).status_code == 200
    assert world.begun == 1


async def test_a_message_that_is_cancelled_ends_its_session(receiver: httpx2.AsyncBaseTransport) -> None:
    async with deployed("on_exchange", receiver, keeper=True) as (engine, deployment, client):
        with anyio.move_on_after(10) as scope:
            async with deployment.exchange():
                await client.get("/whole/a")
                [record] = await records(engine)
                scope.cancel()
                await anyio.sleep_forever()
        assert await engine.manager.gone(record.ref, timeout=10)
    assert world.ended == 1


# -- receivers that misbehave, and other ways to log on


async def test_a_logon_that_times_out_lets_the_next_call_try() -> None:
    tries = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        tries.append(request)
        if len(tries) == 1:
            raise httpx2.ReadTimeout("no answer", request=request)
        return httpx2.Response(200, headers={"set-cookie": "S=1; Path=/"})

    reuse = SessionReuse("on_exchange", inner=httpx2.MockTransport(answer))
    async with httpx2.AsyncClient(transport=reuse, auth=AUTH) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.get(ERP)
        with anyio.fail_after(10):
            assert (await client.get(ERP)).status_code == 200
            assert (await client.get(ERP)).status_code == 200
    assert ["authorization" in request.headers for request in tries] == [True, True, False]


async def test_a_logon_by_challenge_happens_once() -> None:
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers.get("authorization", "")[:6])
        if "cookie" in request.headers:
            return httpx2.Response(200)
        if asked[-1] != "Digest":
            return httpx2.Response(401, headers={"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
        return httpx2.Response(200, headers={"set-cookie": "S=1; Path=/"})

    reuse = SessionReuse("on_exchange", inner=httpx2.MockTransport(answer))
    async with httpx2.AsyncClient(transport=reuse, auth=httpx2.DigestAuth(*AUTH)) as client:
        for _ in range(3):
            assert (await client.get(ERP)).status_code == 200
    assert asked == ["", "Digest", "", ""]


async def test_a_session_does_not_follow_a_redirect_to_another_host() -> None:
    seen = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append((request.url.host, request.headers.get("cookie"), "authorization" in request.headers))
        if request.url.path == "/away":
            return httpx2.Response(302, headers={"location": "http://elsewhere.example/"})
        return httpx2.Response(200, headers={"set-cookie": "S=1; Path=/"})

    reuse = SessionReuse("on_exchange", inner=httpx2.MockTransport(answer))
    async with httpx2.AsyncClient(transport=reuse, auth=AUTH, follow_redirects=True) as client:
        await client.get(f"{ERP}/")
        await client.get(f"{ERP}/away")
    assert seen == [("erp.example", None, True), ("erp.example", "S=1", False), ("elsewhere.example", None, False)]


async def test_the_receivers_word_that_a_session_is_gone_counts_whatever_its_status() -> None:
    # F7: SAP's answer to a context it does not know
    answers = [
        httpx2.Response(200, headers={"set-cookie": "S=1; Path=/"}),
        httpx2.Response(400, headers={"sap-err-id": "ICMENOSESSION"}),
        httpx2.Response(200, headers={"set-cookie": "S=2; Path=/"}),
    ]
    sent = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append((request.headers.get("cookie"), "authorization" in request.headers))
        return answers[len(sent) - 1]

    reuse = SessionReuse("on_exchange", inner=httpx2.MockTransport(answer))
    async with httpx2.AsyncClient(transport=reuse, auth=AUTH) as client:
        assert [(await client.post(ERP, content=b"order")).status_code for _ in range(2)] == [200, 200]
    assert sent == [(None, True), ("S=1", False), (None, True)]


async def test_a_second_user_is_told_of_once_by_all_workers_until_the_flow_is_deployed_anew(
    receiver: httpx2.AsyncBaseTransport,
) -> None:
    # F3
    told: list[int] = []
    async with deployed("on_integration_flow", receiver, keeper=True) as (engine, first, client):
        for _ in range(2):
            await first.deploy()
            await client.get("/whole/a")
            for _ in range(2):  # what runs at two workers
                worker = Deployment(engine.manager, "orders", "on_integration_flow")
                second = ReusingTransport(worker, Channel(name="second"), receiver)
                async with httpx2.AsyncClient(transport=second, auth=("bert", "secret"), base_url=ERP) as other:
                    assert (await other.get("/whole/b")).json()["user"] == "anna"
                told.append(len(worker.findings))
            await first.undeploy()
    assert told == [1, 0, 1, 0]
