"""T38: what an attacker calls themselves, or their device, runs in nobody's browser: not on pages, not in the API."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.async_api import Page, expect

from e2e.cluster import Cluster
from e2e.security_world import ADMIN_TOKEN, log_on, opened, site_at
from servers.browser import browser
from stores.stores import Place

expect.set_options(timeout=20_000)
SCRIPT = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1><svg onload=window.pwned=1>"
BREAKING = "\"'><script>window.pwned=1</script>"
ASIDE = "</h2></title></style><script>window.pwned=1</script>{{7*7}}${7*7}"


@pytest.fixture
async def site(sqlite: Place, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with site_at(sqlite, tmp_path, shown=SCRIPT) as workers:
        yield workers


async def harmless(page: Page) -> None:
    """Check that nothing of it has run, and nothing of it is an element."""
    assert await page.evaluate("window.pwned === undefined")
    assert await page.evaluate("document.querySelectorAll('script, img, svg, [onload], [onerror]').length") == 0


@pytest.mark.parametrize("agent", [SCRIPT, BREAKING, ASIDE])
async def test_names_of_people_and_devices_are_text(site: Cluster, agent: str) -> None:
    async with (
        browser() as chromium,
        opened(chromium, user_agent=agent) as attacker,
        opened(chromium) as owner,
        opened(chromium) as admin,
    ):
        for page in (attacker, owner):
            await page.goto(f"{site.url}/account/logon?next={SCRIPT}")
            await harmless(page)
            await log_on(page, "a wrong one", name=BREAKING)
            await expect(page.get_by_role("alert")).to_be_visible()
            await expect(page.get_by_label("Name")).to_have_value(BREAKING)
            await harmless(page)
            await log_on(page)
            await page.wait_for_url("**/shop/orders")
        await owner.goto(f"{site.url}/account/sessions")
        await expect(owner.get_by_role("listitem")).to_have_count(2)
        await expect(owner.get_by_role("heading", name=agent[:60])).to_be_visible()
        await harmless(owner)
        await admin.goto(f"{site.url}/console/logons?user=ann&application=")
        await log_on(admin, name="root")
        await expect(admin.get_by_role("heading", name=SCRIPT)).to_have_count(2)
        await harmless(admin)
        handles = await admin.eval_on_selector_all("h2[id]", "all => all.map(one => one.id.slice(6))")
        names = [f"logons/{handle}" for handle in handles] + [f"end?logon={handle}" for handle in handles]
        names += [f"{path}?{what}={quote(SCRIPT)}" for path in ("logons", "end") for what in ("user", "application")]
        for name in ("end?user=ann", *names):
            await admin.goto(f"{site.url}/console/{name}")
            await expect(admin.locator("h1")).to_be_visible()
            await harmless(admin)
        await owner.goto(f"{site.url}/account/logout")
        await expect(owner.get_by_text(SCRIPT)).to_be_visible()
        await harmless(owner)


async def test_the_administrators_api_is_no_page(site: Cluster) -> None:
    async with (
        browser() as chromium,
        opened(chromium, user_agent=SCRIPT) as attacker,
        opened(chromium, extra_http_headers={"authorization": f"Bearer {ADMIN_TOKEN}"}) as admin,
    ):
        await attacker.goto(f"{site.url}/account/logon")
        await log_on(attacker)
        await attacker.wait_for_url("**/shop/orders")
        answer = await admin.goto(f"{site.url}/admin/logons?user=ann")
        assert answer is not None
        assert SCRIPT in (await answer.json())["logons"][0]["logon"]["device"]
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        await harmless(admin)
