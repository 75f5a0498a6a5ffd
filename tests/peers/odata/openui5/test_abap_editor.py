"""The example page that edits ABAP objects (O14), in Chromium, at two servers and a simulated system."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from playwright.async_api import Page, expect

from e2e.abap_world import PASSWORD, USER, Sap, environment, simulator
from e2e.cluster import Cluster, cluster
from peers.odata.openui5.world import OPENUI5, serve_files
from servers.browser import browser

SERVE = Path(__file__).parents[4] / "examples" / "abap_editor" / "serve.py"
NAME = "ZCL_HF_GREETER"
PATIENCE_S = 90.0
expect.set_options(timeout=20_000)


class World:
    """The servers, the system, and the page in a browser."""

    def __init__(self, workers: Cluster, sap: Sap, page: Page) -> None:
        self.workers, self.sap, self.page = workers, sap, page

    async def state(self, text: str) -> None:
        await expect(self.page.locator("#state")).to_have_text(text)

    async def opened(self) -> str:
        """Search the object, open it, and return its source."""
        await self.page.fill("#query", "GREETER")
        await self.page.click("text=Search")
        await expect(self.page.locator("#objects li")).to_have_count(1)
        await self.page.click("#objects button")
        await self.state("reading")
        return await self.page.input_value("#source")

    async def editing(self) -> str:
        source = await self.opened()
        await self.page.click("#edit")
        await self.state("editing")
        assert await self.sap.locked() == [NAME]
        return source


@asynccontextmanager
async def editor(folder: Path) -> AsyncIterator[World]:
    with anyio.fail_after(PATIENCE_S):
        async with simulator() as url, httpx2.AsyncClient(timeout=20) as http, browser() as chromium:
            sap = {"sap_url": url, "sap_client": "001", "sap_user": USER, "sap_password": PASSWORD}
            store = {"store": f"sqlite:///{folder / 'holdfast.db'}"}
            env = {**os.environ, "XDG_DATA_HOME": str(folder), **environment({**sap, **store})}
            command = [sys.executable, str(SERVE), "--openui5", str(OPENUI5), "--port"]
            async with cluster(lambda port: [*command, str(port)], env=env) as workers:
                page = await chromium.new_page()
                await page.route("**/resources/**", serve_files)
                problems: list[str] = []
                page.on("pageerror", lambda error: problems.append(str(error)))
                await page.goto(f"{workers.url}/")
                yield World(workers, Sap(url, http), page)
                assert problems == []


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with editor(tmp_path) as world:
        yield world


async def test_a_class_is_edited_while_servers_die_and_is_active_when_it_is_saved(world: World) -> None:  # O10, O14
    source = await world.editing()
    page = world.page
    await page.fill("#source", source.replace("ENDMETHOD.", "ENDMETHOD", 1))
    await page.click("#check")
    await page.click("#messages >> text=/^Line \\d+$/")
    assert await page.evaluate("document.activeElement.id") == "source"
    await page.click("#save")
    await expect(page.locator("#messages")).to_contain_text(f"{NAME} has errors; nothing was written.")
    await world.state("editing")
    async with page.expect_response(lambda answer: answer.ok and "$batch" in answer.url):
        await page.fill("#source", source + '\n" from a page')
    for number in range(2):
        await world.workers.kill(number)
        try:
            await page.click("#check")
            await expect(page.locator("#messages")).to_have_text("No errors.")
        finally:
            await world.workers.start(number)
    await page.click("#save")
    await expect(page.locator("#messages")).to_have_text("Saved and active.")
    await world.state("reading")
    assert await world.sap.locked() == []
    await page.reload()
    assert await world.opened() == source + '\n" from a page'


async def test_what_is_discarded_is_unlocked_and_as_it_was(world: World) -> None:
    source = await world.editing()
    await world.page.fill("#source", "REPORT never.")
    await world.page.click("#discard")
    await world.state("reading")
    assert await world.page.input_value("#source") == source
    assert await world.sap.locked() == []


async def test_a_page_that_is_left_gives_the_lock_back(world: World) -> None:  # odata-sticky §3
    await world.editing()
    world.page.on("dialog", lambda dialog: dialog.accept())
    await world.page.goto("about:blank")
    await world.sap.free(NAME)


async def test_a_lost_session_is_told_and_the_text_stays(world: World) -> None:  # O16
    await world.editing()
    terminate = (
        "fetch('odata/abap/', {method: 'HEAD', headers: {...model.getHttpHeaders(true), 'sap-terminate': 'session'}})"
    )
    await world.page.evaluate(terminate)
    await world.page.fill("#source", "my text")
    await world.state("lost")
    await expect(world.page.locator("#messages")).to_contain_text("Your text is still here")
    assert await world.page.input_value("#source") == "my text"
    assert await world.sap.locked() == []
