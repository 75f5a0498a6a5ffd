"""T5: Device Bound Session Credentials as Chromium has them, with keys of software, over two processes (R52, R55)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from playwright.async_api import Page

from attacks.web_world import NOBODY, WebTarget, web_target
from servers.browser import browser
from stores.stores import Place

FEATURES = "--enable-features=DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting"
BOUND = "holdfast-bound"
PATIENCE = 20.0
MOST_PROOFS = 50  # more than Chromium signs within some minutes


class Device:
    """A page of the site in Chromium."""

    def __init__(self, target: WebTarget, page: Page) -> None:
        self.target, self.page = target, page
        self.url = target.workers.url.replace("127.0.0.1", "localhost")

    async def cookies(self) -> dict[str, str]:
        return {one.get("name", ""): one.get("value", "") for one in await self.page.context.cookies()}

    async def show(self) -> Any:
        answer = await self.page.goto(f"{self.url}/")
        assert answer is not None
        return await answer.json()

    async def log_on(self) -> None:
        """Log on, and wait until the logon is bound and has to show it."""
        await self.show()
        await self.page.evaluate("fetch('/login/ann', {method: 'POST'})")
        with anyio.fail_after(PATIENCE):
            while BOUND not in await self.cookies():
                await anyio.sleep(0.05)
        self.later(30)

    async def let_it_end(self) -> None:
        """Take the bound cookie away, as at the end of its time."""
        await self.page.context.clear_cookies(name=BOUND)

    def later(self, seconds: float) -> None:
        (self.target.folder / "seconds_ahead").write_text(str(seconds))


@asynccontextmanager
async def chromium(place: Place, folder: Path, **settings: str) -> AsyncIterator[Device]:
    named = {f"DBSC__{name.upper()}": value for name, value in settings.items()}
    settled = {"DBSC__ENABLED": "true", **named}
    async with web_target(place, folder, settings=settled) as target, browser(FEATURES) as running:
        yield Device(target, await running.new_page())


async def test_chromium_registers_a_key_and_gets_a_fresh_cookie_whenever_it_has_none(
    sqlite: Place, tmp_path: Path
) -> None:  # R52
    async with chromium(sqlite, tmp_path) as device:
        await device.log_on()
        values = set()
        for _ in range(3):
            assert (await device.show())["who"] == "ann"
            values.add((await device.cookies())[BOUND])
            await device.let_it_end()
        assert len(values) == 3
        assert not device.target.told("fingerprint_mismatch")


async def test_cookies_that_were_copied_from_chromium_are_nobodys_after_ten_minutes(
    sqlite: Place, tmp_path: Path
) -> None:  # T5, R52
    async with chromium(sqlite, tmp_path) as device:
        await device.log_on()
        thief = device.target.browser(await device.cookies())
        assert (await thief.seen())["who"] == "ann"
        device.later(700)
        assert await thief.seen() == NOBODY
        await device.let_it_end()
        assert (await device.show())["who"] == "ann"


async def test_chromium_says_when_it_signs_no_more_and_goes_on_if_that_was_chosen(
    sqlite: Place, tmp_path: Path
) -> None:  # R55
    async with chromium(sqlite, tmp_path, skipped="allow") as device:
        await device.log_on()
        for _ in range(MOST_PROOFS):
            await device.let_it_end()
            assert (await device.show())["who"] == "ann"
            if BOUND not in await device.cookies():
                break
        told = [event["detail"] for event in device.target.told("fingerprint_mismatch")]
        assert told == ["bound cookie skipped, quota_exceeded: allow"]


async def test_chromium_forgets_the_key_of_a_logon_that_has_ended(sqlite: Place, tmp_path: Path) -> None:  # R53
    async with chromium(sqlite, tmp_path) as device:
        await device.log_on()
        await device.target.browser().post("/end/ann")
        await device.let_it_end()
        assert await device.show() == NOBODY
        assert BOUND not in await device.cookies()
        await device.log_on()
        assert (await device.show())["who"] == "ann"
