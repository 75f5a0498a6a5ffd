"""The administrator's console: who may do what, what is shown, what is ended, and what is said of it."""

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.routing import Mount

from holdfast.core.events import Fact
from holdfast.core.kinds import Kind
from holdfast.core.model import Reason, State
from holdfast.engine import open_engine
from holdfast.errors import ConfigurationError
from holdfast.stores.memory import memory_store
from holdfast.web.administration import Console
from holdfast.web.administration.administrator import MOST_TRIPS, Administrator
from holdfast.web.administration.tree import arranged, counted
from holdfast.web.csrf import FIELD, new_token
from holdfast.web.kinds import KINDS
from holdfast.web.security import Logon, Logons
from web.account_world import SECRET, SITE, Browser, World, world

LOGONS, END = "/console/logons", "/console/end"
STALE_S = 901.0
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/142.0 Safari/537.36"
HOSTILE = "</h2><script>x</script>\"'\u202e"


class Provider:
    """A provider that can be told, or not, and keeps somebody logged on at one of its systems."""

    def __init__(self, issuer: str, *, told: bool) -> None:
        self.issuer, self._told, self.heard = issuer, told, list[str]()

    def knows(self, logon: Logon) -> bool:
        return logon.issuer == self.issuer

    async def reaches(self, logon: Logon) -> bool:
        return self._told

    async def ended(self, logon: Logon) -> list[str]:
        self.heard.append(logon.subject)
        return ["payroll"] if self._told else [self.issuer]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, inside=False) as made:
        made.passwords.add("root", SECRET, roles=("admin",), shown="Root")
        made.app.routes.insert(0, Mount("/console", Console(made.security)))
        yield made


async def administrator(site: World) -> Browser:
    browser = site.browser()
    await browser.log_on("root", to=LOGONS)
    return browser


async def logged_on(site: World, name: str = "ann", *, agent: str = WINDOWS) -> Browser:
    browser = site.browser(agent=agent)
    await browser.log_on(name)
    await browser.get("/orders")
    return browser


def proof_in(page: httpx2.Response) -> str:
    found = re.search(rf'name="{FIELD}" value="([^"]+)"', page.text)
    return found[1] if found else ""


def handles(page: httpx2.Response) -> list[str]:
    return re.findall(r'<h2 id="about-([0-9a-f]{32})">', page.text)


async def confirmed(admin: Browser, query: dict[str, str], **more: str) -> httpx2.Response:
    """Ask for an end, read what will happen, and press the button."""
    asked = await admin.get(f"{END}?{httpx2.QueryParams(query)}")
    assert asked.status_code == 200, asked.text
    [to] = re.findall(r'<form method="post" action="([^"]+)">', asked.text)
    return await admin.post(html.unescape(to), {**more, FIELD: proof_in(asked)})


async def test_an_administrator_looks_ends_one_and_the_trail_says_who_it_was(site: World) -> None:  # S5, R73, R39
    victim, other = await logged_on(site), await logged_on(site, "bob")
    admin = await administrator(site)
    page = await admin.get(LOGONS)
    assert len(handles(page)) == 3
    assert "Ann Example" in page.text
    assert "Chrome on Windows" in page.text
    [handle] = handles(await admin.get(f"{LOGONS}?user=ann"))
    asked = await admin.get(f"{END}?logon={handle}")
    assert "Below it: http (2)." in asked.text
    assert await victim.who() == "ann", "asking ends nothing"
    done = await confirmed(admin, {"logon": handle})
    assert (done.status_code, "1 logon ended" in done.text) == (200, True)
    assert [await victim.who(), await other.who()] == [None, "bob"]
    [forced] = [event for event in site.sink.events if event.fact is Fact.FORCED_END]
    assert (forced.owner, forced.detail, forced.address) == ("ann", "root", "10.0.0.1")
    assert (await admin.get(f"{LOGONS}/{handle}")).status_code == 404


async def test_an_administrator_ends_a_persons_logons_an_applications_sessions_and_all(site: World) -> None:
    # S5, R32, R33, R35
    ann, phone, bob = await logged_on(site), await logged_on(site), await logged_on(site, "bob")
    admin = await administrator(site)
    done = await confirmed(admin, {"user": "ann"})
    assert "2 logons ended" in done.text
    assert [await browser.who() for browser in (ann, phone, bob)] == [None, None, "bob"]
    assert "1 session of shop ended" in (await confirmed(admin, {"application": "shop"})).text
    assert (await bob.get("/orders")).json()["seen"] == 1, "logged on still, and its data gone"
    done = await confirmed(admin, {"all": "yes"})
    assert "All sessions ended, 2 logons among them." in done.text
    assert "You are logged off as well." in done.text
    assert await bob.who() is None
    assert (await admin.get(LOGONS)).status_code == 303
    assert {event.detail for event in site.sink.events if event.fact is Fact.FORCED_END} == {"root"}


async def test_who_may_do_what(site: World) -> None:  # R73, S14: the permission matrix
    victim = await logged_on(site, "bob")
    stale = await administrator(site)
    site.clock.now += STALE_S
    nobody, person, fresh = site.browser(), await logged_on(site), await administrator(site)
    [handle] = handles(await fresh.get(f"{LOGONS}?user=bob"))
    proof = proof_in(await fresh.get(f"{END}?user=bob"))
    looks = (LOGONS, f"{LOGONS}/{handle}")
    asks = tuple(f"{END}?{query}" for query in ("user=bob", f"logon={handle}", "application=shop", "all=yes"))
    for browser, look, ask, post in (
        (nobody, 303, 303, 401),
        (person, 403, 403, 403),
        (stale, 200, 303, 401),
        (fresh, 200, 200, 200),
    ):
        for path, status in (*((path, look) for path in looks), *((path, ask) for path in asks)):
            answer = await browser.get(path)
            assert answer.status_code == status, path
            assert status == 200 or "bob" not in answer.text
            assert status != 303 or answer.headers["location"].startswith("/account/logon?next=%2Fconsole%2F")
        own = browser.jar.get("__Host-holdfast-console")
        answer = await browser.post(f"{END}?user=bob", {FIELD: new_token(own) if own else proof})
        assert (answer.status_code, await victim.who()) == (post, None if browser is fresh else "bob")


async def test_a_logon_that_is_not_fresh_is_proven_anew_and_leads_back_to_what_was_asked_for(site: World) -> None:
    # S14, S20
    await logged_on(site)
    admin = await administrator(site)
    site.clock.now += STALE_S
    sent = await admin.get(f"{END}?user=ann")
    assert sent.headers["location"] == "/account/logon?next=%2Fconsole%2Fend%3Fuser%3Dann&anew=1"
    back = await admin.log_on("root", to=f"{END}?user=ann")
    assert back.headers["location"] == f"{END}?user=ann"
    asked = await admin.get(f"{END}?user=ann")
    site.clock.now += STALE_S
    late = await admin.post(f"{END}?user=ann", {FIELD: proof_in(asked)})
    assert (late.status_code, f'href="{END}?user=ann"' in late.text) == (401, True)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": SITE, "sec_fetch_site": "cross-site"},
        {"origin": SITE, "sec_fetch_site": "same-site"},
    ],
)
async def test_a_form_of_another_site_ends_nothing_even_with_a_token(site: World, headers: dict[str, str]) -> None:
    # R73, R59, T9
    victim, admin = await logged_on(site), await administrator(site)
    proof = proof_in(await admin.get(f"{END}?all=yes"))
    assert (await admin.ask("POST", f"{END}?all=yes", {FIELD: proof}, **headers)).status_code == 403
    assert await victim.who() == "ann"


async def test_a_form_of_this_site_ends_nothing_without_the_sessions_own_token(site: World) -> None:  # R73, R58
    victim, admin, other = await logged_on(site), await administrator(site), await administrator(site)
    theirs = proof_in(await other.get(f"{END}?all=yes"))
    for fields in ({}, {FIELD: ""}, {FIELD: "x"}, {FIELD: theirs}):
        assert (await admin.post(f"{END}?all=yes", fields)).status_code == 403
    assert await victim.who() == "ann"


@pytest.mark.parametrize(
    "fields", [{}, {"all": "no"}, {"all": "yes", "user": "ann"}, {"user": ""}, {"user": "ann", "application": "shop"}]
)
async def test_nothing_is_ended_by_leaving_something_out(site: World, fields: dict[str, str]) -> None:
    victim, admin = await logged_on(site), await administrator(site)
    proof = proof_in(await admin.get(f"{END}?user=ann"))
    assert (await admin.get(f"{END}?{httpx2.QueryParams(fields)}")).status_code == 400
    assert (await admin.post(f"{END}?{httpx2.QueryParams(fields)}", {FIELD: proof})).status_code == 400
    assert await victim.who() == "ann"


async def test_what_is_not_there_is_said_so(site: World) -> None:  # T7
    admin = await administrator(site)
    visitor = await site.running.logons.open_http("shop")
    for handle in ("0" * 32, visitor.key.hex(), "x", "%00", "0" * 999):
        for path in (f"{LOGONS}/{handle}", f"{END}?logon={handle}"):
            assert (await admin.get(path)).status_code == 404
    assert (await admin.get(f"{END}?user=nobody")).status_code == 404
    assert (await admin.get("/console/other")).status_code == 404
    assert (await admin.post(LOGONS, {FIELD: proof_in(await admin.get(f"{END}?all=yes"))})).status_code == 405
    assert (await admin.get(f"{LOGONS}?after=x")).status_code == 404
    assert (await admin.get(f"{LOGONS}?user=a&user=b")).status_code == 400
    assert "There are none." in (await admin.get(f"{LOGONS}?user=nobody")).text


async def test_pages_have_no_ids_no_scripts_and_are_kept_and_framed_by_nobody(site: World) -> None:
    # R73, R7, R13, R62
    victim = await logged_on(site)
    admin = await administrator(site)
    [handle] = handles(await admin.get(f"{LOGONS}?user=ann"))
    for path in (LOGONS, f"{LOGONS}/{handle}", f"{END}?logon={handle}", f"{END}?all=yes"):
        page = await admin.get(path)
        for secret in (*dict(victim.jar).values(), *dict(admin.jar).values()):
            assert secret not in page.text
        policy = page.headers["content-security-policy"]
        assert policy == (
            "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        )
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script|<style| style=| on\w+=", page.text)
    look = await admin.get("/console/style.css")
    assert (look.headers["content-type"], ".tree" in look.text) == ("text/css; charset=utf-8", True)
    [cookie] = [c for c in admin.jar.jar if c.name == "__Host-holdfast-console"]
    assert "strict" in str(cookie._rest).lower()  # type: ignore[attr-defined]


async def test_logons_come_page_by_page_with_what_they_are_looked_for_by(site: World) -> None:  # R73
    for number in range(45):
        who = Logon(subject=f"p{number}", method="password", at=site.clock.now)
        session = await site.running.logons.begin(who)
        await site.running.logons.open_http("shop" if number % 3 else "bank", below=session)
    admin = await administrator(site)
    found, path = await all_pages(admin, f"{LOGONS}?application=bank"), LOGONS
    assert (len(found), len(set(found))) == (15, 15)
    every = await all_pages(admin, path)
    assert (len(every), len(set(every))) == (46, 46)


async def all_pages(admin: Browser, path: str) -> list[str]:
    found: list[str] = []
    while path:
        page = await admin.get(path)
        found += handles(page)
        more = re.search(r'<a href="([^"]+)">More</a>', page.text)
        path = html.unescape(more[1]) if more else ""
    return found


async def test_a_page_asks_for_a_bounded_part_of_what_there_is(site: World, monkeypatch: Any) -> None:  # R73
    session = await site.running.logons.begin(Logon(subject="ann", method="password", at=0.0))
    for _ in range(30):
        await site.running.manager.open("http", parent=session, owner="ann", label="shop")
    sessions, asked = site.running.manager.store.sessions, list[int]()
    find = sessions.find

    async def counted_find(index: Any, value: Any, *, after: bytes = b"", count: int = 100) -> Any:
        if index == "owner":
            asked.append(count)
        return await find(index, value, after=after, count=count)

    monkeypatch.setattr(sessions, "find", counted_find)
    who = Administrator(site.running.manager, by="root")
    found, after, trips = [], "", list[int]()
    while not trips or after:
        page = await who.page(user="ann", count=1, after=after)
        found += page.logons
        after = page.after
        trips.append(sum(asked))
        asked.clear()
    assert len(found) == 1
    assert max(trips) <= MOST_TRIPS < sum(trips), "each page looks at some of them"


ODD = Kind(name="odd")


async def test_the_tree_below_a_logon_has_kinds_that_nobody_here_knows(tmp_path: Path) -> None:  # R73, E14
    store = memory_store()
    async with world(tmp_path, inside=False, store=store) as site:
        site.passwords.add("root", SECRET, roles=("admin",))
        site.app.routes.insert(0, Mount("/console", Console(site.security)))
        async with open_engine(
            store, keys=site.running.manager.keys, kinds=[*KINDS, ODD], keeper=False, clock=site.clock
        ) as other:
            logon = await Logons(other.manager).begin(Logon(subject="ann", method="oidc", at=0.0))
            above = await other.manager.open("odd", parent=logon, owner="ann", label=f"desk {HOSTILE}", named=False)
            below = await other.manager.open("odd", parent=above, owner="ann", label="DEV drawer 1700000000")
            gone = await other.manager.open("odd", parent=above, owner="ann", label="shelf")
            await other.manager.end(gone, Reason.CLIENT)
        admin = await administrator(site)
        [handle] = handles(await admin.get(f"{LOGONS}?user=ann"))
        page = (await admin.get(f"{LOGONS}/{handle}")).text
        assert page.index("desk ") < page.index("DEV drawer</span>") < page.index("</main>")
        assert page.count("<strong>odd</strong>") == 3
        assert '<span class="here">ending</span>' in page
        assert "<script" not in page
        assert str(below.id) not in page
        assert "Below it: odd (2)." in (await admin.get(f"{END}?logon={handle}")).text
        assert "1 logon ended" in (await confirmed(admin, {"logon": handle})).text


async def test_a_large_tree_comes_page_by_page_and_nothing_of_it_is_left_out(site: World) -> None:  # R73
    session = await site.running.logons.begin(Logon(subject="ann", method="password", at=0.0))
    for _ in range(7):
        child = await site.running.manager.open("http", parent=session, owner="ann", label="shop")
        await site.running.manager.open("http", parent=child, owner="ann", label="below")
    who, after, marks = Administrator(site.running.manager, by="root"), "", list[str]()
    while True:
        tree = await who.below(session.key.hex(), after=after, count=4)
        marks += [mark for node in tree.nodes for mark in (node.mark, *(one.mark for one in node.below))]
        if not (after := tree.after):
            break
    assert (len(marks), len(set(marks))) == (14, 14)


async def test_what_is_over_or_ending_does_not_count_as_what_will_end(site: World) -> None:
    session = await site.running.logons.begin(Logon(subject="ann", method="password", at=0.0))
    await site.running.manager.open("http", parent=session, owner="ann")
    records = [record async for record in site.running.manager.each("tree", session.key)]
    [now] = arranged(session.key, records, site.clock.now)
    [later] = arranged(session.key, records, site.clock.now + 10_000.0)
    assert (now.state, later.state) == (State.LIVE, "over")
    assert (counted([now]), counted([later])) == ({"http": 1}, {})


async def test_the_console_says_before_and_after_which_systems_stay_logged_on(site: World) -> None:  # S19
    good, mute = Provider("https://id.example", told=True), Provider("https://mute.example", told=False)
    site.security.federations += [good, mute]
    for issuer in (good.issuer, mute.issuer, "https://unknown.example"):
        await site.running.logons.begin(Logon(issuer=issuer, subject="eve", method="saml", at=site.clock.now))
    admin = await administrator(site)

    async def ended(issuer: str, **more: str) -> tuple[str, str]:
        principal = Logon(issuer=issuer, subject="eve", method="saml", at=0.0).principal
        asked = html.unescape((await admin.get(f"{END}?{httpx2.QueryParams({'user': principal})}")).text)
        return asked, (await confirmed(admin, {"user": principal}, **more)).text

    asked, done = await ended(good.issuer)
    assert "https://id.example will be told" in asked
    assert "may still be logged on at payroll" in done
    asked, done = await ended(mute.issuer)
    assert "They stay logged on at https://mute.example" in asked
    assert "may still be logged on at https://mute.example" in done
    asked, done = await ended("https://unknown.example", local="yes")
    assert "They stay logged on at https://unknown.example" in asked
    assert "may still" not in done
    assert (good.heard, mute.heard) == (["eve"], ["eve"])


async def test_names_are_text_on_every_page(site: World) -> None:  # T38
    hostile = Logon(
        issuer=HOSTILE, subject=HOSTILE, name=HOSTILE, method=HOSTILE, at=0.0, address=HOSTILE, device=HOSTILE
    )
    session = await site.running.logons.begin(hostile)
    await site.running.logons.open_http(HOSTILE, below=session)
    admin = await administrator(site)
    query = httpx2.QueryParams({"user": hostile.principal})
    [handle] = handles(await admin.get(f"{LOGONS}?{query}"))
    paths = [f"{LOGONS}?{query}", f"{LOGONS}/{handle}", f"{END}?{query}", f"{END}?logon={handle}"]
    paths += [f"{one}?{httpx2.QueryParams({'application': HOSTILE})}" for one in (LOGONS, END)]
    for path in paths:
        page = await admin.get(path)
        assert (page.status_code, "<script" in page.text, "\u202e" in page.text) == (200, False, False), path
        assert html.escape("</h2><script>x</script>") in page.text
    assert "1 logon ended" in (await confirmed(admin, {"user": hostile.principal})).text


async def test_an_administrator_who_ends_their_own_logon_is_told_before_and_after(site: World) -> None:
    admin = await administrator(site)
    assert "Your own logon ends with it" in (await admin.get(f"{END}?user=root")).text
    assert "Your own logon" not in (await admin.get(f"{END}?application=shop")).text
    done = await confirmed(admin, {"user": "root"})
    assert "You are logged off as well." in done.text
    assert (await admin.get(LOGONS)).status_code == 303


async def test_the_console_goes_on_when_its_own_sessions_are_ended(site: World) -> None:
    admin = await administrator(site)
    done = await confirmed(admin, {"application": "holdfast-console"})
    assert (done.status_code, "1 session of holdfast-console ended" in done.text) == (200, True)
    assert (await admin.get(LOGONS)).status_code == 200


async def test_the_console_is_an_application_of_its_own(tmp_path: Path) -> None:  # R73, S1
    async with world(tmp_path) as site:  # within the shop's sessions
        site.app.routes.append(Mount("/console", Console(site.security)))
        with pytest.raises(ConfigurationError):
            await site.browser().get(LOGONS)
