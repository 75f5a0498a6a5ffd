"""The ready-made pages: logon, logout, one's own sessions."""

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from holdfast.core.events import Fact
from holdfast.identity.attempts import Most
from holdfast.identity.facts import IssuerUnavailable
from holdfast.web.account import Account, Elsewhere
from holdfast.web.account.devices import in_words
from holdfast.web.passwords import PasswordLogon
from holdfast.web.security import Logon
from web.account_world import LOGON, LOGOUT, SECRET, SESSIONS, SITE, Browser, World, site_of, world

AT_HOME = Browser(None).agent
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"


@pytest.fixture(params=[True, False], ids=["inside", "beside"])
async def site(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with world(tmp_path, inside=request.param) as made:
        yield made


def handles(page: httpx2.Response) -> list[str]:
    """Return the handles of the logons that a page offers to end."""
    return re.findall(r'name="end" value="([0-9a-f]+)"', page.text)


async def test_who_logs_on_is_where_they_wanted_to_be_and_logs_out_of_everything(site: World) -> None:  # S7, S20, R49
    browser = site.browser()
    sent = await browser.get("/orders?a=1&b=2")
    assert (sent.status_code, sent.headers["location"]) == (303, f"{LOGON}?next=%2Forders%3Fa%3D1%26b%3D2")
    form = await browser.get(sent.headers["location"])
    assert (form.status_code, 'value="/orders?a=1&amp;b=2"' in form.text) == (200, True)
    gone_on = await browser.log_on(to="/orders?a=1&b=2")
    assert (gone_on.status_code, gone_on.headers["location"]) == (303, "/orders?a=1&b=2")
    assert (await browser.get("/orders?a=1&b=2")).json() == {"who": "ann", "query": "a=1&b=2", "seen": 1}
    asked = await browser.get(LOGOUT)
    assert "Ann Example" in asked.text
    assert await browser.who() == "ann"
    left = await browser.post(LOGOUT)
    assert (left.status_code, "clear-site-data" in left.headers) == (303, True)
    assert "logged out" in (await browser.get(LOGOUT)).text
    assert await browser.who() is None


async def test_a_wrong_password_says_nothing_about_the_name(site: World) -> None:  # R70, T7, E34
    browser = site.browser()
    answers = []
    for name, password in (("ann", "wrong one"), ("nobody", "wrong one"), ("a:b", "wrong one"), ("ann", "")):
        answer = await browser.log_on(name, password)
        answers.append((answer.status_code, answer.text.replace(f'value="{name}"', "")))
    assert {status for status, _ in answers} == {403}
    assert len(set(answers)) == 1
    failed = [event for event in site.sink.events if event.fact is Fact.LOGON_FAILED]
    assert [event.owner for event in failed] == ["ann", "", "", "ann"]
    assert all(event.address == "10.0.0.1" for event in failed)
    assert not [event for event in failed if "wrong one" in repr(event) or "nobody" in repr(event)]
    assert await browser.who() is None


async def test_too_many_failures_stop_an_account_at_an_address_for_a_while(tmp_path: Path) -> None:  # R75
    async with world(tmp_path, most=Most(pair=3, window=60.0)) as site:
        browser = site.browser()
        for _ in range(3):
            assert (await browser.log_on(password="wrong one")).status_code == 403
        refused = await browser.log_on("ANN")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert (await site.browser(address="10.0.0.2").log_on()).status_code == 303
        site.clock.now += 60.0
        assert (await browser.log_on()).status_code == 303


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example",
        "/\\evil.example",
        "\\evil",
        "https://evil.example/",
        "data:text/html,x",
        "javascript:alert(1)",
        "/\t/evil.example",
        "evil",
        "",
        "/" + "x" * 5000,
        "/ü",
    ],
)
async def test_nobody_is_sent_to_another_site(site: World, to: str) -> None:  # S20, T31
    browser = site.browser()
    assert 'name="next" value="/"' in (await browser.get(LOGON + "?" + str(httpx2.QueryParams({"next": to})))).text
    assert (await browser.log_on(to=to)).headers["location"] == "/"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": SITE, "sec_fetch_site": "cross-site"},
        {"origin": SITE, "sec_fetch_site": "same-site"},
        {"origin": "http://site.example"},
        {},
    ],
)
async def test_a_form_of_another_site_does_nothing(site: World, headers: dict[str, str]) -> None:  # T10, R59
    victim = site.browser()
    forged = await victim.ask("POST", LOGON, {"name": "bob", "password": SECRET}, **headers)
    assert (forged.status_code, "set-cookie" in forged.headers) == (403, False)
    await victim.log_on()
    for path, data in ((LOGOUT, {}), (SESSIONS, {"others": "1"})):
        assert (await victim.ask("POST", path, data, **headers)).status_code == 403
    assert await victim.who() == "ann"


async def test_ones_sessions_are_shown_with_device_address_and_use(site: World) -> None:  # S13, R36
    here, phone = site.browser(), site.browser(agent=PHONE, address="10.0.0.9")
    await phone.log_on()
    await phone.get("/orders")
    site.clock.now += 600.0
    await here.log_on()
    page = await here.get(SESSIONS)
    assert page.status_code == 200
    assert page.text.index("Firefox on Linux") < page.text.index("this one") < page.text.index("Safari on iPhone")
    assert "10.0.0.9" in page.text
    assert "14 November 2023, 22:13 UTC" in page.text
    assert "<dd>shop</dd>" in page.text
    assert len(handles(page)) == 1
    assert not [jar.jar for jar in (here, phone) for value in dict(jar.jar).values() if value in page.text]
    assert "bob" not in page.text


async def test_one_ends_another_device_and_all_others(site: World) -> None:  # S13, R34, R36
    here, phone, tablet = site.browser(), site.browser(agent=PHONE), site.browser(agent=PHONE)
    for browser in (here, phone, tablet):
        await browser.log_on()
        site.clock.now += 1.0
    ended = await here.post(SESSIONS, {"end": handles(await here.get(SESSIONS))[0]})
    assert (ended.status_code, ended.headers["location"]) == (303, SESSIONS)
    assert [await browser.who() for browser in (here, phone, tablet)] == ["ann", "ann", None]
    await here.post(SESSIONS, {"others": "1"})
    assert [await browser.who() for browser in (here, phone)] == ["ann", None]


async def test_ending_another_session_takes_a_fresh_logon(site: World) -> None:  # R36, S14
    here, phone = site.browser(), site.browser(agent=PHONE)
    await phone.log_on()
    await here.log_on()
    [other] = handles(await here.get(SESSIONS))
    site.clock.now += 601.0
    for data in ({"end": other}, {"others": "1"}):
        sent = await here.post(SESSIONS, data)
        assert (sent.status_code, sent.headers["location"]) == (303, f"{LOGON}?next={SESSIONS}&anew=1")
    assert await phone.who() == "ann"
    form = await here.get(f"{LOGON}?next={SESSIONS}")
    assert "Confirm that it is you" in form.text
    assert 'value="ann"' in form.text
    assert (await here.log_on(to=SESSIONS)).headers["location"] == SESSIONS
    await here.post(SESSIONS, {"end": other})
    assert await phone.who() is None


async def test_anothers_handle_answers_as_one_that_never_was(site: World) -> None:  # R36, T7
    ann, bob = site.browser(), site.browser()
    await bob.log_on("bob")
    await ann.log_on()
    [foreign] = [one.handle for one in await site.running.logons.listed("bob")]
    answers = []
    for handle in (foreign, "0" * 32, "", "x" * 9000, dict(bob.jar)["__Host-holdfast-logon"]):
        answer = await ann.post(SESSIONS, {"end": handle})
        answers.append((answer.status_code, answer.text))
    assert {status for status, _ in answers} == {404}
    assert len(set(answers)) == 1
    assert await bob.who() == "bob"


async def test_ending_ones_own_session_is_logging_out(site: World) -> None:
    browser = site.browser()
    await browser.log_on()
    [own] = [one.handle for one in await site.running.logons.listed("ann")]
    assert (await browser.post(SESSIONS, {"end": own})).headers["location"] == LOGOUT
    assert await browser.who() is None


async def test_who_is_not_logged_on_sees_no_sessions(site: World) -> None:
    browser = site.browser()
    assert (await browser.get(SESSIONS)).headers["location"] == f"{LOGON}?next={SESSIONS}"
    assert (await browser.post(SESSIONS, {"others": "1"})).headers["location"] == f"{LOGON}?next={SESSIONS}"
    assert (await browser.get("/account/")).headers["location"] == SESSIONS


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202eevil", "a\x1b[31mb"]
)
async def test_what_a_client_says_is_text_and_no_markup(site: World, text: str) -> None:  # T38
    browser = site.browser(agent=text if text.isascii() else "curl/8")
    for name in (text, "ann"):
        answer = await browser.log_on(name, "wrong one", to=f"/{text}")
        assert text not in answer.text
    logon = Logon(subject=text, method="password", at=site.clock.now, name=text, device=text, address=text)
    session = await site.running.logons.begin(logon)
    browser.jar = httpx2.Cookies({"__Host-holdfast-logon": str(session.id)})
    for path in (SESSIONS, LOGOUT, LOGON):
        page = await browser.get(path)
        assert page.status_code == 200
        assert text not in html.unescape(page.text).replace("\\u", "") or text not in page.text
        assert re.findall(r"<(?:script|img)", page.text) == []


async def test_every_page_is_kept_by_nobody_and_runs_no_script(site: World) -> None:  # R13, T37, T38
    browser = site.browser()
    for path in (LOGON, LOGOUT, SESSIONS, "/account/nothing", SESSIONS + ".css"):
        for _ in range(2):
            page = await browser.get(path)
            policy = page.headers.get("content-security-policy", "")
            assert page.headers["cache-control"] == "no-store"
            assert page.status_code == 303 or "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert " style=" not in page.text
            assert not re.search(r"<script|\son\w+=", page.text)
        await browser.log_on()
        await browser.post(LOGOUT)
    assert (await browser.get("/account/nothing")).status_code == 404
    assert (await browser.post("/account/style.css")).status_code == 404
    assert (await browser.ask("PUT", LOGON, origin=SITE)).status_code == 405
    assert (await browser.get("/account/style.css")).headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"name=ann&name=bob", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % number for number in range(30)), "application/x-www-form-urlencoded", 400),
        (b"name=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 400),
        (b"name=" + b"x" * 20_000, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_what_is_no_form_is_refused(site: World, content: bytes, kind: str, status: int) -> None:
    transport = httpx2.ASGITransport(site.app)
    async with httpx2.AsyncClient(transport=transport, base_url=SITE) as client:
        answer = await client.post(LOGON, content=content, headers={"content-type": kind, "origin": SITE})
    assert answer.status_code == status


class Provider:
    """A provider that ends some of what it is told of."""

    def __init__(self, *stays: str, down: bool = False) -> None:
        self.stays, self.down, self.told = list(stays), down, list[str]()

    def knows(self, logon: Logon) -> bool:
        return logon.issuer == "https://id.example"

    async def reaches(self, logon: Logon) -> bool:
        return not self.down

    async def ended(self, logon: Logon) -> list[str]:
        self.told.append(logon.sid)
        if self.down:
            raise IssuerUnavailable("down")
        return self.stays


async def test_other_ways_to_log_on_are_offered_and_ended_where_they_belong(tmp_path: Path) -> None:  # S7, S19
    async with world(tmp_path) as site:
        provider = Provider("payroll")
        other = Elsewhere(title="Example ID", logon="/oidc/login", logout="/oidc/logout", federation=provider)
        account = Account(site.security, PasswordLogon(site.passwords), elsewhere=[other])
        browser = Browser(site_of(site.security, account))
        form = await browser.get(f"{LOGON}?next=/orders%3Fa%3D1")
        assert 'href="/oidc/login?next=%2Forders%3Fa%3D1"' in form.text
        stronger = await browser.get(f"{LOGON}?next=/orders&level=2")
        assert 'href="/oidc/login?next=%2Forders&amp;level=2"' in stronger.text
        assert 'type="password"' not in stronger.text
        session = await site.running.logons.begin(
            Logon(issuer="https://id.example", subject="ann", method="oidc", at=site.clock.now)
        )
        browser.jar = httpx2.Cookies({"__Host-holdfast-logon": str(session.id)})
        assert "next=%2Forders&amp;anew=1" in (await browser.get(f"{LOGON}?next=/orders&anew=1")).text
        assert 'action="/oidc/logout"' in (await browser.get(LOGOUT)).text
        site.security.federations.append(provider)
        left = await browser.post(LOGOUT)
        assert "payroll" in left.text
        assert await browser.who() is None


async def logged_on_elsewhere(site: World, *sids: str) -> list[Browser]:
    """Return browsers that somebody has logged on with at a provider, each in one of its sessions."""
    browsers = []
    for sid in sids:
        logon = Logon(issuer="https://id.example", subject="ann", method="saml", at=site.clock.now, sid=sid)
        browser = site.browser()
        session = await site.running.logons.begin(logon)
        browser.jar = httpx2.Cookies({"__Host-holdfast-logon": str(session.id)})
        browsers.append(browser)
    return browsers


@pytest.mark.parametrize(
    ("provider", "shown"),
    [
        (Provider(), ""),
        (Provider("payroll"), "payroll"),
        (Provider(down=True), "https://id.example"),
        (None, "https://id.example"),
    ],
)
async def test_the_provider_is_told_of_each_session_that_its_owner_ends_or_the_page_says_that_it_stays(
    site: World, provider: Provider | None, shown: str
) -> None:  # S13, S19, R45
    if provider is not None:
        provider.told.clear()
        site.security.federations.append(provider)
    here, phone, tablet, watch = await logged_on_elsewhere(site, "s1", "s2", "s3", "s4")
    listed = await site.running.logons.listed("https://id.example|ann|")
    [one] = [other.handle for other in listed if other.logon.sid == "s2"]
    for data, told, living in (
        ({"end": one}, ["s2"], ["ann", None, "ann", "ann"]),
        ({"others": "1"}, ["s2", "s3", "s4"], ["ann", None, None, None]),
    ):
        ended = await here.post(SESSIONS, data)
        assert [await browser.who() for browser in (here, phone, tablet, watch)] == living
        assert provider is None or sorted(provider.told) == told
        if shown:
            assert (ended.status_code, f"still be logged on at {shown}." in ended.text) == (200, True)
        else:
            assert (ended.status_code, ended.headers["location"]) == (303, SESSIONS)
    await here.post(SESSIONS, {"others": "1"})
    assert provider is None or len(provider.told) == 3


async def change(browser: Browser, **fields: str) -> httpx2.Response:
    given = {"password": SECRET, "fresh": "another horse", "again": "another horse", **fields}
    return await browser.post("/account/password", given)


async def test_who_changes_their_password_stays_under_new_ids_and_is_logged_off_elsewhere(
    site: World,
) -> None:  # R34, R8
    here, phone = site.browser(), site.browser(agent=PHONE)
    for browser in (here, phone):
        await browser.log_on()
        await browser.get("/orders")
    before = dict(here.jar)
    assert "/account/password" in (await here.get(SESSIONS)).text
    assert (await here.get("/account/password")).status_code == 200
    changed = await change(here)
    assert (changed.status_code, changed.headers["location"]) == (303, SESSIONS)
    assert [await browser.who() for browser in (here, phone)] == ["ann", None]
    stolen = site.browser()
    stolen.jar = httpx2.Cookies({"__Host-holdfast-logon": before["__Host-holdfast-logon"]})
    assert await stolen.who() is None
    assert (await site.browser().log_on()).status_code == 403
    assert (await site.browser().log_on(password="another horse")).status_code == 303


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"password": "wrong one"}, 403), ({"again": "other horse"}, 400), ({"fresh": "short", "again": "short"}, 400)],
)
async def test_a_password_is_changed_by_who_knows_it_and_types_a_good_one_twice(
    site: World, fields: dict[str, str], status: int
) -> None:  # R34
    here, phone = site.browser(), site.browser()
    for browser in (here, phone):
        await browser.log_on()
    refused = await change(here, **fields)
    assert (refused.status_code, 'role="alert"' in refused.text) == (status, True)
    assert not [value for value in (SECRET, "another horse", *fields.values()) if f'"{value}"' in refused.text]
    assert [await browser.who() for browser in (here, phone)] == ["ann", "ann"]
    assert (await site.browser().log_on()).status_code == 303


async def test_who_has_no_password_here_changes_none(site: World) -> None:
    visitor = site.browser()
    assert (await change(visitor)).headers["location"].startswith(LOGON)
    logon = Logon(issuer="https://id.example", subject="ann", method="oidc", at=site.clock.now)
    session = await site.running.logons.begin(logon)
    visitor.jar = httpx2.Cookies({"__Host-holdfast-logon": str(session.id)})
    assert "/account/password" not in (await visitor.get(SESSIONS)).text
    assert (await visitor.get("/account/password")).status_code == 404
    assert (await change(visitor)).status_code == 404
    assert (await site.browser().log_on()).status_code == 303


async def test_without_a_password_file_there_is_no_form(tmp_path: Path) -> None:
    async with world(tmp_path) as site:
        browser = Browser(site_of(site.security, Account(site.security)))
        assert 'type="password"' not in (await browser.get(LOGON)).text
        assert (await browser.log_on()).status_code == 400


@pytest.mark.parametrize(
    ("agent", "words"),
    [(AT_HOME, "Firefox on Linux"), (PHONE, "Safari on iPhone"), ("curl/8", "curl/8"), ("", "An unknown program")],
)
def test_a_device_is_named_in_a_few_words(agent: str, words: str) -> None:
    assert in_words(agent) == words
