"""T7: handles of logons are tried out, at the pages of one's own sessions and at the administrator's API (R36, R73).

Times are those of this process' work, whatever else the machine does.
"""

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr
from starlette.routing import Mount

from holdfast.web.administration import Administration
from stores.stores import Place
from web.account_world import SECRET, SESSIONS, Browser, World, world

TOKEN = "administrators-have-this-token-0123456789"
NEVER = "0123456789abcdef" * 2
ROUNDS = 150


@pytest.fixture
async def site(each_place: Place, tmp_path: Path) -> AsyncIterator[World]:
    async with each_place.open() as store, world(tmp_path, store=store) as made:
        made.security.settings.admin_token = SecretStr(TOKEN)
        made.app.routes.append(Mount("/admin", Administration(made.security)))
        yield made


async def handle_of(site: World, name: str) -> tuple[Browser, str]:
    browser = site.browser()
    await browser.log_on(name)
    return browser, (await site.running.logons.listed(name))[0].handle


async def durations(ask: Callable[[str], Awaitable[httpx2.Response]], *handles: str) -> list[float]:
    """Return the median time of an answer for each handle, all of them asked in turn."""
    spent: dict[str, list[float]] = {handle: [] for handle in handles}
    for _ in range(ROUNDS):
        for handle, times in spent.items():
            began = time.process_time()
            assert (await ask(handle)).status_code == 404
            times.append(time.process_time() - began)
    return [statistics.median(times) for times in spent.values()]


async def test_anothers_logon_and_none_at_all_are_the_same_to_who_asks(site: World) -> None:  # R36
    _, foreign = await handle_of(site, "bob")
    ann, _ = await handle_of(site, "ann")

    async def ask(handle: str) -> httpx2.Response:
        return await ann.post(SESSIONS, {"end": handle})

    answers = [
        (answer := await ask(handle)) and (answer.status_code, answer.text, sorted(answer.headers))
        for handle in (foreign, NEVER)
    ]
    assert answers[0] == answers[1]
    theirs, nobodys = await durations(ask, foreign, NEVER)
    assert 0.8 < theirs / nobodys < 1.25, (theirs, nobodys)
    assert len(await site.running.logons.listed("bob")) == 1


async def test_who_is_no_administrator_learns_of_no_handle_and_no_name(site: World) -> None:  # R73
    _, foreign = await handle_of(site, "bob")
    ann, _ = await handle_of(site, "ann")
    for browser in (ann, site.browser()):
        for method in ("GET", "DELETE"):
            seen = set()
            for path in (f"/logons/{foreign}", f"/logons/{NEVER}", "/logons/x", "/logons?user=bob", "/logons?user=eve"):
                answer = await browser.ask(
                    method, f"/admin{path}", accept="application/json", origin="https://site.example"
                )
                assert answer.status_code in (401, 403)
                seen.add((answer.status_code, answer.text))
            assert len(seen) == 1
    assert len(await site.running.logons.listed("bob")) == 1


async def test_a_name_is_not_found_out_by_logging_on(site: World) -> None:  # R70, R75
    browser = site.browser()
    spent: dict[str, list[float]] = {"ann": [], "nobody": []}
    for number in range(80):
        for name in sorted(spent, reverse=number % 2 == 0):
            browser.address = f"10.{number}.{len(name)}.1"
            began = time.process_time()
            answer = await browser.log_on(name, SECRET + "!")
            spent[name].append(time.process_time() - began)
            assert answer.status_code == 403
    known, unknown = (statistics.median(times) for times in spent.values())
    assert 0.7 < known / unknown < 1.4, (known, unknown)
