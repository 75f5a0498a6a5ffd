"""Chromium, for tests of pages: `make setup` installs it where it may; elsewhere such tests are skipped, and say so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright
from scripts.browser import found


@asynccontextmanager
async def browser(*switches: str) -> AsyncIterator[Browser]:
    """Run a browser without a window, with some switches of its command line."""
    path = found()
    if path is None:
        pytest.skip("no Chromium is installed, and `make setup` may not install one")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *switches])
        try:
            yield running
        finally:
            await running.close()
