"""The administrator's console in Chromium, at two server processes: look, confirm, end; narrow, wide, light, dark."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from e2e.cluster import Cluster
from e2e.security_world import log_on, opened, site_at
from servers.browser import browser
from stores.stores import Servers, fresh

expect.set_options(timeout=20_000)
SIZES = ((1200, 800), (390, 844))


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.servers)])
async def site(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with site_at(fresh(request.param, servers, tmp_path), tmp_path) as workers:
        yield workers


async def pictures(page: Page, folder: Path, name: str) -> None:
    """Take a page's picture in every size and light, and see that nothing of it sticks out."""
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} wide"
        for light in ("light", "dark"):
            await page.emulate_media(color_scheme=light)  # type: ignore[arg-type]
            await page.screenshot(path=folder / f"{name}-{width}-{light}.png", full_page=True)


async def test_an_administrator_finds_a_person_sees_what_hangs_below_and_ends_it(site: Cluster, tmp_path: Path) -> None:
    # S5, R73, S18, S20
    folder = Path(os.environ.get("PICTURES", tmp_path))
    async with browser() as chromium, opened(chromium) as ann, opened(chromium) as admin:
        said: list[str] = []
        admin.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        for name in ("shop", "bank"):
            await ann.goto(f"{site.url}/{name}/orders")
            if name == "shop":
                await log_on(ann)
            await expect(ann.locator("#visits")).to_have_text("1")
        await admin.goto(f"{site.url}/console")
        await log_on(admin, name="root")
        await expect(admin.get_by_role("heading", name="Logons")).to_be_visible()
        await pictures(admin, folder, "1-logons")
        await admin.get_by_label("Person").fill("ann")
        await admin.get_by_role("button", name="Find").click()
        await expect(admin.get_by_role("heading", name="Ann Example")).to_be_visible()
        await admin.get_by_role("link", name="Ann Example").click()
        await expect(admin.locator(".tree > li")).to_have_count(3)  # shop, bank, and the page of the logon
        await pictures(admin, folder, "2-one")
        await admin.get_by_role("link", name="End this logon …").click()
        await expect(admin.get_by_role("heading")).to_have_text("End this logon?")
        await pictures(admin, folder, "3-confirm")
        await site.kill(0)
        await admin.get_by_role("button", name="End this logon").click()
        await expect(admin.get_by_text("1 logon ended")).to_be_visible()
        await pictures(admin, folder, "4-done")
        await site.start(0)
        for name in ("shop", "bank"):
            await ann.goto(f"{site.url}/{name}/orders")
            await expect(ann.get_by_role("heading")).to_have_text("Log on")
        await admin.get_by_role("link", name="Go on").click()
        await admin.get_by_role("link", name="End everything …").click()
        await expect(admin.get_by_role("alert")).to_contain_text("Your own logon")
        await pictures(admin, folder, "5-all")
        await admin.get_by_role("button", name="End everything").click()
        await expect(admin.get_by_text("You are logged off as well.")).to_be_visible()
        assert await admin.context.cookies() == []
        await admin.go_back()
        assert "Ann" not in await admin.inner_text("body")
        assert said == [], "no policy was broken, nothing failed"
    async with browser() as chromium, opened(chromium) as mallory:
        await mallory.goto(f"{site.url}/console")
        await log_on(mallory, name="mallory")
        await expect(mallory.get_by_text("that needs the role admin")).to_be_visible()
