"""A real browser between two sites and SimpleSAMLphp: its cookies, the forms that send themselves, the way back."""

from pathlib import Path

import anyio
import pytest

from peers.saml.peers import PATIENCE
from peers.saml.test_simplesamlphp import world
from servers.browser import browser

WAIT_MS = 12_000.0


@pytest.mark.parametrize("logout", ["HTTP-Redirect", "HTTP-POST"])
async def test_a_person_logs_on_once_and_off_everywhere(tmp_path: Path, logout: str) -> None:  # S7, S8, S20, R45
    with anyio.fail_after(2 * PATIENCE):
        async with world(tmp_path, logout=logout) as (_, both), browser() as running:
            shop, bank = both.urls
            page = await (await running.new_context()).new_page()
            page.set_default_timeout(WAIT_MS)

            async def who(url: str) -> str:
                await page.goto(f"{url}/app/")
                return await page.inner_text("body")

            await page.goto(f"{shop}/saml/logon?next=/app/%3Fa%3D1")
            await page.fill("input[name=username]", "ann")
            await page.fill("input[name=password]", "pw")
            await page.press("input[name=password]", "Enter")
            await page.wait_for_url(f"{shop}/app/?a=1")
            assert '"who":"ann"' in await page.inner_text("body")
            await page.goto(f"{bank}/saml/logon?next=/app/")  # nobody is asked again
            await page.wait_for_url(f"{bank}/app/")
            assert '"who":"ann"' in await page.inner_text("body")

            await page.goto(f"{shop}/saml/logout")
            await page.click("text=Log out >> nth=-1")
            await page.wait_for_url(f"{shop}/saml/slo**")
            assert "You are logged out." in await page.inner_text("body")
            assert [('"who":null' in await who(url)) for url in both.urls] == [True, True]
