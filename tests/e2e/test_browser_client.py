"""The example of a page that keeps its session (M27), in Chromium, against two server processes."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from playwright.async_api import Page, expect

from e2e.cluster import Cluster, cluster
from servers.browser import browser

SERVER = Path(__file__).parents[2] / "examples" / "mcp_browser.py"
PATIENCE_S = 90.0
expect.set_options(timeout=20_000)


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[Cluster]:
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    with anyio.fail_after(PATIENCE_S):
        async with cluster(lambda port: [sys.executable, str(SERVER), str(port), store]) as workers:
            yield workers


@asynccontextmanager
async def opened(workers: Cluster, query: str = "") -> AsyncIterator[Page]:
    """Open the page; it must have said nothing to the console that is an error of its own."""
    async with browser() as chromium:
        page = await chromium.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(f"{workers.url}/{query}")
        await expect(page.locator("#state")).to_have_text("live")
        yield page
        assert problems == []


async def session_of(page: Page) -> str:
    return str(await page.evaluate("sessionStorage.getItem('mcp-session-id')"))


async def says(page: Page, text: str) -> None:
    await page.locator("#text").fill(text)
    await page.locator("#echo button").first.click()
    await expect(page.locator("#answer")).to_have_text(text)


async def events(page: Page, name: str) -> int:
    return await page.locator("#events li", has_text=f"{name} ").count()


async def test_a_page_goes_on_with_its_session_when_servers_die_and_when_it_is_loaded_again(workers: Cluster) -> None:
    async with opened(workers) as page:
        session_id = await session_of(page)
        await says(page, "grüß dich")
        assert session_id not in await page.inner_text("body")  # eight digits are enough to know it by
        for victim in (0, 1):
            await workers.kill(victim)
            await says(page, f"without {victim}")
            await workers.start(victim)
        await workers.cut()
        await expect(page.locator("#events li", has_text="session-resumed").first).to_be_visible()
        await page.reload()
        await expect(page.locator("#state")).to_have_text("live")
        await says(page, "after the reload")
        assert await session_of(page) == session_id
        assert session_id not in page.url


async def test_a_session_that_has_ended_is_replaced_without_losing_the_call(workers: Cluster) -> None:
    async with opened(workers) as page:
        session_id = await session_of(page)
        async with httpx2.AsyncClient() as http:
            await http.delete(f"{workers.url}/mcp", headers={"x-session-id": session_id})
        await says(page, "still here")
        assert await session_of(page) not in ("", session_id)


async def test_a_stream_that_falls_silent_is_given_up_for_another(workers: Cluster) -> None:
    async with opened(workers, "?silence=1500") as page:
        session_id = await session_of(page)
        frozen = [workers.pid(number) for number in (0, 1)]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            await expect(page.locator("#state")).to_have_text("waiting")
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        await expect(page.locator("#state")).to_have_text("live")
        assert await session_of(page) == session_id


async def test_who_leaves_ends_the_session(workers: Cluster) -> None:
    async with opened(workers) as page:
        session_id = await session_of(page)
        await page.locator("#leave").click()
        await expect(page.locator("#state")).to_have_text("left")
        async with httpx2.AsyncClient() as http:
            answer = await http.post(
                f"{workers.url}/mcp",
                json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
                headers={"x-session-id": session_id},
            )
        assert answer.status_code == 404
        assert await page.evaluate("sessionStorage.length") == 0
        if folder := os.environ.get("SCREENSHOTS"):
            await page.screenshot(path=f"{folder}/session.png")
