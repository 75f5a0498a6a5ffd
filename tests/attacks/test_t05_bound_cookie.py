"""T5: the cookies of a logon that is bound to a device are used elsewhere, over two processes (R52, R53, S15)."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from attacks.web_world import NOBODY, WebTarget, web_target
from attacks.world import as_headers
from stores.stores import Place
from web.bound_browser import BoundBrowser

TEN_MINUTES = 600.0
BOUND = "holdfast-bound"


class Attacked:
    """The servers, and the clock by which all of them go."""

    def __init__(self, target: WebTarget) -> None:
        self.target, self.ahead = target, 0.0

    def clock(self) -> float:
        return time.time() + self.ahead

    def later(self, seconds: float) -> None:
        self.ahead += seconds
        (self.target.folder / "seconds_ahead").write_text(str(self.ahead))

    async def exchange(self, method: str, path: str, headers: dict[str, str]) -> httpx2.Response:
        return await self.target.http.request(method, self.target.workers.url + path, headers=headers)

    async def victim(self) -> BoundBrowser:
        """Return a browser whose logon is bound, when it has to show its cookie."""
        browser = BoundBrowser(self.exchange, self.clock)
        assert (await browser.request("POST", "/login/ann")).status_code == 200
        assert browser.bound is not None
        self.later(30)
        return browser


async def seen(browser: BoundBrowser, path: str = "/") -> Any:
    return (await browser.request("GET", path)).json()


@pytest.fixture
async def attacked(sqlite: Place, tmp_path: Path) -> AsyncIterator[Attacked]:
    async with web_target(sqlite, tmp_path, settings={"DBSC__ENABLED": "true"}) as target:
        yield Attacked(target)


async def test_all_stolen_cookies_are_worth_nothing_after_their_ten_minutes(attacked: Attacked) -> None:  # T5, R52
    victim = await attacked.victim()
    thief = victim.thief()
    assert (await seen(thief))["who"] == "ann"
    attacked.later(TEN_MINUTES)
    for path in ("/", "/bank/"):
        assert await seen(thief, path) == NOBODY
    assert (await thief.request("GET", "/me")).status_code == 401
    assert (await thief.request("POST", "/logout")).status_code in (200, 401)
    for _ in range(4):
        assert (await seen(victim))["who"] == "ann"
        assert (await seen(victim, "/bank/"))["who"] == "ann"
        attacked.later(TEN_MINUTES)
    assert len(victim.seen) >= 8, "cookies and challenges, none of which came twice"
    told = {event["detail"] for event in attacked.target.told("fingerprint_mismatch")}
    assert told == {"bound cookie missing or over: step_up"}


async def test_the_logon_cookies_alone_are_worth_nothing_at_once(attacked: Attacked) -> None:  # T5
    victim = await attacked.victim()
    for names in ((BOUND,), (BOUND, "shop"), (BOUND, "holdfast-logon")):
        assert await seen(victim.thief(*names)) == NOBODY
    assert (await seen(victim))["who"] == "ann"


async def test_a_thief_without_the_key_gets_no_fresh_cookie_and_the_logon_ends(attacked: Attacked) -> None:  # T5, R53
    victim = await attacked.victim()
    assert (await victim.refresh()).status_code == 200
    thief = victim.thief()
    thief.bound = victim.bound  # he knows the name of the binding as well
    assert (await thief.refresh()).status_code == 401
    assert thief.refreshed == [403, 401], "he was asked, and has signed with a key of his own"
    assert await seen(thief) == NOBODY
    assert await seen(victim) == NOBODY
    [killed] = attacked.target.told("forced_end")
    assert killed["kind"] == "security"
    assert not await attacked.target.records("http")


async def test_proofs_that_cross_at_two_workers_all_get_a_cookie(attacked: Attacked) -> None:  # R53
    victim = await attacked.victim()
    await victim.refresh()
    proof, answers = as_headers(victim.proof()), list[httpx2.Response]()

    async def prove() -> None:
        answers.append(await attacked.exchange("POST", "/session/device/refresh", proof))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(prove)
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.headers["set-cookie"] for answer in answers}) == 8
    assert len({answer.headers["secure-session-challenge"] for answer in answers}) == 1
    attacked.later(30)
    late = await attacked.exchange("POST", "/session/device/refresh", proof)
    assert (late.status_code, "set-cookie" in late.headers) == (403, False), "it is spent"


async def test_a_thief_can_bind_the_stolen_logon_to_no_key_of_his_own(attacked: Attacked) -> None:  # T5, R53
    victim = await attacked.victim()
    thief = victim.thief()
    for challenge in ("", "made up", victim.challenge, victim.cookies()[BOUND]):
        assert (await thief.register("/session/device/register", challenge)).status_code == 401
    assert thief.bound is None
    assert (await seen(victim))["who"] == "ann"
