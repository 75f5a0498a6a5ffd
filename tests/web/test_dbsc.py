"""Logons that are bound to the key of a device, in process: two applications of one site, a browser with a key."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest

from attacks.world import as_headers
from holdfast.config import DbscSettings, Settings
from holdfast.core.events import Fact
from holdfast.errors import StoreUnavailable
from holdfast.stores.memory import memory_store
from identity.device import SigningDevice
from web.bound_browser import OFFER, BoundBrowser
from web.test_middleware import HOST, Site, site_on

LIFETIME = 600.0
LOGON = "__Host-holdfast-logon"
BOUND = "__Host-holdfast-bound"


def settings(**dbsc: Any) -> Settings:
    return Settings(dbsc=DbscSettings(enabled=True, **dbsc))


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with site_on(memory_store(), settings()) as made:
        yield made


def browser_of(site: Site, *, app: str = "shop", base: str = HOST, algorithm: str = "ES256") -> BoundBrowser:
    async def exchange(method: str, path: str, headers: dict[str, str]) -> httpx2.Response:
        transport = httpx2.ASGITransport(site.apps[app])  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, headers=headers)

    return BoundBrowser(exchange, site.clock, SigningDevice(algorithm))


async def bound(site: Site, **options: Any) -> BoundBrowser:
    """Return a browser that has logged on and registered its key, when it has to show its cookie."""
    browser = browser_of(site, **options)
    assert (await browser.request("GET", "/login/ann")).status_code == 200
    assert browser.bound is not None
    site.clock.advance(30)
    return browser


async def who(browser: BoundBrowser, **headers: str) -> Any:
    return (await browser.request("GET", "/", **headers)).json()["who"]


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_bound_logon_goes_on_with_cookies_and_challenges_that_never_repeat(site: Site, algorithm: str) -> None:
    browser = await bound(site, algorithm=algorithm)  # R52
    for _ in range(5):
        assert await who(browser) == "ann"
        site.clock.advance(LIFETIME)
    assert browser.refreshed == [403, 200, 200, 200, 200], "only the first proof has to be asked for"
    assert len(browser.seen) == 5 + 4


async def test_a_browser_is_told_what_is_bound_and_for_which_paths(site: Site) -> None:  # R52
    browser = await bound(site)
    assert browser.bound is not None
    assert browser.bound | {"session_identifier": ""} == {
        "session_identifier": "",
        "refresh_url": "/session/device/refresh",
        "scope": {
            "include_site": False,
            "scope_specification": [{"type": "exclude", "domain": "*", "path": "/static/"}],
        },
        "credentials": [{"type": "cookie", "name": BOUND, "attributes": "Path=/; HttpOnly; SameSite=Lax; Secure"}],
    }
    assert browser.jar[BOUND][1] - 1000.0 <= LIFETIME


async def test_stolen_cookies_are_nobodys_without_the_bound_one_at_any_application(site: Site) -> None:  # R52, T5
    browser = await bound(site)
    assert await who(browser.thief()) == "ann", "until its ten minutes are over"
    for app in ("shop", "bank"):
        for names in ([BOUND], [BOUND, "__Host-shop"], [BOUND, LOGON]):
            thief = browser.thief(*names)
            thief.exchange = browser_of(site, app=app).exchange
            assert await who(thief) is None
    assert (await browser.thief(BOUND).send("GET", "/orders", accept="application/json")).status_code == 401
    stolen = browser.thief()
    site.clock.advance(LIFETIME)
    assert await who(stolen) is None
    assert await who(browser) == "ann"
    assert {event.detail for event in site.sink.of(Fact.FINGERPRINT)} == {"bound cookie missing or over: step_up"}


async def test_who_is_refused_prolongs_nothing(site: Site) -> None:  # T5
    browser = await bound(site)
    thief = browser.thief(BOUND)
    uses = [r.used_at async for r in site.running.manager.each("all", b"")]
    for _ in range(10):
        site.clock.advance(100)
        assert await who(thief) is None
    assert [r.used_at async for r in site.running.manager.each("all", b"")] == uses
    assert await who(browser) == "ann"


async def test_a_bound_cookie_of_another_logon_does_not_help(site: Site) -> None:  # R53
    ann, thief = await bound(site), await bound(site)
    stolen = {name: value for name, value in ann.jar.items() if name != BOUND}
    thief.jar.update(stolen)
    assert await who(thief) is None
    twice = ann.thief(BOUND)
    cookie = f"{BOUND}={ann.cookies()[BOUND]}"
    twice.jar["other"] = (f"1; {cookie}; {cookie}", float("inf"))
    assert await who(twice) is None, "one of two may have been planted"


async def test_requests_that_were_sent_before_the_first_cookie_came_are_served(site: Site) -> None:  # R52
    browser = browser_of(site)
    await browser.request("GET", "/login/ann")
    assert await who(browser.thief(BOUND)) == "ann"
    site.clock.advance(10)
    assert await who(browser.thief(BOUND)) is None


async def test_a_browser_that_cannot_goes_on_as_before(site: Site) -> None:  # S15
    browser = browser_of(site)
    assert (await browser.send("GET", "/login/ann")).headers["secure-session-registration"]
    for _ in range(5):
        site.clock.advance(LIFETIME)
        assert await who(browser) == "ann"


async def test_nothing_is_offered_where_it_is_off_or_the_cookie_could_not_go() -> None:  # S15
    async with site_on(memory_store()) as site:
        assert "secure-session-registration" not in (await browser_of(site).send("GET", "/login/ann")).headers
        assert (await browser_of(site).send("POST", "/session/device/refresh")).status_code == 404
    async with site_on(memory_store(), settings()) as site:
        plain = browser_of(site, base="http://site.example")
        assert "secure-session-registration" not in (await plain.send("GET", "/login/ann")).headers


async def test_an_offer_is_good_for_one_key_of_one_logon_for_minutes(site: Site) -> None:  # R53
    browser = browser_of(site)
    offered = OFFER.fullmatch((await browser.send("GET", "/login/ann")).headers["secure-session-registration"])
    assert offered is not None
    assert (await browser.register(offered[1], "made up")).status_code == 401
    assert (await browser.register(*offered.groups())).status_code == 200
    assert (await browser.register(*offered.groups())).status_code == 200, "its first answer was lost"
    assert (await browser_of(site).register(*offered.groups())).status_code == 401, "another key"
    late = browser_of(site)
    offered = OFFER.fullmatch((await late.send("GET", "/login/bob")).headers["secure-session-registration"])
    assert offered is not None
    site.clock.advance(300)
    assert (await late.register(*offered.groups())).status_code == 401


async def test_an_offer_is_over_when_the_logon_has_another_id_or_has_ended(site: Site) -> None:  # R53
    browser = browser_of(site)
    for path in ("/login/ann", "/logout"):
        offered = OFFER.fullmatch((await browser.send("GET", "/login/ann")).headers["secure-session-registration"])
        assert offered is not None
        assert "secure-session-registration" not in (await browser.send("GET", path)).headers or path != "/logout"
        assert (await browser.register(*offered.groups())).status_code in (401, 404)


async def test_a_proof_that_is_stale_or_spent_is_answered_with_a_challenge(site: Site) -> None:  # R53
    browser = await bound(site)
    await browser.refresh()
    spent = browser.proof()
    await browser.refresh()
    path = browser.bound["refresh_url"] if browser.bound else ""
    assert (await browser.send("POST", path, **spent)).status_code == 200, "the two have crossed"
    site.clock.advance(10)
    late = await browser.send("POST", path, **spent)
    assert (late.status_code, late.content) == (403, b"")
    assert late.headers["secure-session-challenge"].startswith(f'"{browser.challenge}"'), "it spoils nobody's"
    stale = browser.proof()
    site.clock.advance(900)
    asked = await browser.send("POST", path, **stale)
    assert asked.status_code == 403
    assert browser.challenge not in asked.headers["secure-session-challenge"]
    assert (await browser.refresh()).status_code == 200


async def test_of_two_keys_that_are_registered_at_once_one_counts(site: Site) -> None:  # R53
    browser, other = browser_of(site), browser_of(site)
    offered = OFFER.fullmatch((await browser.send("GET", "/login/ann")).headers["secure-session-registration"])
    assert offered is not None
    answers: list[int] = []

    async def register(one: BoundBrowser) -> None:
        answers.append((await one.register(*offered.groups())).status_code)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(register, browser)
            tasks.start_soon(register, other)
    assert sorted(answers) == [200, 401]
    winner = browser if browser.bound is not None else other
    assert (await winner.refresh()).status_code == 200


async def test_the_same_proof_twice_at_once_gives_two_cookies_and_one_next_challenge(site: Site) -> None:  # R53
    browser = await bound(site)
    await browser.refresh()
    proof, asked, cookies = browser.proof(), set[str](), set[str]()

    async def prove() -> None:
        answer = await browser.exchange("POST", "/session/device/refresh", as_headers(proof))
        assert answer.status_code == 200
        asked.add(answer.headers["secure-session-challenge"])
        cookies.add(answer.headers["set-cookie"])

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(prove)
    assert (len(asked), len(cookies)) == (1, 5)


async def test_the_challenge_of_one_logon_is_none_of_another(site: Site) -> None:  # R53
    ann, bob = await bound(site), await bound(site)
    await ann.refresh()
    await bob.refresh()
    bob.challenge = ann.challenge
    proof = bob.proof()
    assert bob.bound is not None
    assert (await bob.send("POST", bob.bound["refresh_url"], **proof)).status_code == 403


@pytest.mark.parametrize("what", ["with a key", "alg none", "no proof at all", "another type"])
async def test_a_proof_that_is_none_is_refused_and_the_logon_stays(site: Site, what: str) -> None:  # R53
    browser = await bound(site)
    await browser.refresh()
    assert browser.bound is not None
    proofs = {
        "with a key": browser.device.first(browser.challenge),
        "alg none": "eyJhbGciOiJub25lIiwidHlwIjoiZGJzYytqd3QifQ.eyJqdGkiOiJjIn0.",
        "no proof at all": "nothing",
        "another type": browser.device.proof(browser.challenge, typ="JWT"),
    }
    said = browser.proof() | {"secure_session_response": f'"{proofs[what]}"'}
    assert (await browser.send("POST", browser.bound["refresh_url"], **said)).status_code == 401
    assert await who(browser) == "ann"


async def test_a_proof_with_another_key_ends_the_logon(site: Site) -> None:  # R53, T5
    browser = await bound(site)
    await browser.refresh()
    thief = browser.thief()
    thief.bound, thief.challenge = browser.bound, browser.challenge
    assert (await thief.refresh()).status_code == 401
    assert site.sink.of(Fact.FINGERPRINT)[-1].detail == "key of the device: kill"
    assert site.sink.of(Fact.FORCED_END)
    assert await who(browser) is None


async def test_what_other_sites_can_send_is_answered_alike_whoever_is_logged_on(site: Site) -> None:  # R54
    browser = await bound(site)
    path = "/session/device/refresh"
    for method, status in (("POST", 400), ("GET", 405), ("OPTIONS", 405)):
        mine = await browser.send(method, path, sec_fetch_site="cross-site", origin="https://evil.example")
        nobodys = await browser_of(site).send(method, path, sec_fetch_site="cross-site", origin="https://evil.example")
        assert (mine.status_code, mine.headers, mine.content) == (status, nobodys.headers, nobodys.content)
        assert mine.headers["cross-origin-resource-policy"] == "same-origin"
        assert mine.headers["x-frame-options"] == "DENY"
        assert mine.headers["cache-control"] == "no-store"
        assert not [name for name in mine.headers if name.startswith("access-control-")]


async def test_ids_of_bindings_are_not_guessed_for_long() -> None:  # R54, R75
    few = Settings(dbsc=DbscSettings(enabled=True), rate_limit_unknown_ids=60, rate_burst=5)
    async with site_on(memory_store(), few) as site:
        browser, stranger = await bound(site), browser_of(site)
        assert browser.bound is not None
        handle = browser.bound["session_identifier"].partition(".")[0]
        for name in ("x", "00.1", f"{'0' * 32}.a", f"{handle}.", f"{handle}.A"):
            answer = await stranger.send("POST", "/session/device/refresh", sec_secure_session_id=f'"{name}"')
            assert answer.status_code == 404
        answer = await stranger.send("POST", "/session/device/refresh", sec_secure_session_id=f'"{handle}.B"')
        assert answer.status_code == 429
        assert (await browser.refresh()).status_code == 200


async def test_while_the_store_is_away_the_answer_is_no_reason_to_forget_the_key(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:  # R53
    browser = await bound(site)
    await browser.refresh()

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("the store does not answer")

    with monkeypatch.context() as broken:
        broken.setattr(site.running.manager.store.sessions, "load", away)
        assert (await browser.refresh()).status_code == 503
        assert "retry-after" in (await browser.refresh()).headers
    assert browser.bound is not None
    assert (await browser.refresh()).status_code == 200


async def test_who_proves_anew_who_they_are_is_bound_anew(site: Site) -> None:  # S14, S15
    browser = await bound(site)
    lost = browser.thief(BOUND)
    assert await who(lost) is None
    before = browser.bound
    assert (await lost.request("GET", "/login/ann")).status_code == 200
    assert lost.bound is not None
    site.clock.advance(30)
    assert await who(lost) == "ann"
    assert before is not None
    assert lost.bound["session_identifier"] != before["session_identifier"]
    assert (await browser.refresh()).status_code == 404, "the key before is no good any more"
    assert len([r async for r in site.running.manager.each("kind", "security")]) == 1


@pytest.mark.parametrize("reason", ["unreachable", "server_error", "quota_exceeded"])
async def test_a_browser_that_could_not_prove_it_is_told_of_and_has_to_log_on(site: Site, reason: str) -> None:  # R55
    browser = await bound(site)
    assert browser.bound is not None
    name = browser.bound["session_identifier"]
    skipped = f'quota_exceeded;session_identifier="another", {reason};session_identifier="{name}"'
    assert await who(browser.thief(BOUND), secure_session_skipped=skipped) is None
    assert [event.detail for event in site.sink.of(Fact.FINGERPRINT)] == [f"bound cookie skipped, {reason}: step_up"]


async def test_it_may_go_on_for_a_while_if_that_was_chosen() -> None:  # R55
    async with site_on(memory_store(), settings(skipped="allow", skipped_for=120)) as site:
        browser = await bound(site)
        assert browser.bound is not None
        skipped = f'unreachable;session_identifier="{browser.bound["session_identifier"]}"'
        site.clock.advance(LIFETIME)
        without = browser.thief(BOUND)
        assert await who(without) is None
        assert await who(without, secure_session_skipped='unreachable;session_identifier="x"') is None
        assert await who(without, secure_session_skipped=skipped) == "ann"
        assert site.sink.of(Fact.FINGERPRINT)[-1].detail == "bound cookie skipped, unreachable: allow"
        site.clock.advance(120)
        assert await who(without, secure_session_skipped=skipped) is None


async def test_what_is_out_of_its_scope_is_a_visitors_and_nobody_is_told() -> None:  # R52
    async with site_on(memory_store(), settings(excluded=["/"])) as site:
        browser = await bound(site)
        assert await who(browser) == "ann"
        assert await who(browser.thief(BOUND)) is None
        assert not site.sink.of(Fact.FINGERPRINT)
