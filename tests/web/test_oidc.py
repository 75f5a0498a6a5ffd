"""Logging on and off at an OpenID provider, in process: two workers on one store, and a provider in memory."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from holdfast.core.events import Fact
from holdfast.core.model import Reason, State
from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.web.federation import told
from holdfast.web.kinds import PENDING
from holdfast.web.oidc import Oidc
from holdfast.web.security import Logon, principal_of
from identity.issuer import ISSUER
from identity.oidc.provider import DISCOVERY, oidc
from web.oidc_world import SITE, Browser, World, oidc_world


@pytest.fixture(params=[True, False], ids=["inside the application's sessions", "beside them"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with oidc_world(2, inside=request.param) as world:
        yield world


@pytest.fixture
async def one() -> AsyncIterator[World]:
    async with oidc_world() as world:
        yield world


async def rows(world: World, kind: str) -> int:
    return len([record async for record in world.workers[0].running.manager.each("kind", kind)])


async def logon_of(world: World, subject: str = "ann") -> Logon:
    [listed] = await world.workers[0].running.logons.listed(principal_of(ISSUER, subject))
    return listed.logon


# -- logon


async def test_who_asks_for_what_needs_a_logon_gets_it_after_the_provider(world: World) -> None:  # S7, S20
    browser = world.browser()
    sent_away = await browser.get("/orders?a=1&role=clerk", accept="text/html")
    assert sent_away.headers["location"] == "/oidc/login?next=%2Forders%3Fa%3D1%26role%3Dclerk"
    back = await browser.logs_on("?next=%2Forders%3Fa%3D1%26role%3Dclerk")
    assert (back.status_code, back.headers["location"]) == (303, "/orders?a=1&role=clerk")
    assert "no-store" in back.headers["cache-control"]
    shown = await browser.get("/orders?a=1&role=clerk")
    assert shown.json() == {"who": "ann", "level": 1, "at": world.clock.now - 1, "name": "Ann Lee"}


async def test_the_logon_holds_what_the_provider_said(one: World) -> None:  # S1, R28
    browser = one.browser()
    await browser.logs_on(acr="urn:x", amr=["pwd", "mfa"], session_expiry=one.clock.now + 600)
    assert await browser.who() == "ann"
    logon = await logon_of(one)
    assert (logon.issuer, logon.method, logon.sid, logon.roles, logon.level) == (ISSUER, "oidc", "s1", ("clerk",), 2)
    one.clock.now += 599.0
    assert await browser.who() == "ann"
    one.clock.now += 1.0
    assert await browser.who() is None


async def test_any_worker_takes_the_browser_back(world: World) -> None:  # S18
    browser = world.browser(0)
    sent = await browser.leaves()
    browser.worker = 1
    await browser.returns(sent)
    browser.worker = 0
    assert await browser.who() == "ann"


async def test_a_logon_begins_with_one_session_of_the_application_it_was_for(one: World) -> None:  # S2, S21
    browser = one.browser()
    await browser.logs_on()
    [listed] = await one.workers[0].running.logons.listed(principal_of(ISSUER, "ann"))
    assert (listed.applications, await rows(one, "http")) == (("shop",), 1)


async def test_two_tabs_may_log_on_at_a_time(one: World) -> None:
    browser = one.browser()
    first, second = await browser.leaves("?next=/a"), await browser.leaves("?next=/b")
    assert (await browser.returns(first)).headers["location"] == "/a"
    assert (await browser.returns(second)).headers["location"] == "/b"
    assert await browser.who() == "ann"


async def test_what_comes_back_counts_once_and_soon_and_in_the_browser_that_left(one: World) -> None:  # T10, R59
    victim, attacker = one.browser(), one.browser()
    sent = await attacker.leaves()
    planted = await victim.returns(sent)  # the victim is handed the attacker's link
    assert planted.status_code == 400
    assert "set-cookie" not in planted.headers
    other = await victim.leaves()
    assert (await victim.returns({**sent, "code_challenge": other["code_challenge"]})).status_code == 400
    assert await victim.who() is None
    assert (await attacker.returns(sent)).status_code == 303
    assert (await attacker.returns(sent)).status_code == 400  # once
    late = await victim.leaves()
    one.clock.now += 600.0
    assert (await victim.returns(late)).status_code == 400
    assert await victim.who() is None


async def test_of_parallel_returns_one_logs_on(one: World) -> None:
    browser, answers = one.browser(), []
    sent = await browser.leaves()

    async def returns() -> None:
        twin = one.browser()
        twin.jar = browser.jar
        answers.append((await twin.returns(sent)).status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(returns)
    assert sorted(answers) == [303] + [400] * 9


@pytest.mark.parametrize(
    ("answer", "status", "shown"),
    [
        ("error=access_denied", 400, "access_denied"),
        ("error=<script>alert(1)</script>", 400, "it said nothing"),
        ("", 400, "it said nothing"),
        ("code=unknown", 400, "the issuer answers 400"),
        ("code=unknown&iss=https://other.example", 400, "another provider"),
        ("code=a&code=b", 400, "twice"),
    ],
)
async def test_a_provider_that_says_no_logs_nobody_on(one: World, answer: str, status: int, shown: str) -> None:
    browser = one.browser()
    sent = await browser.leaves()
    refused = await browser.get(f"/oidc/callback?state={sent['state']}&{answer}")
    assert refused.status_code == status
    assert shown in refused.text
    assert "<script" not in refused.text
    assert refused.headers["content-security-policy"].startswith("default-src 'none'")
    assert await browser.who() is None


async def test_a_token_that_is_not_good_logs_nobody_on_and_is_told_of(one: World) -> None:
    browser = one.browser()
    refused = await browser.logs_on(nonce="other")
    assert refused.status_code == 401
    assert await browser.who() is None
    assert [event.address for event in one.sink.events if event.fact is Fact.LOGON_FAILED] == ["127.0.0.1"]


async def test_logging_on_again_goes_on_with_the_session_and_its_new_name_at_the_provider_counts(
    one: World,
) -> None:  # S14, R8
    browser = one.browser()
    await browser.logs_on()
    assert (await browser.get("/")).json() == {"who": "ann", "seen": 1}
    before = dict(browser.jar)
    one.clock.now += 100.0
    await browser.logs_on("?max_age=0", sid="s2", acr="urn:x", amr=["mfa"])
    assert (await browser.get("/")).json() == {"who": "ann", "seen": 2}
    assert (await browser.get("/orders")).json()["level"] == 2
    assert dict(browser.jar)["__Host-holdfast-logon"] != before["__Host-holdfast-logon"]
    assert (await one.tell(one.logout_token(sid="s1", sub=None))).status_code == 200
    assert await browser.who() == "ann"
    assert (await one.tell(one.logout_token(sid="s2", sub=None, jti="j2"))).status_code == 200
    assert await browser.who() is None


async def test_a_logon_that_is_not_as_strong_as_asked_for_is_refused_instead_of_asked_for_forever() -> None:  # S14
    async with oidc_world(acr_levels={"gold": 3}) as world:
        browser = world.browser()
        sent = await browser.leaves("?level=3")
        assert sent["acr_values"] == "gold"
        assert (await browser.returns(sent)).status_code == 403
        assert (await browser.logs_on("?level=3", acr="gold")).status_code == 303


async def test_what_needs_a_stronger_logon_asks_the_provider_for_it() -> None:  # S14
    async with oidc_world(acr_levels={"gold": 3}) as world:
        browser = world.browser()
        await browser.logs_on()
        away = await browser.get("/strong", accept="text/html")
        assert away.headers["location"] == "/oidc/login?next=%2Fstrong&anew=1&level=3"
        await browser.logs_on("?next=%2Fstrong&anew=1&level=3", acr="gold", auth_time=world.clock.now)
        assert (await browser.get("/strong")).json() == {"level": 3}


async def test_where_cookies_are_strict_it_is_this_site_that_sends_the_browser_on() -> None:  # R14
    async with oidc_world(same_site="strict") as world:
        browser = world.browser()
        back = await browser.logs_on("?next=/orders")
        assert (back.status_code, back.headers["refresh"]) == (200, "0;url=/orders")
        assert "SameSite=Strict" in back.headers["set-cookie"]
        assert await browser.who() == "ann"


async def test_what_needs_a_fresh_logon_sends_people_to_prove_anew_who_they_are(world: World) -> None:  # S14
    browser = world.browser()
    await browser.logs_on()
    world.clock.now += 100.0
    sent_away = await browser.get("/fresh", accept="text/html")
    assert sent_away.headers["location"] == "/oidc/login?next=%2Ffresh&anew=1"
    sent = await browser.leaves("?next=%2Ffresh&anew=1")
    assert (sent["max_age"], sent["prompt"]) == ("0", "login")
    assert (await browser.returns(sent, auth_time=world.clock.now - 100)).status_code == 401
    assert (await browser.logs_on("?next=%2Ffresh&anew=1")).headers["location"] == "/fresh"
    assert (await browser.get("/fresh")).json() == {"who": "ann"}


async def test_a_session_at_the_provider_does_not_undo_the_idle_time_here() -> None:  # R29
    async with oidc_world(max_age=1800) as world:
        browser, proved = world.browser(), world.clock.now
        await browser.logs_on(auth_time=proved)
        assert await browser.who() == "ann"
        world.clock.now += 1840.0  # the HTTP session's idle time
        for _ in range(3):
            await world.workers[0].running.engine.keeper.turn()
        assert await browser.who() is None
        sent = await browser.leaves()
        assert sent["max_age"] == "1800"
        assert (
            await browser.returns(sent, auth_time=proved)
        ).status_code == 401  # it went by its own session all the same
        assert await browser.who() is None
        assert (await browser.logs_on(auth_time=world.clock.now)).status_code == 303


@pytest.mark.parametrize("query", ["?max_age=-1", "?max_age=x", "?level=²", "?level=9999999999", "?next=/a&next=/b"])
async def test_an_address_that_makes_no_sense_is_refused(one: World, query: str) -> None:
    answer = await one.browser().get(f"/oidc/login{query}")
    assert answer.status_code == 400
    assert await rows(one, PENDING) == 0


async def test_over_plain_http_nobody_is_sent_away(one: World) -> None:  # R21
    browser = one.browser()
    answer = await browser.send("GET", SITE.replace("https", "http") + "/oidc/login")
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


async def test_a_provider_that_is_down_is_told_of(one: World) -> None:
    one.provider.down = True
    answer = await one.browser().get("/oidc/login")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert "issuer_unavailable" in answer.text


async def test_requests_that_nobody_comes_back_for_are_bounded_and_go_away(one: World) -> None:  # R68, T19
    for _ in range(3):
        await one.browser().leaves()
    assert await rows(one, PENDING) == 3
    assert one.workers[0].running.manager.kinds[PENDING].limits.per_client == 1000
    one.clock.now += 601.0
    await one.workers[0].running.engine.keeper.sweep()
    assert await rows(one, PENDING) == 0


async def test_the_id_token_is_in_no_cookie_page_event_or_child_and_sealed_in_the_store(one: World) -> None:  # R6
    browser = one.browser()
    answer = await browser.logs_on()
    await browser.get("/")
    manager = one.workers[0].running.manager
    token = ""
    async for record in manager.each("all", b""):
        if record.state is not State.LIVE:
            continue
        session = await manager.get(record.ref)
        token = token or str(session.content.get("id_token", ""))
        assert ("id_token" in session.content) == (record.kind == "security")
        assert b"eyJ" not in record.payload
    assert token.count(".") == 2
    seen = f"{answer.headers}{answer.text}{browser.jar}{one.sink.events}{(await browser.get('/')).text}"
    assert token not in seen


# -- logout over the back channel


async def test_a_logout_token_ends_the_logon_whichever_worker_hears_it(world: World) -> None:  # R46, R47, S9
    browser = world.browser(0)
    await browser.logs_on()
    assert await browser.who() == "ann"
    stolen = dict(browser.jar)
    answer = await world.tell(world.logout_token(), worker=1)
    assert (answer.status_code, answer.text, answer.headers["cache-control"]) == (200, "", "no-store")
    assert await browser.who() is None
    again = world.browser(1)
    again.jar.update(stolen)
    assert await again.who() is None


async def test_a_token_with_a_session_ends_that_one_and_one_without_all_of_the_person(one: World) -> None:  # R43, R46
    browsers = [one.browser() for _ in range(4)]
    for browser, (sub, sid) in zip(browsers, [("ann", "s1"), ("ann", "s2"), ("bob", "s3"), ("ann", "s4")], strict=True):
        await browser.logs_on(sub=sub, sid=sid)
        assert await browser.who() == sub

    async def left() -> list[str | None]:
        return [await browser.who() for browser in browsers]

    await one.tell(one.logout_token(sid="s1", jti="1"))
    assert await left() == [None, "ann", "bob", "ann"]
    await one.tell(one.logout_token(sub="bob", sid="s2", jti="2"))  # of both: nobody's
    assert await left() == [None, "ann", "bob", "ann"]
    await one.tell(one.logout_token(sub=None, sid="s3", jti="3"))
    assert await left() == [None, "ann", None, "ann"]
    await one.tell(one.logout_token(sid=None, jti="4"))
    assert await left() == [None] * 4


async def test_another_providers_token_never_matches() -> None:  # R43
    async with oidc_world() as world:
        worker = world.workers[0]
        await worker.running.logons.begin(
            Logon(issuer="https://other.example", subject="ann", sid="s1", method="oidc", at=world.clock.now)
        )
        assert (await world.tell(world.logout_token())).status_code == 200
        assert len(await worker.running.logons.listed(principal_of("https://other.example", "ann"))) == 1


async def test_the_answer_is_the_same_when_nothing_was_left(one: World) -> None:  # R46
    answer = await one.tell(one.logout_token())
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "changed",
    [{"nonce": "n"}, {"events": {}}, {"aud": "bank"}, {"iss": "https://other.example"}, {"exp": None}, {"jti": None}],
)
async def test_a_bad_token_is_answered_400_and_logs_nobody_off(one: World, changed: dict[str, Any]) -> None:  # R46
    browser = one.browser()
    await browser.logs_on()
    answer = await one.tell(one.logout_token(**changed))
    assert (answer.status_code, answer.headers["cache-control"]) == (400, "no-store")
    assert answer.json()["error"] == "invalid_request"
    assert "invalid_token" in answer.json()["error_description"]
    assert await browser.who() == "ann"


async def test_a_token_counts_once_over_all_workers(world: World) -> None:  # R46, R47
    token, answers = world.logout_token(sid=None), []

    async def send(worker: int) -> None:
        answers.append((await world.tell(token, worker)).status_code)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(send, number % 2)
    assert sorted(answers) == [200] + [400] * 19
    browser = world.browser()
    await browser.logs_on()
    assert (await world.tell(token)).status_code == 400
    assert await browser.who() == "ann"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b"", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
        ({"data": {"token": "x"}}, 400),
        ({"data": {"logout_token": ["x", "y"]}}, 400),
        ({"json": {"logout_token": "x"}}, 400),
        ({"content": b"\xff=\xff", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
        ({"data": {f"p{number}": "x" for number in range(11)}}, 400),
        ({"data": {"logout_token": "x" * 40_000}}, 413),
        ({"data": {"logout_token": "x" * 20_000}}, 400),
    ],
)
async def test_what_is_no_logout_token_is_refused_and_bounded(one: World, sent: dict[str, Any], status: int) -> None:
    answer = await one.browser().post("/oidc/backchannel-logout", **sent)
    assert (answer.status_code, answer.json()["error"]) == (status, "invalid_request")
    assert answer.headers["cache-control"] == "no-store"


async def test_keys_that_cannot_be_had_are_not_the_tokens_fault(one: World) -> None:
    one.provider.down = True
    answer = await one.tell(one.logout_token())
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


async def test_a_store_that_is_away_is_not_answered_as_if_it_had_worked(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # R69
    browser = one.browser()
    await browser.logs_on()
    token = one.logout_token()

    async def away(*args: Any, **more: Any) -> bool:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(type(one.store.counters), "once", away)
        assert (await one.tell(token)).status_code == 503
    assert await browser.who() == "ann"
    assert (await one.tell(token)).status_code == 200  # sent again, it counts
    assert await browser.who() is None


# -- logout in a frame of the provider's page


async def test_a_frame_of_the_providers_ends_the_session_it_names_without_cookies(world: World) -> None:  # S9
    browser, frame = world.browser(0), world.browser(1)
    await browser.logs_on()
    assert await browser.who() == "ann"
    for query in ("", "?sid=s1", f"?iss={ISSUER}", "?iss=https://other.example&sid=s1", f"?iss={ISSUER}&sid=s1&sid=s1"):
        assert (await frame.get(f"/oidc/frontchannel-logout{query}")).status_code == 400
    assert (await frame.get(f"/oidc/frontchannel-logout?iss={ISSUER}&sid=s2")).status_code == 200
    assert await browser.who() == "ann"
    answer = await frame.get(f"/oidc/frontchannel-logout?iss={ISSUER}&sid=s1")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert f"frame-ancestors {ISSUER};" in answer.headers["content-security-policy"]
    assert "x-frame-options" not in answer.headers
    assert await browser.who() is None


# -- logout begun here


async def logged_on(world: World) -> Browser:
    browser = world.browser()
    await browser.logs_on()
    assert await browser.who() == "ann"
    return browser


async def test_who_logs_out_is_logged_off_here_before_the_browser_leaves_for_the_provider(
    world: World,
) -> None:  # S9, R45, R49
    browser = await logged_on(world)
    stolen = dict(browser.jar)
    asked = await browser.get("/oidc/logout")
    assert (asked.status_code, "<form" in asked.text, "Ann Lee" in asked.text) == (200, True, True)
    token = asked.text.partition('name="csrf_token" value="')[2].partition('"')[0]
    assert len(token) == 64
    assert await browser.who() == "ann"
    answer = await browser.logs_out()
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{ISSUER}/logout?client_id=shop&post_logout_redirect_uri=")
    assert "id_token_hint=ey" in answer.headers["location"]
    assert "clear-site-data" not in answer.headers  # it would take the cookies of a provider in the same domain
    assert "no-store" in answer.headers["cache-control"]
    thief = world.browser(1)
    thief.jar.update(stolen)
    assert await thief.who() is None
    back = await browser.get("/oidc/logged-out")
    assert (back.status_code, "You are logged out" in back.text) == (200, True)
    onward = await browser.get("/oidc/logged-out?state=/bye")
    assert onward.headers["location"] == "/bye"


async def test_a_provider_that_is_down_changes_nothing_of_the_logout_here_and_it_is_said(one: World) -> None:  # R45
    browser = await logged_on(one)
    one.clock.now += 3.0
    one.provider.down = True
    answer = await browser.logs_out()
    assert answer.status_code == 200
    assert f"{ISSUER} does not answer" in answer.text
    assert "location" not in answer.headers
    assert await browser.who() is None


async def test_a_provider_without_a_logout_of_its_own_is_said_to_stay_logged_on(one: World) -> None:  # R45
    browser = await logged_on(one)
    one.clock.now += 3.0
    one.provider.answers[DISCOVERY] = json.dumps({**one.provider.metadata, "end_session_endpoint": ""}).encode()
    answer = await browser.logs_out()
    assert "does not offer to log you out" in answer.text
    assert await browser.who() is None


async def test_the_pages_own_button_works_where_no_header_says_where_it_is(world: World) -> None:  # S11
    browser = await logged_on(world)
    token = (await browser.get("/oidc/logout")).text.partition('name="csrf_token" value="')[2].partition('"')[0]
    assert (await browser.post("/oidc/logout", data={"csrf_token": token[::-1]})).status_code == 403
    assert (await browser.post("/oidc/logout")).status_code == 403
    assert await browser.who() == "ann"
    assert (await browser.post("/oidc/logout", data={"csrf_token": token})).status_code == 303
    assert await browser.who() is None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://shop.example.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": SITE},
    ],
)
async def test_another_sites_form_logs_nobody_off(one: World, headers: dict[str, str]) -> None:  # R49, T10
    browser = await logged_on(one)
    assert (await browser.post("/oidc/logout", headers=headers)).status_code == 403
    assert await browser.who() == "ann"
    assert (await browser.logs_out()).status_code == 303


async def test_who_is_not_logged_on_is_not_sent_to_the_provider(one: World) -> None:
    answer = await one.browser().logs_out("?next=/bye")
    assert (answer.status_code, answer.headers["location"]) == (303, "/bye")
    assert "not logged on" in (await one.browser().get("/oidc/logout")).text


# -- an administrator, and the rest


async def test_what_an_administrator_ends_stays_at_the_provider_and_that_is_said(one: World) -> None:  # S19
    browser = await logged_on(one)
    logon = await logon_of(one)
    assert await one.workers[0].running.logons.end_all(logon.principal, Reason.ADMIN) == 1
    assert await told(one.workers[0].security.federations, logon) == [ISSUER]
    assert await browser.who() is None
    pages = one.workers[0].oidc
    assert not pages.knows(Logon(subject="ann", method="password", at=0.0))
    assert not pages.knows(Logon(issuer="https://other.example", subject="ann", method="oidc", at=0.0))


async def test_what_is_not_there_is_not_there(world: World) -> None:
    browser = world.browser()
    assert (await browser.get("/oidc/nothing")).status_code == 404
    assert (await browser.post("/oidc/login")).status_code == 405


def test_two_providers_have_pages_of_their_own_and_settings_are_checked_at_once() -> None:
    from holdfast.web.site import Security

    security = Security()
    first, second = Oidc(security, oidc()), Oidc(security, oidc(issuer="https://two.example"))
    assert security.federations == [first, second]
    with pytest.raises(ConfigurationError, match=r"oidc\.issuer"):
        Oidc(security)
