"""A site with people, two applications and the ready-made pages, at two processes behind the random proxy; browsers."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from playwright.async_api import Browser, Page

from e2e.cluster import Cluster, cluster
from holdfast.core.sealing import new_key_text
from holdfast.identity.passwords import Cost, Passwords
from stores.stores import Place

SERVER = Path(__file__).with_name("security_server.py")
SECRET = "correct horse"
ADMIN_TOKEN = "administrators-have-this-token-0123456789"
PATIENCE_S = 120.0


@asynccontextmanager
async def site_at(place: Place, folder: Path, *, shown: str = "Ann Example") -> AsyncIterator[Cluster]:
    """Run the site on a store; `shown` is what ann is called on its pages."""
    people = Passwords(folder / "people", cost=Cost(passes=1, memory=1024, lanes=1))
    people.add("ann", SECRET, shown=shown)
    people.add("mallory", SECRET)
    people.add("root", SECRET, roles=("admin",), shown="Root")
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")},
        "HOLDFAST_STORE": place.url,
        "HOLDFAST_NAMESPACE": place.namespace,
        "HOLDFAST_KEYS": new_key_text(),
        "HOLDFAST_ADMIN_TOKEN": ADMIN_TOKEN,
    }
    command = [sys.executable, str(SERVER)]
    with anyio.fail_after(PATIENCE_S):
        async with cluster(lambda port: [*command, str(port), str(people.file.path)], env=env) as workers:
            yield workers


@asynccontextmanager
async def opened(chromium: Browser, **more: Any) -> AsyncIterator[Page]:
    """Open a window of its own, with its own cookies."""
    context = await chromium.new_context(**more)
    yield await context.new_page()
    await context.close()


async def log_on(page: Page, password: str = SECRET, *, name: str = "ann") -> None:
    """Fill in the form that is shown."""
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log on").click()
