"""T8: cookies are guessed in a flood: an address is slowed down and told of, nothing is kept of it (R67, R68, R75).

Others are served on, also from the same address. Logons have limits of their own (tests/web/test_passwords.py).
"""

import tracemalloc
from collections.abc import Sequence

import httpx2
import pytest

from e2e.wire import Wire
from holdfast._asgi import Receive, Scope, Send
from holdfast.config import Settings
from holdfast.core.events import Fact
from holdfast.core.ids import make_ids
from holdfast.stores.memory import memory_store
from web.test_middleware import Browser, Site, rows, site_on

NAMES = ("__Host-shop", "__Host-bank", "__Host-holdfast-logon")
NAVIGATES = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
FORGOTTEN, WARM, FLOOD = 1_100, 500, 1_500  # the store forgets full buckets a thousand at a time
BURST = 20
REMEMBERED = 200
MEGABYTE = 2**20


async def guess(site: Site, names: Sequence[str], **headers: str) -> httpx2.Response:
    ids, jar = make_ids(), httpx2.Cookies()
    for name in names:
        jar.set(name, ids.generate(), domain="site.example")
    return await Browser(site, jar).get("shop", "/", **headers)


def told(site: Site, fact: Fact) -> int:
    return sum(event.fact is fact for event in site.sink.events)


@pytest.mark.parametrize("names", [NAMES[:1], NAMES[2:], (NAMES[0], NAMES[2])])
async def test_who_guesses_is_refused_and_others_at_the_address_are_not(names: tuple[str, ...]) -> None:  # R75
    settings = Settings(rate_limit_unknown_ids=60, rate_burst=BURST)
    async with site_on(memory_store(), settings) as site:
        victim = Browser(site, httpx2.Cookies())
        await victim.get("shop", "/login/ann")
        site.sink.events.clear()
        statuses = [(await guess(site, names)).status_code for _ in range(3 * BURST)]
        assert statuses == [200] * BURST + [429] * 2 * BURST
        assert told(site, Fact.RATE_LIMITED) == 2 * BURST
        refused = await guess(site, names, **NAVIGATES)
        assert refused.json()["error"]["code"] == "rate_limited"
        assert refused.headers["retry-after"] == "1"
        cleared = refused.headers.get_list("set-cookie")
        assert len(cleared) == len(names), "an old cookie keeps nobody out: the next request comes without"
        assert all("Max-Age=0" in line for line in cleared)
        assert (await victim.seen("shop"))["who"] == "ann"
        assert (await Browser(site, httpx2.Cookies()).get("shop", "/")).status_code == 200
        site.clock.advance(1.0)
        assert [(await guess(site, names)).status_code for _ in range(2)] == [200, 429]


async def test_guesses_leave_nothing_behind_and_disturb_nobody(monkeypatch: pytest.MonkeyPatch) -> None:  # R67, R68
    monkeypatch.setattr("holdfast.web.rates.PURSES", REMEMBERED)  # of 10,000, so that the flood is past them
    ids = make_ids()
    async with site_on(memory_store()) as site:
        victim = Browser(site, httpx2.Cookies())
        await victim.get("shop", "/login/ann")

        async def over_tls(scope: Scope, receive: Receive, send: Send) -> None:
            await site.apps["shop"]({**scope, "scheme": "https"}, receive, send)

        async def flood(times: int) -> None:
            site.sink.events.clear()
            for number in range(times):
                site.clock.advance(0.2)  # buckets that are full again are forgotten
                wire = Wire(over_tls, path="/", client=f"2001:db8:{number:x}::1")
                cookie = f"{NAMES[number % 3]}={ids.generate()}"
                answer = await wire.send("GET", headers={"host": "site.example", "cookie": cookie})
                assert answer.json["who"] is None
            assert told(site, Fact.UNKNOWN_ID) == sum(number % 3 != 1 for number in range(times)), "shop reads no bank"
            assert told(site, Fact.RATE_LIMITED) == 0
            site.sink.events.clear()

        before = await rows(site)
        await flood(FORGOTTEN)
        tracemalloc.start()
        try:
            await flood(WARM)
            size = tracemalloc.get_traced_memory()[0]
            await flood(FLOOD)
            grown = tracemalloc.get_traced_memory()[0] - size
        finally:
            tracemalloc.stop()
        assert grown < MEGABYTE // 2, grown
        assert await rows(site) == before
        assert (await victim.seen("shop"))["who"] == "ann"
