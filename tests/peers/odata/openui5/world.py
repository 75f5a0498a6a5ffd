"""Two processes of our server behind a proxy, Chromium, and pages that show a model of OpenUI5."""

import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
from playwright.async_api import Browser, BrowserContext, Page, Route

from e2e.cluster import Cluster, cluster
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, State
from holdfast.core.sealing import new_key_text
from holdfast.engine import open_engine
from holdfast.odata.server.kind import STICKY, sticky_kind
from peers.odata.openui5.recorded import Recorder
from servers.browser import browser

HERE: Final = Path(__file__).parent
OPENUI5: Final = HERE.parent / "node_modules" / "@openui5" / "sap.ui.core" / "src"
PATIENCE_S: Final = 15.0
ORDERS: Final = [("1", "one", 1), ("2", "two", 2), ("3", "three", 3)]


class Tab:
    """A page with one model, and what it sends."""

    def __init__(self, page: Page, root: str) -> None:
        self.page, self.root = page, root
        self._recorder = Recorder(page, root)

    async def js(self, code: str) -> Any:
        """Run code in the page, with the model's functions in `s`; return what it returns."""
        with anyio.fail_after(PATIENCE_S):
            return await self.page.evaluate(f"async () => {{ let s = window.s; {code} }}")

    async def load(self, url: str) -> None:
        """Open the page, or load it again."""
        await self.page.goto(f"{url}/page/page.html")
        await self.page.wait_for_function("!!(window.holdfast && window.sap && sap.ui.require)")
        await self.page.evaluate("async root => { window.s = await holdfast.tab(root); }", self.root)

    async def id(self) -> str | None:
        """Return the id that the model holds."""
        found: str | None = await self.js("return s.id()")
        return found

    async def told(self) -> list[str]:
        """Return the ids of the sessions that the model told to be lost."""
        found: list[str] = await self.js("return s.told")
        return found

    async def lines(self) -> list[str]:
        """Return what the page has sent since the last call."""
        return await self._recorder.lines()


class World:
    """The servers, the browser, and the table of orders behind them."""

    def __init__(self, workers: Cluster, chromium: Browser, orders: Path, store: str, keys: str) -> None:
        self.workers, self._chromium, self._orders, self._store, self._keys = workers, chromium, orders, store, keys
        self._contexts: list[BrowserContext] = []

    async def tab(self, root: str = "/svc/", beside: Tab | None = None, *, clock: bool = False) -> Tab:
        """Open a page; `beside` another one it has the same cookies. With `clock` its time is the test's."""
        if beside is None:
            context = await self._chromium.new_context(locale="en")
            await context.route("**/resources/**", serve_files)
            self._contexts.append(context)
        else:
            context = beside.page.context
        tab = Tab(await context.new_page(), root)
        if clock:
            await tab.page.clock.install()
        await tab.load(self.workers.url)
        return tab

    async def fresh(self) -> None:
        """Close all pages, end all sessions, and put the orders as they were."""
        for context in self._contexts:
            await context.close()
        self._contexts.clear()
        await self.end_sessions()
        with sqlite3.connect(self._orders) as db:
            db.execute("DELETE FROM orders")
            db.executemany("INSERT INTO orders (ID, Note, Amount) VALUES (?, ?, ?)", ORDERS)

    def stored(self) -> dict[str, tuple[str, int]]:
        """Return note and amount of every order that is written."""
        with sqlite3.connect(self._orders) as db:
            return {key: (note, amount) for key, note, amount in db.execute("SELECT ID, Note, Amount FROM orders")}

    async def sessions(self) -> int:
        """Return how many sticky sessions are alive at the server."""
        async with self._manager() as manager:
            return len([one async for one in manager.each("kind", STICKY) if one.state is State.LIVE])

    async def end_sessions(self) -> None:
        """End them all, as an administrator may."""
        async with self._manager() as manager:
            for one in [one async for one in manager.each("kind", STICKY)]:
                await manager.end(one.ref, Reason.ADMIN)

    @asynccontextmanager
    async def _manager(self) -> AsyncIterator[Manager]:
        async with open_engine(self._store, kinds=(sticky_kind([]),), keys=self._keys, keeper=False) as engine:
            yield engine.manager


async def serve_files(route: Route) -> None:
    """Answer with one of OpenUI5's files, from the disk: a page asks for more than a hundred."""
    path = OPENUI5 / urlsplit(route.request.url).path.removeprefix("/resources/")
    if path.is_file():
        await route.fulfill(path=path)
    else:
        await route.fulfill(status=404)


@asynccontextmanager
async def openui5_world(folder: Path, store: str) -> AsyncIterator[World]:
    """Run the servers on a store, and the browser; the orders lie in `folder`."""
    orders, keys = folder / "orders.db", new_key_text()
    with sqlite3.connect(orders) as db:
        db.execute("CREATE TABLE orders (ID TEXT PRIMARY KEY, Note TEXT, Amount INTEGER)")
    command = [sys.executable, str(HERE / "orders_server.py")]
    env = {**os.environ, "HOLDFAST_KEYS": keys, "PYTHONPATH": str(HERE.parents[2])}
    async with (
        cluster(lambda port: [*command, str(port), store, str(orders)], env=env) as workers,
        browser() as chromium,
    ):
        yield World(workers, chromium, orders, store, keys)
