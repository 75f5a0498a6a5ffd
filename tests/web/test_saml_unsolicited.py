"""Logons that begin at the identity provider: refused, or taken once where an option says so (R29, R41)."""

from typing import Any

import pytest

from identity.saml.idp import IDP, NOW, OTHER_IDP, signed_response
from web.saml_site import Browser, Site, site

NOTHING: dict[str, Any] = {"answers": None, "r_answers": None}


async def bring(browser: Browser, relay_state: str = "/shop/?a=1", **said: Any) -> Any:
    return await browser.come_back(signed_response(**{**NOTHING, **said}), relay_state)


async def test_nobody_is_logged_on_who_did_not_ask_unless_an_option_says_so() -> None:  # R41
    async with site() as world:
        for relay_state in ("", "/shop/"):
            browser = world.browser()
            answer = await bring(browser, relay_state)
            assert (answer.status_code, "saml_unsolicited" in answer.text) == (400, True)
            assert await browser.who() is None


async def test_who_begins_at_the_identity_provider_goes_on_to_a_page_of_this_site() -> None:  # S7, T31
    async with site(unsolicited=True) as world:
        for number, (relay_state, to) in enumerate(
            [("/shop/?a=1", "/shop/?a=1"), ("", "/"), ("https://evil.example/", "/"), ("//evil.example", "/")]
        ):
            browser = world.browser()
            answer = await bring(browser, relay_state, id=f"_a{number}")
            assert (answer.status_code, answer.headers["location"]) == (303, to)
            assert await browser.who() == "ann"


async def test_what_was_begun_there_counts_once_at_any_browser() -> None:  # R41
    async with site(unsolicited=True) as world:
        assert (await bring(world.browser())).status_code == 303
        again = world.browser()
        assert "saml_replayed" in (await bring(again)).text
        assert await again.who() is None
        world.clock.now += 421
        late = await bring(again)
        assert "saml_out_of_time" in late.text


@pytest.mark.parametrize("left_out", ["answers", "r_answers"])
async def test_an_answer_that_was_stolen_does_not_pass_for_one_that_nobody_asked_for(left_out: str) -> None:  # R41, T10
    async with site(unsolicited=True) as world:
        victim, thief = world.browser(), world.browser()
        request_id, _, _ = await victim.leave()
        stolen = {"answers": request_id, "r_answers": request_id, left_out: None}
        answer = await thief.come_back(signed_response(**stolen), "")
        assert (answer.status_code, "saml_unsolicited" in answer.text) == (400, True)
        assert await thief.who() is None


async def test_each_other_check_stands() -> None:  # R40, R41
    async with site(unsolicited=True) as world:
        browser = world.browser()
        for code, said in (
            ("saml_bad_signature", {"by": "thief"}),
            ("saml_unsigned", {"sign_assertion": False}),
            ("saml_wrong_audience", {"audience": "https://other.example"}),
            ("saml_wrong_recipient", {"recipient": "https://other.example"}),
            ("saml_wrong_destination", {"r_to": "https://other.example"}),
            ("saml_out_of_time", {"until": NOW - 61}),
            ("saml_unsolicited", {"r_issuer": "https://unknown.example"}),
        ):
            assert code in (await bring(browser, **said)).text
        assert await browser.who() is None


async def test_it_is_each_identity_providers_own_option() -> None:
    async with site(idps=((IDP, "idp"), (OTHER_IDP, "idp2"))) as strict:
        browser = strict.browser()
        said = {"issuer": OTHER_IDP, "r_issuer": OTHER_IDP, "by": "idp2"}
        assert "saml_unsolicited" in (await bring(browser, **said)).text


async def ended_by_itself(world: Site) -> Browser:
    browser = world.browser()
    await browser.log_on()
    world.clock.now += 1801
    await world.settle()
    assert await browser.who() is None
    return browser


async def test_a_logon_that_ended_by_itself_is_not_undone_by_an_old_one_there() -> None:  # R29
    async with site(unsolicited=True) as world:
        browser = await ended_by_itself(world)
        now = world.clock.now
        times = {"r_at": now, "until": now + 60, "ends": now + 60, "session_ends": now + 600}
        assert "saml_stale_logon" in (await bring(browser, id="_old", at=NOW, **times)).text
        assert await browser.who() is None
        assert (await bring(browser, id="_fresh", at=now - 20, **times)).status_code == 303
        assert await browser.who() == "ann"


async def test_where_each_logon_must_be_fresh_so_must_one_that_began_there() -> None:  # R29
    async with site(unsolicited=True, fresh="always") as world:
        assert "saml_stale_logon" in (await bring(world.browser(), id="_old", at=NOW - 3600)).text
        assert (await bring(world.browser(), id="_fresh", at=NOW - 20)).status_code == 303
