"""Logons that are calls of their own: one for a scope, again when the receiver says that the session is gone."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

from holdfast.engine import open_engine
from holdfast.errors import LogonFailed
from holdfast.flows import Channel, Deployment, ReusingTransport, flow_kinds
from holdfast.flows.sessions.logons import LOGON, SESSION, Logon

URL = "http://hr/api"


class Hr:
    """A receiver that takes the user by `POST /api` with `login USER`, and then its cookie."""

    def __init__(self) -> None:
        self.sessions: dict[str, str] = {}
        self.logons: list[str] = []
        self.broken: type[httpx2.TransportError] | None = None
        self.quiet = False  # it sets no cookie
        self._numbers = itertools.count(1)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        await anyio.lowlevel.checkpoint()
        text = request.content.decode()
        if text.startswith("login "):
            return self._log_on(text.removeprefix("login "))
        user = self.sessions.get(request.headers.get("cookie", "").partition("=")[2])
        return httpx2.Response(200 if user else 500, text=user or "INVALID_SESSION")

    def _log_on(self, user: str) -> httpx2.Response:
        if self.broken:
            raise self.broken("no")
        self.logons.append(user)
        if user == "eve":
            return httpx2.Response(500, text="who?")
        name = f"s{next(self._numbers)}"
        self.sessions[name] = user
        return httpx2.Response(200, headers={} if self.quiet else {"set-cookie": f"ID={name}; Path=/"})


class Caller:
    """Calls the receiver as an adapter does."""

    def __init__(self, deployment: Deployment, hr: Hr) -> None:
        self.deployment, self.hr = deployment, hr
        transport = ReusingTransport(deployment, Channel(name="hr"), httpx2.MockTransport(hr))
        self._client = httpx2.AsyncClient(transport=transport)

    async def call(self, user: str = "anna", refused: str = "") -> httpx2.Response:
        request = self._client.build_request("POST", URL, content=b"ask")
        logging_on = self._client.build_request("POST", URL, content=f"login {user}".encode())
        request.extensions[LOGON] = Logon(user, logging_on, self._judge, refused)
        return await self._client.send(request)

    async def _judge(self, response: httpx2.Response) -> None:
        await response.aread()
        if response.status_code != 200:
            raise LogonFailed(response.text)


@asynccontextmanager
async def caller(reuse: str) -> AsyncIterator[Caller]:
    async with open_engine("memory://", kinds=flow_kinds()) as engine:
        deployment = Deployment(engine.manager, "hires", reuse)
        with anyio.fail_after(10):
            async with deployment.exchange():
                yield Caller(deployment, Hr())


@pytest.mark.parametrize(("reuse", "logons"), [("none", 3), ("on_exchange", 1), ("on_integration_flow", 1)])
async def test_a_logon_is_for_all_calls_of_its_scope(reuse: str, logons: int) -> None:
    # F1, F2
    async with caller(reuse) as hr:
        answers = [await hr.call() for _ in range(3)]
        assert [answer.text for answer in answers] == ["anna"] * 3
        assert len(hr.hr.logons) == logons
        assert len({answer.extensions[SESSION] for answer in answers}) == logons


@pytest.mark.parametrize("reuse", ["on_exchange", "on_integration_flow"])
async def test_of_calls_in_parallel_one_logs_on(reuse: str) -> None:
    async with caller(reuse) as hr:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(hr.call)
        assert hr.hr.logons == ["anna"]


@pytest.mark.parametrize("reuse", ["on_exchange", "on_integration_flow"])
async def test_a_session_that_the_receiver_does_not_know_is_opened_anew_once_for_all(reuse: str) -> None:
    # F7
    async with caller(reuse) as hr:
        first = await hr.call()
        hr.hr.sessions.clear()
        gone = await hr.call()
        assert (gone.text, gone.extensions[SESSION]) == ("INVALID_SESSION", first.extensions[SESSION])
        answers: list[Any] = []

        async def again() -> None:
            answers.append(await hr.call(refused=gone.extensions[SESSION]))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(again)
        assert [answer.text for answer in answers] == ["anna"] * 5
        assert hr.hr.logons == ["anna", "anna"]
        late = await hr.call(refused="an-older-one")
        assert (late.text, hr.hr.logons) == ("anna", ["anna", "anna"])


async def test_another_user_is_told_and_not_used() -> None:
    # F3
    async with caller("on_exchange") as hr:
        await hr.call("anna")
        assert (await hr.call("berta")).text == "anna"
        assert [finding.code for finding in hr.deployment.findings] == ["second_user"]
        assert hr.hr.logons == ["anna"]


@pytest.mark.parametrize("reuse", ["none", "on_exchange"])
async def test_a_logon_that_fails_leaves_no_session_and_the_call_unsent(reuse: str) -> None:
    async with caller(reuse) as hr:
        with pytest.raises(LogonFailed, match=r"who\?"):
            await hr.call("eve")
        hr.hr.broken = httpx2.ReadError
        with pytest.raises(httpx2.ConnectError, match="no logon: ReadError"):
            await hr.call()
        hr.hr.broken = None
        assert (await hr.call()).text == "anna"


async def test_a_receiver_that_sets_no_cookie_is_logged_on_to_with_every_call() -> None:
    # F2
    async with caller("on_exchange") as hr:
        hr.hr.quiet = True
        answers = [await hr.call(), await hr.call()]
        assert [answer.extensions[SESSION] for answer in answers] == ["", ""]
        assert hr.hr.logons == ["anna", "anna"]
        assert [finding.code for finding in hr.deployment.findings] == ["no_cookie"]
