"""The administrator's API: who may, what is listed, what is ended, what is told."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from starlette.routing import Mount

from holdfast.cli.remote import RemoteAdministrator
from holdfast.core.events import Fact
from holdfast.errors import BadInput, NotFound, StoreUnavailable
from holdfast.web.administration import Administration, Ended
from holdfast.web.security import Logon
from web.account_world import SITE, Browser, World, world

TOKEN = "administrators-have-this-token-0123456789"
BY_TOKEN = {"authorization": f"Bearer {TOKEN}"}


class Provider:
    """A provider that keeps somebody logged on at one of its systems."""

    told: list[str]

    def __init__(self) -> None:
        self.told = []

    def knows(self, logon: Logon) -> bool:
        return logon.issuer == "https://id.example"

    async def reaches(self, logon: Logon) -> bool:
        return True

    async def ended(self, logon: Logon) -> list[str]:
        self.told.append(logon.subject)
        return ["payroll"]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        made.security.settings.admin_token = SecretStr(TOKEN)
        made.app.routes.append(Mount("/admin", Administration(made.security)))
        yield made


async def ask(site: World, method: str, path: str, **headers: str) -> httpx2.Response:
    return await Browser(site.app).ask(method, "/admin" + path, **{**BY_TOKEN, **headers})


async def listed(site: World, query: str = "") -> list[Any]:
    return list((await ask(site, "GET", "/logons" + query)).json()["logons"])


async def test_logons_are_listed_page_by_page_without_any_id(site: World) -> None:  # S5, R73, R7
    browsers = [site.browser() for _ in range(5)]
    for browser in browsers:
        await browser.log_on()
        await browser.get("/orders")
    await site.browser().log_on("bob")
    seen, after, pages = [], "", 0
    while pages == 0 or after:
        answer = await ask(site, "GET", f"/logons?count=2&after={after}")
        assert answer.headers["cache-control"] == "no-store"
        assert not [value for browser in browsers for value in dict(browser.jar).values() if value in answer.text]
        page = answer.json()
        seen += [one["handle"] for one in page["logons"]]
        after, pages = page.get("after", ""), pages + 1
    assert (len(seen), len(set(seen))) == (6, 6)
    assert pages >= 3
    assert [one["logon"]["subject"] for one in await listed(site, "?user=bob")] == ["bob"]
    assert len(await listed(site, "?application=shop&user=ann")) == 5
    assert await listed(site, "?application=bank") == []
    [one] = await listed(site, "?user=bob")
    assert (await ask(site, "GET", f"/logons/{one['handle']}")).json() == one


async def test_an_administrator_ends_one_a_users_an_applications_and_all(site: World) -> None:  # S5, R32, R33, R35
    ann, phone, bob, visitor = (site.browser() for _ in range(4))
    for browser, name in ((ann, "ann"), (phone, "ann"), (bob, "bob")):
        await browser.log_on(name)
    handle = next(iter(await listed(site, "?user=bob")))["handle"]
    assert (await ask(site, "DELETE", f"/logons/{handle}")).json()["logons"] == 1
    assert (await ask(site, "DELETE", f"/logons/{handle}")).status_code == 404
    assert await bob.who() is None
    assert (await ask(site, "DELETE", "/logons?user=ann")).json()["logons"] == 2
    assert [await browser.who() for browser in (ann, phone)] == [None, None]
    await ann.log_on()
    await ann.get("/orders")
    assert (await ask(site, "DELETE", "/logons?application=shop")).json()["sessions"] >= 1
    assert (await ann.get("/orders")).json()["seen"] == 1  # logged on still, and its data gone
    await bob.log_on("bob")
    assert (await ask(site, "DELETE", "/logons?all=yes")).json()["logons"] == 2
    assert [await browser.who() for browser in (ann, bob, visitor)] == [None] * 3
    assert await listed(site) == []


async def test_all_end_at_once_however_many_there_are_and_no_row_is_written(site: World) -> None:  # R35
    browsers = [site.browser() for _ in range(3)]
    for browser in browsers:
        await browser.log_on()
    before = [record async for record in site.running.manager.each("all", b"")]
    site.clock.now += 1
    assert (await ask(site, "DELETE", "/logons?all=yes&local=yes")).json() == {"logons": 0, "sessions": 0, "stays": []}
    assert [await browser.who() for browser in browsers] == [None] * 3
    assert [record async for record in site.running.manager.each("all", b"")] == before
    [forced] = [event for event in site.sink.events if event.fact is Fact.FORCED_END]
    assert (forced.kind, forced.detail[:6], forced.address) == ("all", "token:", "10.0.0.1")
    site.clock.now += 1
    await browsers[0].log_on()
    assert [await browser.who() for browser in browsers] == ["ann", None, None]


async def test_each_end_is_in_the_audit_trail_with_who_did_it(site: World) -> None:  # R73, R39
    await site.browser().log_on()
    await ask(site, "DELETE", "/logons?user=ann")
    [forced] = [event for event in site.sink.events if event.fact is Fact.FORCED_END]
    assert (forced.owner, forced.reason, forced.address) == ("ann", "admin", "10.0.0.1")
    assert forced.detail.startswith("token:")
    assert TOKEN not in repr(site.sink.events)


@pytest.mark.parametrize(
    "path",
    ["/logons", "/logons?user=ann&application=shop", "/logons?all=no", "/logons?all=yes&user=ann", "/logons?user="],
)
async def test_nothing_is_ended_by_leaving_something_out(site: World, path: str) -> None:
    browser = site.browser()
    await browser.log_on()
    assert (await ask(site, "DELETE", path)).status_code == 400
    assert await browser.who() == "ann"


async def test_only_administrators_may(site: World) -> None:  # R73
    victim = site.browser()
    await victim.log_on("bob")
    handle = next(iter(await listed(site)))["handle"]
    clerk = site.browser()
    await clerk.log_on()
    for method, path in (("GET", "/logons"), ("GET", f"/logons/{handle}"), ("DELETE", f"/logons/{handle}")):
        for browser, headers, status in (
            (site.browser(), {}, 401),
            (site.browser(), {"authorization": "Bearer wrong"}, 401),
            (site.browser(), {"authorization": "Basic YTpi"}, 401),
            (clerk, {"origin": SITE}, 403),
        ):
            answer = await browser.ask(method, "/admin" + path, accept="application/json", **headers)
            assert (answer.status_code, "logons" in answer.text) == (status, False)
    assert await victim.who() == "bob"
    assert next(event.detail for event in site.sink.events if event.fact is Fact.LOGON_FAILED).startswith(
        "administrator"
    )


async def test_a_token_is_not_guessed_at_for_long(site: World) -> None:  # R75, T8
    guesser = site.browser(address="10.9.9.9")
    statuses = [
        (await guesser.get("/admin/logons", authorization=f"Bearer {number}")).status_code for number in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
    assert (await ask(site, "GET", "/logons")).status_code == 200


async def log_on_as_admin(site: World, *, at: float) -> Browser:
    session = await site.running.logons.begin(Logon(subject="root", method="password", at=at, roles=("admin",)))
    browser = site.browser()
    browser.jar = httpx2.Cookies({"__Host-holdfast-logon": str(session.id)})
    return browser


async def test_an_administrator_who_is_logged_on_needs_role_freshness_and_a_page_of_this_site(
    site: World,
) -> None:  # R73, S14, T9
    victim = site.browser()
    await victim.log_on()
    stale = await log_on_as_admin(site, at=site.clock.now - 901.0)
    refused = await stale.get("/admin/logons", accept="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "step_up_needed")
    admin = await log_on_as_admin(site, at=site.clock.now)
    assert (await admin.get("/admin/logons", accept="application/json")).status_code == 200
    path = "/admin/logons?user=ann"
    for headers in ({}, {"origin": "https://evil.example"}, {"origin": SITE, "sec_fetch_site": "cross-site"}):
        assert (await admin.ask("DELETE", path, **headers)).status_code == 403
    assert await victim.who() == "ann"
    assert (await admin.ask("DELETE", path, origin=SITE)).json()["logons"] == 1
    assert [event.detail for event in site.sink.events if event.fact is Fact.FORCED_END] == ["root"]


async def test_what_is_not_there_answers_as_what_never_was(site: World) -> None:  # T7
    visitors = await site.running.logons.open_http("shop")
    answers = []
    for handle in ("0" * 32, visitors.key.hex(), "x", "%00", "0" * 31, "0" * 999):
        for method in ("GET", "DELETE"):
            answer = await ask(site, method, f"/logons/{handle}")
            answers.append((answer.status_code, answer.text))
    assert len(set(answers)) == 1
    assert answers[0][0] == 404
    assert (await ask(site, "POST", "/logons")).status_code == 405
    assert (await ask(site, "GET", "/other")).status_code == 404
    assert (await ask(site, "GET", "/logons?count=201")).status_code == 400


async def test_the_issuer_of_a_logon_is_told_and_who_stays_logged_on_is_said(site: World) -> None:  # S19
    provider = Provider()
    site.security.federations.append(provider)

    async def begin(subject: str, issuer: str = "https://id.example") -> None:
        await site.running.logons.begin(Logon(issuer=issuer, subject=subject, method="saml", at=0.0))

    for subject in ("ann", "bob"):
        await begin(subject)
    await begin("eve", "https://other.example")
    principal = Logon(issuer="https://id.example", subject="ann", method="saml", at=0.0).principal
    ended = await ask(site, "DELETE", f"/logons?user={httpx2.URL(principal)}")
    assert ended.json() == {"logons": 1, "sessions": 0, "stays": ["payroll"]}
    assert provider.told == ["ann"]
    [eve] = [one["handle"] for one in await listed(site) if one["logon"]["subject"] == "eve"]
    assert (await ask(site, "DELETE", f"/logons/{eve}")).json()["stays"] == ["https://other.example"]
    assert (await ask(site, "DELETE", "/logons?all=yes&local=yes")).json()["stays"] == []
    assert provider.told == ["ann"]


async def test_a_site_is_administrated_from_afar(site: World) -> None:  # S5
    await site.browser().log_on()
    transport = httpx2.ASGITransport(site.app)
    async with httpx2.AsyncClient(transport=transport, base_url=f"{SITE}/admin", headers=BY_TOKEN) as client:
        remote = RemoteAdministrator(client)
        [one] = (await remote.page(user="ann")).logons
        assert (await remote.show(one.handle)) == one
        assert await remote.end(one.handle) == Ended(logons=1)
        for handle in (one.handle, "../logons"):
            with pytest.raises(NotFound):
                await remote.end(handle)
        assert await remote.end_user("ann") == await remote.end_all() == Ended()
        assert await remote.end_application("shop") == Ended()
    async with httpx2.AsyncClient(transport=transport, base_url=SITE, headers=BY_TOKEN) as client:
        with pytest.raises(BadInput):
            await RemoteAdministrator(client).end_all()
    async with httpx2.AsyncClient(base_url="http://127.0.0.1:9") as client:
        with pytest.raises(StoreUnavailable):
            await RemoteAdministrator(client).end_all()


async def test_an_administrator_who_ends_their_own_logon_with_the_others_hears_what_came_of_it(
    site: World,
) -> None:  # R35, S19
    provider = Provider()
    site.security.federations.append(provider)
    eve = Logon(issuer="https://id.example", subject="eve", method="saml", at=site.clock.now)
    await site.running.logons.begin(eve)
    for path, told in (("/admin/logons?user=root", []), ("/admin/logons?all=yes", ["eve"])):
        admin = await log_on_as_admin(site, at=site.clock.now)
        answer = await admin.ask("DELETE", path, origin=SITE)
        assert (answer.status_code, provider.told) == (200, told)
        assert (await admin.get("/admin/logons", accept="application/json")).status_code == 401
