"""The example shops, as they stand, on two processes behind a proxy that picks one at random; one in Chromium."""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from playwright.async_api import expect

from e2e.cluster import Cluster, cluster
from servers.browser import browser

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOPS = ("starlette", "fastapi", "litestar", "django")
PATIENCE_S = 90.0
FROM_HERE = {"sec-fetch-site": "same-origin", "accept": "text/html"}
ANN = {"name": "ann", "password": "tea-at-five"}
expect.set_options(timeout=20_000)


@asynccontextmanager
async def shop(name: str, folder: Path) -> AsyncIterator[Cluster]:
    """Run an example by the command that it names, with two workers."""
    store = f"sqlite:///{folder / 'shop.db'}"
    program = str(EXAMPLES / f"web_{name}.py")
    with anyio.fail_after(PATIENCE_S):
        async with cluster(lambda port: [sys.executable, program, str(port), store]) as workers:
            yield workers


def shown(answer: httpx2.Response, name: str) -> str:
    """Return the text of an element."""
    found = re.search(rf'id="{name}">([^<]*)<', answer.text)
    assert found is not None, (answer.status_code, answer.text)
    return found.group(1)


def token_in(answer: httpx2.Response) -> str:
    found = re.search(r'name="csrf_token" value="([^"]*)"', answer.text)
    assert found is not None, answer.text
    return found.group(1)


@pytest.mark.parametrize("name", SHOPS)
async def test_a_shop_keeps_basket_and_logon_over_two_processes(name: str, tmp_path: Path) -> None:  # S16, S17, S18
    async with shop(name, tmp_path) as workers, httpx2.AsyncClient(base_url=workers.url, headers=FROM_HERE) as client:
        for article in ("tea", "cups"):
            assert (await client.post("/basket", data={"article": article})).status_code == 303
        assert shown(await client.get("/"), "basket") == "tea, cups"

        sent_away = await client.get("/orders?page=2")
        assert (sent_away.status_code, sent_away.headers["location"]) == (303, "/logon?next=%2Forders%3Fpage%3D2")
        programs = await client.get("/orders", headers={"accept": "application/json"})
        assert (programs.status_code, programs.json()["error"]["code"]) == (401, "not_logged_on")
        form = {**ANN, "csrf_token": token_in(await client.get("/logon")), "next": "/orders?page=2"}
        assert (await client.post("/logon", data={**form, "password": "guess"})).status_code == 401
        before = dict(client.cookies)
        back = await client.post("/logon", data=form)
        assert (back.status_code, back.headers["location"]) == (303, "/orders?page=2")
        assert not set(before.values()) & set(client.cookies.values())
        for count in (1, 2, 3):
            answer = await client.get("/orders?page=2")
            assert (shown(answer, "who"), shown(answer, "seen")) == ("ann", str(count))
            assert answer.headers["cache-control"] == "no-store"
        home = await client.get("/")
        assert (shown(home, "who"), shown(home, "basket")) == ("ann", "tea, cups")

        foreign = await client.post("/basket", data={"article": "x"}, headers={"sec-fetch-site": "cross-site"})
        assert foreign.status_code == 403
        async with httpx2.AsyncClient(base_url=workers.url, cookies=client.cookies) as old_browser:
            assert (await old_browser.post("/basket", data={"article": "x"})).status_code == 403
            rightly = {"article": "milk", "csrf_token": token_in(home)}
            assert (await old_browser.post("/basket", data=rightly)).status_code == 303
        assert shown(await client.get("/"), "basket") == "tea, cups, milk"

        stolen = httpx2.Cookies(client.cookies)
        await workers.kill(0)
        assert shown(await client.get("/orders"), "seen") == "4"
        assert (await client.post("/logout")).status_code == 303
        assert shown(await client.get("/"), "who") == "nobody"
        async with httpx2.AsyncClient(base_url=workers.url, headers=FROM_HERE, cookies=stolen) as thief:
            assert (await thief.get("/orders")).status_code == 303
        assert workers.served[0] > 0
        assert workers.served[1] > 0


async def test_in_a_browser_a_person_shops_logs_on_and_off_and_the_back_button_shows_nothing(
    tmp_path: Path,
) -> None:  # S20
    async with shop("starlette", tmp_path) as workers, browser() as chromium:
        page = await chromium.new_page()
        await page.goto(workers.url)
        for article in ("tea", "cups"):
            await page.locator("input[name=article]").fill(article)
            await page.locator("#add").click()
        await expect(page.locator("#basket")).to_have_text("tea, cups")
        await page.goto(f"{workers.url}/orders?page=2")
        await page.locator("input[name=name]").fill("ann")
        await page.locator("input[name=password]").fill("tea-at-five")
        await page.locator("#logon").click()
        await expect(page.locator("#seen")).to_have_text("1")
        assert page.url == f"{workers.url}/orders?page=2"
        await page.goto(workers.url)
        await expect(page.locator("#who")).to_have_text("ann")
        await expect(page.locator("#basket")).to_have_text("tea, cups")
        assert await page.evaluate("document.cookie") == "", "no script sees a cookie"
        await page.locator("#logout").click()
        await expect(page.locator("#who")).to_have_text("nobody")
        await page.go_back()
        await expect(page.locator("#who")).to_have_text("nobody")
        await page.go_back()
        await expect(page.locator("#logon")).to_be_visible()
