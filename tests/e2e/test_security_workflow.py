"""The workflow of the source in Chromium: two applications, two server processes, one logon, one logout (S20)."""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import expect

from e2e.cluster import Cluster
from e2e.security_world import SECRET, log_on, opened, site_at
from servers.browser import browser
from stores.stores import Servers, fresh

QUERY = "q=gr%C3%BCner+tee&page=2&next=//evil.example"
expect.set_options(timeout=20_000)


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.servers)])
async def site(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with site_at(fresh(request.param, servers, tmp_path), tmp_path) as workers:
        yield workers


async def test_the_workflow_of_the_source(site: Cluster, tmp_path: Path) -> None:  # S20, S2, S4, S18, R49, T11
    picture: Callable[[str], Path] = lambda name: tmp_path / f"{name}.png"  # noqa: E731
    async with browser() as chromium, opened(chromium) as page:
        entered = f"{site.url}/shop/orders?{QUERY}"
        await page.goto(entered)  # the URL entered: nobody has logged on, so the form is shown
        await expect(page.get_by_role("heading")).to_have_text("Log on")
        assert page.url.startswith(f"{site.url}/account/logon?next=")
        await page.screenshot(path=picture("1-form"))
        await log_on(page, "a wrong one")
        await expect(page.get_by_role("alert")).to_contain_text("wrong")
        await page.screenshot(path=picture("2-wrong"))
        await log_on(page)
        await expect(page.get_by_role("heading")).to_contain_text("Ann Example looks for q=gr%C3%BCner+tee")
        assert page.url == entered  # back where it began, with its query
        processes = set()
        for visits in range(2, 12):  # the HTTP session, whichever process serves it
            await page.reload()
            await expect(page.locator("#visits")).to_have_text(str(visits))
            processes.add(await page.inner_text("#process"))
        assert len(processes) == 2
        await page.goto(f"{site.url}/bank/orders?a=1")  # the second application asks for nothing
        await expect(page.get_by_role("heading")).to_have_text("Ann Example looks for a=1 at /bank")
        await expect(page.locator("#visits")).to_have_text("1")  # and has data of its own (S1)
        await page.screenshot(path=picture("3-bank"))
        kept = {str(cookie["name"]): str(cookie["value"]) for cookie in await page.context.cookies()}
        assert {"shop", "bank", "holdfast-logon"} <= set(kept)
        await page.goto(f"{site.url}/account/sessions")
        await expect(page.get_by_role("definition").filter(has_text="bank, shop")).to_be_visible()
        await page.screenshot(path=picture("4-sessions"))
        await page.goto(f"{site.url}/bank/orders?a=1")
        await page.locator("#leave").click()
        await page.screenshot(path=picture("5-leave"))
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading")).to_have_text("Logged out")
        assert await page.context.cookies() == []
        for _ in range(3):  # the back button shows nothing
            await page.go_back()
            assert "looks for" not in await page.inner_text("body")
        await page.screenshot(path=picture("6-back"))
        for name in ("shop", "bank"):
            await page.goto(f"{site.url}/{name}/orders")
            await expect(page.get_by_role("heading")).to_have_text("Log on")
    await old_cookies_get_nothing(site, kept)


async def old_cookies_get_nothing(site: Cluster, kept: dict[str, str]) -> None:
    async with httpx2.AsyncClient(cookies=kept) as thief:
        for _ in range(6):
            for name in ("shop", "bank"):
                answer = await thief.get(f"{site.url}/{name}/orders")
                assert (answer.status_code, "Ann" in answer.text) == (401, False)


async def test_a_session_ended_from_another_device_is_over_there_and_a_dead_worker_changes_nothing(
    site: Cluster,
) -> None:  # S13, S18, R32, R36
    async with browser() as chromium, opened(chromium) as desk, opened(chromium) as phone:
        for page in (desk, phone):
            await page.goto(f"{site.url}/shop/orders")
            await log_on(page)
            await expect(page.locator("#visits")).to_have_text("1")
        await site.kill(0)
        await desk.goto(f"{site.url}/account/sessions")
        await expect(desk.get_by_text("this one")).to_have_count(1)
        await desk.get_by_role("button", name="Log out", exact=True).click()
        await expect(desk.get_by_role("listitem")).to_have_count(1)
        await site.start(0)
        await phone.reload()
        await expect(phone.get_by_role("heading")).to_have_text("Log on")
        await desk.goto(f"{site.url}/shop/orders")
        await expect(desk.locator("#visits")).to_have_text("2")


async def test_a_form_on_another_site_logs_nobody_on_or_off(site: Cluster) -> None:  # T9, T10, R59
    """The other site is the same server by another name: another origin, as browsers see it."""
    other = site.url.replace("127.0.0.1", "localhost")
    async with browser() as chromium, opened(chromium) as page:
        await page.goto(f"{site.url}/shop/orders")
        await log_on(page)
        await page.goto(f"{other}/account/logon")
        for path, fields in (
            ("logout", ""),
            ("sessions", "<input name=others value=1>"),
            ("logon", "<input name=name>"),
        ):
            await page.goto(f"{other}/account/style.css")
            await page.evaluate(
                f"document.body.innerHTML = `<form method=post action='{site.url}/account/{path}'>{fields}</form>`"
            )
            async with page.expect_navigation() as refused:
                await page.evaluate("document.forms[0].submit()")
            answer = await refused.value
            assert (answer.request.method, answer.status) == ("POST", 403)
        await page.goto(f"{site.url}/shop/orders")
        await expect(page.locator("#visits")).to_have_text("2")


async def test_a_program_with_a_password_shares_the_applications_and_leaves_one_session(site: Cluster) -> None:  # S7
    credentials = {"authorization": "Basic " + b64encode(f"ann:{SECRET}".encode()).decode()}
    async with httpx2.AsyncClient(headers=credentials) as curl:
        seen = []
        for _ in range(10):
            curl.cookies.clear()
            answer = await curl.get(f"{site.url}/shop/orders")
            seen.append(answer.text.partition("id=visits>")[2].partition("<")[0])
        assert seen == [str(number) for number in range(1, 11)]
        assert (await curl.get(f"{site.url}/shop/orders", headers={"authorization": "Basic eDp5"})).status_code == 401
