"""T8: cookies are guessed in a flood: each is told of, none costs memory or a row, and others are served on (R67, R68).

How many guesses an address has is not limited by the middleware itself: an id has 256 bits, and a guess costs no more
than a visit. Logons have limits of their own (tests/web/test_passwords.py).
"""

import tracemalloc

import httpx2

from holdfast.core.events import Fact
from holdfast.core.ids import make_ids
from holdfast.stores.memory import memory_store
from web.test_middleware import Browser, Site, rows, site_on

NAMES = ("__Host-shop", "__Host-bank", "__Host-holdfast-logon")
WARM, FLOOD = 300, 1_000
MEGABYTE = 2**20


async def guess(site: Site, times: int) -> None:
    ids = make_ids()
    for number in range(times):
        jar = httpx2.Cookies()
        jar.set(NAMES[number % 3], ids.generate(), domain="site.example")
        answer = await Browser(site, jar).get("shop", "/", user_agent=f"bot/{number}")
        assert answer.json()["who"] is None
    told = [event for event in site.sink.events if event.fact is Fact.UNKNOWN_ID]
    assert len(told) == sum(name != NAMES[1] for name in (NAMES[number % 3] for number in range(times)))
    site.sink.events.clear()


async def test_guesses_leave_nothing_behind_and_disturb_nobody() -> None:
    async with site_on(memory_store()) as site:
        victim = Browser(site, httpx2.Cookies())
        await victim.get("shop", "/login/ann")
        site.sink.events.clear()
        before = await rows(site)
        await guess(site, WARM)
        tracemalloc.start()
        try:
            await guess(site, WARM)
            size = tracemalloc.get_traced_memory()[0]
            await guess(site, FLOOD)
            grown = tracemalloc.get_traced_memory()[0] - size
        finally:
            tracemalloc.stop()
        assert grown < MEGABYTE // 2, grown
        assert await rows(site) == before
        assert (await victim.seen("shop"))["who"] == "ann"
