"""What is asked of any web session and is nobody's in particular: live records, activity, open answers, step-up."""

import math
from typing import Any

import anyio
import httpx2
import pytest

from core.outage import AWAY, switched
from holdfast._asgi import Message, Receive, Scope, Send
from holdfast.core.events import Fact
from holdfast.core.model import Reason
from holdfast.stores.memory import memory_store
from holdfast.web.middleware import login, require
from holdfast.web.security import Logon
from web.test_middleware import HOST, Browser, Site, site, site_on
from web.test_visit import copy, logged_on, raw, serve

__all__ = ["site"]

DAY = 86_400.0
DEADLINE_S = 5.0


async def ended(site: Site, browser: Browser) -> None:
    await site.running.logons.end_all("ann", Reason.ADMIN)


async def unused(site: Site, browser: Browser) -> None:
    site.clock.now += 1801.0


async def too_old(site: Site, browser: Browser) -> None:
    site.clock.now += DAY


async def removed(site: Site, browser: Browser) -> None:
    """The rows are gone, as from a store that was lost."""
    records = [record async for record in site.running.manager.each("all", b"")]
    for record in sorted(records, key=lambda record: record.parent is None):
        await site.running.manager.store.sessions.delete([record.ref])


async def altered(site: Site, browser: Browser) -> None:
    for name in dict(browser.jar):
        value = browser.jar[name]
        browser.jar.set(name, ("B" if value[0] == "A" else "A") + value[1:], domain="site.example")


@pytest.mark.parametrize("gone", [ended, unused, too_old, removed, altered])
async def test_cookies_without_a_live_record_are_a_visitors_at_every_address(site: Site, gone: Any) -> None:  # R5, R19
    browser = await logged_on(site, "shop", "bank")
    assert (await browser.get("shop", "/orders")).status_code == 200
    stale = copy(browser)  # whatever a browser does with its cookies
    await gone(site, stale)
    for app in ("shop", "bank"):
        assert (await copy(stale).seen(app))["who"] is None
        assert (await copy(stale).get(app, "/orders")).status_code == 401
        assert (await copy(stale).get(app, "/put?a=1")).status_code == 200, "as for any visitor"
        assert (await copy(stale).seen(app))["data"] == {}


async def test_reading_writes_nothing_until_the_threshold_has_passed_and_then_once(site: Site) -> None:  # R24
    browser = await logged_on(site, "shop")
    await browser.get("shop", "/put?a=1")
    writes: list[str] = []

    def row(record: Any) -> Any:
        return record.version, record.used_at, record.slid_at, record.busy_until

    async def rows() -> dict[bytes, Any]:
        return {record.key: row(record) async for record in site.running.manager.each("all", b"")}

    before = await rows()
    for _ in range(100):
        site.clock.now += 0.1
        await browser.seen("shop")
        writes += ["early"] if await rows() != before else []
    assert writes == []
    site.clock.now += 30.0
    await browser.seen("shop")
    later = await rows()
    assert len([key for key in later if later[key] != before[key]]) == 1
    await browser.seen("shop")
    assert await rows() == later


async def test_an_answer_that_goes_on_is_cut_off_when_its_session_ends(site: Site) -> None:  # R37, T26
    browser = await logged_on(site, "shop")
    sent: list[Message] = []

    async def events(scope: Scope, receive: Receive, send: Send) -> None:
        await require(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        sent.append({"type": "begun"})
        await anyio.sleep_forever()

    serve(site, events)

    async def listen() -> None:
        await raw(site, "shop", browser)
        sent.append({"type": "over"})

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            while not sent:
                await anyio.sleep(0)
            await site.running.logons.end_all("ann", Reason.ADMIN)
    assert [message["type"] for message in sent] == ["begun", "over"]


async def test_a_websocket_is_closed_when_its_session_ends(site: Site) -> None:  # R37, R61
    browser = await logged_on(site, "shop")
    accepted = anyio.Event()

    async def chat(scope: Scope, receive: Receive, send: Send) -> None:
        await require(scope)
        await send({"type": "websocket.accept"})
        accepted.set()
        await anyio.sleep_forever()

    serve(site, chat)
    headers = [(b"host", b"site.example"), (b"origin", HOST.encode())]
    cookie = "; ".join(f"{name}={value}" for name, value in browser.jar.items()).encode()
    said: list[Message] = []

    async def open_it() -> None:
        said.extend(await raw(site, "shop", browser, kind="websocket", headers=[*headers, (b"cookie", cookie)]))

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(open_it)
            await accepted.wait()
            await site.running.logons.end_all("ann", Reason.ADMIN)
    assert [(message["type"], message.get("code")) for message in said] == [
        ("websocket.accept", None),
        ("websocket.close", 1008),
    ]


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("age", [0.0, 59.0, 60.0, 61.0, 600.0])
async def test_sensitive_addresses_ask_for_a_fresh_and_strong_logon(site: Site, age: float, level: int) -> None:
    # R57, ASVS 7.5.1, 7.5.3: all of age and strength against all that may be asked for
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        query = dict(pair.split("=") for pair in scope["query_string"].decode().split("&"))
        if scope["path"] == "/login":
            await login(scope, "ann", level=int(query["level"]))
        else:
            await require(scope, max_age=float(query["age"]), level=int(query["level"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    serve(site, handler)
    browser = Browser(site, httpx2.Cookies())
    await browser.get("shop", f"/login?level={level}")
    site.clock.now += age
    for most, least in ((60.0, 1), (60.0, 2), (60.0, 3), (math.inf, 2), (0.0, 1)):
        answer = await browser.get("shop", f"/secret?age={most}&level={least}")
        fits = age <= most and level >= least
        assert answer.status_code == (200 if fits else 401), (most, least)
        assert fits or answer.json()["error"]["code"] == "step_up_needed"
    old = copy(browser)
    await browser.get("shop", "/login?level=3")
    assert (await browser.get("shop", "/secret?age=60&level=3")).status_code == 200, "the same logon, raised"
    assert (await old.get("shop", "/secret?age=60&level=1")).status_code == 401, "under new ids"


@pytest.mark.parametrize("jump", [-DAY, -3600.0, 60.0])
async def test_a_clock_that_jumps_brings_nothing_back_that_was_ended_and_ends_nobody(site: Site, jump: float) -> None:
    # R31, T34: forward, by less than the idle time
    browser, gone = await logged_on(site, "shop"), await logged_on(site, "shop", who="bob")
    await browser.get("shop", "/put?a=1")
    thief = copy(gone)
    await gone.get("shop", "/logout")
    [before] = [one async for one in site.running.manager.each("owner", "ann") if one.kind == "http"]
    site.clock.now += jump
    assert (await browser.seen("shop"))["who"] == "ann"
    assert (await thief.seen("shop"))["who"] is None
    [after] = [one async for one in site.running.manager.each("owner", "ann") if one.kind == "http"]
    assert after.used_at >= before.used_at, "a use is never taken back"
    assert after.ends_at == before.ends_at
    assert Fact.CLOSING_FAILED not in [event.fact for event in site.sink.events]


async def test_every_end_says_why(site: Site) -> None:  # R39, R71
    logons, keeper = site.running.logons, site.running.engine.keeper

    async def by(reason: Reason) -> None:
        told = {event.reason for event in site.sink.events if event.fact in (Fact.ENDED, Fact.REPLACED)}
        site.sink.events.clear()
        assert told == {reason}

    ann = await logged_on(site, "shop")
    await ann.get("shop", "/logout")
    await by(Reason.LOGOUT)
    first, second = await logged_on(site, "shop"), await logged_on(site, "shop")
    mine, _ = [await logons.load(browser.jar["__Host-holdfast-logon"], touch=False) for browser in (first, second)]
    await logons.end_others(mine)
    await by(Reason.SECURITY)
    await logons.end_all("ann")
    await by(Reason.ADMIN)
    for _ in range(101):
        await logons.begin(Logon(subject="eve", method="password", at=0.0))
    await by(Reason.REPLACED)
    await site.running.engine.manager.open("http", client="192.0.2.9")
    site.clock.now += 1801.0
    await keeper.sweep()
    await by(Reason.IDLE)
    site.clock.now += DAY
    await keeper.sweep()
    await by(Reason.EXPIRED)


async def test_while_the_store_is_away_nobody_is_served_and_nobody_is_logged_out_by_it() -> None:  # R69, T33
    store, switch = switched(memory_store())
    async with site_on(store) as site:
        browser = await logged_on(site, "shop")
        for away in AWAY:
            switch.set(away)
            for path in ("/", "/orders", "/put?a=1"):
                answer = await copy(browser).get("shop", path)
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable"), path
                assert int(answer.headers["retry-after"]) >= 1
                assert "set-cookie" not in answer.headers, "no cookie is taken away"
            switch.set("up")
            assert (await browser.get("shop", "/orders")).json() == "ann"
