"""T10: pages of others try to log a victim on as somebody else, or off, in Chromium (R49, R59).

One of them is a page of the same host at another port, whose requests carry the victim's cookies: same site, another
origin. One is of another site, one has no origin at all.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from e2e.cluster import Cluster
from e2e.security_world import SECRET, log_on, opened, site_at
from servers.browser import browser
from stores.stores import Place

expect.set_options(timeout=20_000)
SIBLING, STRANGER = "http://127.0.0.1:4", "http://localhost:4"
LOGON = f"<input name=name value=mallory><input name=password value='{SECRET}'><input name=next value='/shop/orders'>"
FORMS = {"logon": LOGON, "logout": "", "sessions": "<input name=others value=1>"}


@pytest.fixture
async def site(sqlite: Place, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with site_at(sqlite, tmp_path) as workers:
        yield workers


async def evil(page: Page, origin: str, html: str, **headers: str) -> None:
    """Show a page of the attacker's."""
    await page.unroute_all()
    await page.route(f"{origin}/**", lambda route: route.fulfill(body=html, content_type="text/html", headers=headers))
    await page.goto(f"{origin}/evil")


async def posts(page: Page) -> int:
    """Submit the page's form, and return what it is answered."""
    async with page.expect_navigation() as answered:
        await page.evaluate("document.forms[0].submit()")
    answer = await answered.value
    assert answer.request.method == "POST"
    return int(answer.status)


async def still_ann(page: Page, site: Cluster) -> None:
    await page.goto(f"{site.url}/shop/orders")
    await expect(page.get_by_role("heading")).to_contain_text("Ann Example")


@pytest.mark.parametrize("origin", [SIBLING, STRANGER])
async def test_a_form_of_anothers_page_logs_nobody_on_or_off(site: Cluster, origin: str) -> None:
    async with browser() as chromium, opened(chromium) as victim:
        await evil(victim, origin, f"<form method=post action='{site.url}/account/logon'>{LOGON}</form>")
        assert await posts(victim) == 403
        assert not [cookie for cookie in await victim.context.cookies() if "logon" in str(cookie["name"])]
        await victim.goto(f"{site.url}/shop/orders")
        await log_on(victim)
        await still_ann(victim, site)
        for path, fields in FORMS.items():
            for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
                action = f"{site.url}/account/{path}?_method=POST"
                await evil(victim, origin, f"<form method=post enctype='{kind}' action='{action}'>{fields}</form>")
                assert await posts(victim) in (400, 403)  # from afar no cookie comes along, and text is no form
        await still_ann(victim, site)


async def test_a_form_without_an_origin_logs_nobody_off(site: Cluster) -> None:
    async with browser() as chromium, opened(chromium) as victim:
        await victim.goto(f"{site.url}/shop/orders")
        await log_on(victim)
        form = f"<form method=post action='{site.url}/account/logout'></form>"
        await evil(victim, SIBLING, form, **{"content-security-policy": "sandbox allow-forms allow-scripts"})
        assert await posts(victim) == 403
        await evil(victim, SIBLING, form, **{"referrer-policy": "no-referrer"})
        assert await posts(victim) == 403
        await still_ann(victim, site)


async def test_what_a_page_sends_without_being_left_logs_nobody_off(site: Cluster) -> None:
    leave = f"{site.url}/account/logout"
    tricks = f"""
    <img src='{leave}'><iframe src='{leave}'></iframe><link rel=prefetch href='{leave}'>
    <script>
    window.tried = Promise.allSettled([
      fetch('{leave}', {{method: 'POST', mode: 'no-cors', credentials: 'include'}}),
      fetch('{leave}', {{method: 'POST', mode: 'no-cors', credentials: 'include', body: new URLSearchParams('a=1')}}),
      fetch('{leave}', {{method: 'POST', credentials: 'include', headers: {{'x-csrf-token': 'x'}}}}),
      fetch('{leave}', {{method: 'DELETE', credentials: 'include'}}),
      fetch('{leave}?_method=POST', {{mode: 'no-cors', credentials: 'include'}}),
      Promise.resolve(navigator.sendBeacon('{leave}')),
    ])
    </script>"""
    async with browser() as chromium, opened(chromium) as victim:
        await victim.goto(f"{site.url}/shop/orders")
        await log_on(victim)
        for origin in (SIBLING, STRANGER):
            await evil(victim, origin, tricks)
            await victim.evaluate("window.tried.then(() => 1)")
            assert [
                frame.url for frame in victim.frames[1:] if "logout" in frame.url and "Log out" in await frame.content()
            ] == []
        await still_ann(victim, site)
