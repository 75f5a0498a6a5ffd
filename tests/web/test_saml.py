"""Logging on and off by SAML through the routes, with the cookies that browsers send (S7, S8, R28, R29, R41 to R45)."""

import logging
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lxml import etree

from holdfast.core.ports import Counters
from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.identity.facts import IssuerUnavailable
from holdfast.identity.saml.refusals import SamlUnavailable
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.web.federation import told
from holdfast.web.saml import Partner, People, Saml
from holdfast.web.saml.partners import Metadata, Partners
from holdfast.web.security import Logon
from identity.saml.idp import (
    IDP,
    NOW,
    OTHER_IDP,
    SP_URL,
    envelope,
    form,
    identity_metadata,
    logout_request,
    logout_response,
    query,
    service_provider,
    sign,
    signed_response,
)
from web.saml_site import Browser, Site, carried, link_in, site, status_of

PARTIAL = '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"/>'


@pytest.fixture
async def world() -> AsyncIterator[Site]:
    async with site() as made:
        yield made


async def soap(browser: Browser, text: str) -> Any:
    return await browser.post(
        "/saml/slo/soap", content=envelope(text), headers={"content-type": "text/xml", "cookie": ""}
    )


def statuses_in(answer: Any) -> list[str]:
    return status_of(etree.fromstring(answer.content))


# -- logging on


async def test_a_person_is_sent_to_the_identity_provider_and_comes_back_logged_on(world: Site) -> None:  # S7, S2
    browser = world.browser()
    answer = await browser.log_on()
    assert (answer.status_code, answer.headers["location"]) == (303, "/shop/"), answer.text
    assert (await browser.get("/shop/")).json() == {"who": "ann", "roles": ["cn=clerks", "cn=all"]}
    assert await browser.who("bank") == "ann"


async def test_the_way_back_leads_to_a_page_of_this_site_only(world: Site) -> None:  # T31, S20
    for there in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "data:x"):
        answer = await world.browser().get("/saml/logon", params={"next": there})
        assert answer.status_code == 400
    browser = world.browser()
    request_id, relay_state, _ = await browser.leave("/saml/logon?next=/shop/%3Fa%3D1%26b%3D2")
    assert "/" not in relay_state
    text = signed_response(answers=request_id, r_answers=request_id)
    answer = await browser.come_back(text, relay_state)
    assert answer.headers["location"] == "/shop/?a=1&b=2"


async def test_a_response_counts_once_in_the_browser_that_asked_for_it(world: Site) -> None:  # R41
    ann, mallory = world.browser(), world.browser()
    request_id, relay_state, _ = await ann.leave()
    text = signed_response(answers=request_id, r_answers=request_id)
    await mallory.leave()
    assert "saml_unsolicited" in (await mallory.come_back(text, relay_state)).text
    assert (await ann.come_back(text, relay_state)).status_code == 303
    assert "saml_unsolicited" in (await ann.come_back(text, relay_state)).text  # its request is closed
    _, relay_state, _ = await mallory.leave()
    assert "saml_unsolicited" in (await mallory.come_back(text, relay_state)).text  # and it answers no other
    assert await mallory.who() is None


async def test_an_assertion_counts_once_whatever_it_answers(world: Site) -> None:  # R41
    one, two = world.browser(), world.browser()
    assert (await one.log_on(id="_same")).status_code == 303
    assert "saml_replayed" in (await two.log_on(id="_same")).text


async def test_nobody_is_logged_on_who_did_not_ask(world: Site) -> None:  # R41
    browser = world.browser()
    for relay_state in ("", "/shop/", "A" * 43):
        answer = await browser.come_back(signed_response(), relay_state)
        assert (answer.status_code, "saml_unsolicited" in answer.text) == (400, True)
    assert await browser.who() is None


async def test_a_browser_that_keeps_our_cookie_from_other_sites_posts_once_more_from_ours(world: Site) -> None:
    browser = world.browser()
    request_id, relay_state, _ = await browser.leave()
    text = signed_response(answers=request_id, r_answers=request_id)
    fields = dict(form(text, relay_state=relay_state))
    page = await Browser(world).post("/saml/acs", fields, cross_site=True)
    assert (page.status_code, "script-src 'sha256-" in page.headers["content-security-policy"]) == (200, True)
    nobody = await Browser(world).post("/saml/acs", {**fields, "again": "1"})
    assert "saml_unsolicited" in nobody.text  # it is not posted a third time
    assert (await browser.post("/saml/acs", {**fields, "again": "1"})).status_code == 303
    assert await browser.who() == "ann"


async def test_a_request_that_waits_too_long_is_forgotten(world: Site) -> None:
    browser = world.browser()
    request_id, relay_state, _ = await browser.leave()
    world.clock.now += 601
    text = signed_response(answers=request_id, r_answers=request_id, r_at=world.clock.now, until=world.clock.now + 60)
    assert "saml_unsolicited" in (await browser.come_back(text, relay_state)).text


async def test_the_logon_ends_when_the_identity_provider_says(world: Site) -> None:  # R28
    browser = world.browser()
    await browser.log_on(session_ends=NOW + 600)
    for _ in range(2):
        world.clock.now += 299
        assert await browser.who() == "ann"
    world.clock.now = NOW + 600
    assert await browser.who() is None


async def test_a_logon_that_ended_by_itself_is_not_undone_silently(world: Site) -> None:  # R29
    browser = world.browser()
    _, _, request = await browser.leave()
    assert request.get("ForceAuthn") is None
    await browser.log_on()
    assert await browser.who() == "ann"
    world.clock.now += 1801
    await world.settle()
    assert await browser.who() is None
    request_id, relay_state, request = await browser.leave()
    assert request.get("ForceAuthn") == "true"
    now = world.clock.now
    times = {"r_at": now, "until": now + 60, "ends": now + 60, "session_ends": now + 600}
    stale = signed_response(answers=request_id, r_answers=request_id, at=NOW, **times)
    assert "saml_stale_logon" in (await browser.come_back(stale, relay_state)).text
    request_id, relay_state, _ = await browser.leave()
    fresh = signed_response(answers=request_id, r_answers=request_id, id="_fresh", at=now, **times)
    assert (await browser.come_back(fresh, relay_state)).status_code == 303


async def test_a_fresher_logon_goes_on_with_the_session_though_the_way_back_brings_no_cookie(
    world: Site,
) -> None:  # S14, R8
    browser = world.browser()
    await browser.log_on()
    await browser.who()
    world.clock.now += 120
    refused = await browser.get("/shop/orders")
    assert refused.json()["error"]["code"] == "step_up_needed"
    old = dict(browser.jar)
    request_id, relay_state, request = await browser.leave("/saml/logon?fresh=1&next=/shop/orders")
    assert request.get("ForceAuthn") == "true"
    now = world.clock.now
    said = {"at": now, "r_at": now, "id": "_second", "session": "_s2", "until": now + 60, "ends": now + 60}
    answer = await browser.come_back(signed_response(answers=request_id, r_answers=request_id, **said), relay_state)
    assert answer.headers["location"] == "/shop/orders"
    assert (await browser.get("/shop/orders")).json() == "ann"
    logons = [one async for one in world.running.manager.each("kind", "security")]
    assert len([one for one in logons if one.state == "live"]) == 1
    thief = Browser(world, {"__Host-holdfast-logon": old["__Host-holdfast-logon"]})
    assert await thief.who("bank") is None
    assert statuses_in(
        await soap(browser, sign(logout_request(to=SP_URL + "/slo/soap", sessions=["_s2"], at=now, until=now + 60)))
    ) == ["Success"]
    assert await browser.who() is None


async def test_people_are_called_what_an_attribute_says() -> None:
    async with site(people=People(subject="uid", roles_in="groups", roles={"cn=clerks": "clerk"})) as world:
        browser = world.browser()
        await browser.log_on(name="_transient", attributes={"uid": ["ann"], "groups": ["cn=clerks", "cn=all"]})
        assert (await browser.get("/shop/")).json() == {"who": "ann", "roles": ["clerk"]}
        answer = await soap(browser, sign(logout_request(name="_transient", to=SP_URL + "/slo/soap", sessions=[])))
        assert statuses_in(answer) == ["Success"]
        assert await browser.who() is None


# -- the identity provider logs off


@pytest.mark.parametrize("binding", ["redirect", "post", "soap"])
async def test_a_logout_of_the_identity_providers_ends_everything_and_is_confirmed(
    world: Site, binding: str
) -> None:  # S8, R43, R44
    browser = world.browser()
    await browser.log_on()
    assert [await browser.who(app) for app in ("shop", "bank")] == ["ann", "ann"]
    if binding == "soap":
        answer = await soap(browser, sign(logout_request(to=SP_URL + "/slo/soap")))
        message = etree.fromstring(answer.content)[0][0]
    elif binding == "post":
        fields = dict(form(sign(logout_request()), "SAMLRequest", relay_state="their-state"))
        answer = await browser.post("/saml/slo", fields, cross_site=True)
        assert 'name="RelayState" value="their-state"' in answer.text
        page = etree.HTML(answer.text)
        message = etree.fromstring(b64decode(page.xpath("//input[@name='SAMLResponse']/@value")[0]))
        assert page.xpath("//form/@action") == ["https://idp.example/slo-post"]
    else:
        sent = query(logout_request(), relay_state="their-state").decode()
        answer = await browser.get("/saml/slo?" + sent)
        message, relay_state = carried(answer.headers["location"])
        assert relay_state == "their-state"
        assert "clear-site-data" not in answer.headers  # the identity provider may live below the same domain
    assert (status_of(message), message.get("InResponseTo")) == (["Success"], "_l1")
    assert [await browser.who(app) for app in ("shop", "bank")] == [None, None]


async def test_a_logout_names_sessions_or_a_person_and_never_another_identity_providers() -> None:  # R43
    async with site(idps=((IDP, "idp"), (OTHER_IDP, "other"))) as world:
        first, second, foreign = world.browser(), world.browser(), world.browser()
        await first.log_on(session="_s1")
        await second.log_on(session="_s2")
        request_id, relay_state, _ = await foreign.leave(f"/saml/logon?idp={OTHER_IDP}&next=/shop/")
        said = {"issuer": OTHER_IDP, "r_issuer": OTHER_IDP, "id": "_foreign"}
        text = signed_response("other", answers=request_id, r_answers=request_id, **said)
        assert (await foreign.come_back(text, relay_state)).status_code == 303
        to = SP_URL + "/slo/soap"
        await soap(first, sign(logout_request(id="_1", to=to, sessions=["_s9", "_s1"])))
        assert [await one.who() for one in (first, second, foreign)] == [None, "ann", "ann"]
        await soap(first, sign(logout_request(id="_2", to=to, sessions=[], name="bob")))
        assert [await one.who() for one in (second, foreign)] == ["ann", "ann"]
        await soap(first, sign(logout_request(id="_3", to=to, sessions=[])))
        assert [await one.who() for one in (second, foreign)] == [None, "ann"]


async def test_a_logout_of_what_has_ended_already_succeeds(world: Site) -> None:  # R44
    assert statuses_in(await soap(world.browser(), sign(logout_request(to=SP_URL + "/slo/soap")))) == ["Success"]


@pytest.mark.parametrize("sessions", [["_s1"], []])
async def test_a_response_that_was_slower_than_the_logout_of_its_session_logs_nobody_on(
    world: Site, sessions: list[str]
) -> None:  # S8, T12
    browser = world.browser()
    request_id, relay_state, _ = await browser.leave()
    said = {"answers": request_id, "r_answers": request_id}
    await soap(browser, sign(logout_request(to=SP_URL + "/slo/soap", sessions=sessions)))
    late = await browser.come_back(signed_response(**said), relay_state)
    assert "saml_out_of_time" in late.text
    assert await browser.who() is None
    world.clock.now += 1
    assert (await browser.log_on(issued=NOW + 1)).status_code == 303
    assert await browser.who() == "ann"


class Down:
    """Counters that cannot be reached once `down` is set."""

    def __init__(self, counters: Counters) -> None:
        self._counters, self.down = counters, False

    def __getattr__(self, name: str) -> Any:
        if self.down:
            raise StoreUnavailable("the store does not answer")
        return getattr(self._counters, name)


async def test_a_store_that_is_down_makes_a_logout_partial(world: Site) -> None:  # R44
    store = memory_store()
    counters = Down(store.counters)
    async with site(msgspec.structs.replace(store, counters=counters)) as made:
        browser = made.browser()
        await browser.log_on()
        counters.down = True
        answer = await soap(browser, sign(logout_request(to=SP_URL + "/slo/soap")))
        assert statuses_in(answer) == ["Responder", "PartialLogout"]
        counters.down = False
        assert await browser.who() == "ann"


# -- we log off


async def test_a_person_logs_off_here_first_and_then_at_the_identity_provider(world: Site) -> None:  # S8, R45
    browser = world.browser()
    await browser.log_on()
    await browser.who()
    stolen = Browser(world, dict(browser.jar))
    answer = await browser.post("/saml/logout?next=/shop/")
    assert await stolen.who() is None
    assert "logged out here" in answer.text
    assert "clear-site-data" not in answer.headers
    request, relay_state = carried(link_in(answer.text))
    assert [one.text for one in request.iterfind("{*}SessionIndex")] == ["_s1"]
    assert request.find("{*}NameID").text == "ann"
    text = logout_response(answers=request.get("ID"))
    back = await browser.get("/saml/slo?" + query(text, kind="SAMLResponse", relay_state=relay_state).decode())
    assert (back.status_code, back.headers["location"]) == (303, "/shop/")
    assert back.headers["clear-site-data"] == '"cookies", "storage"'
    assert await browser.who() is None


async def test_who_could_not_be_logged_off_everywhere_is_told(world: Site) -> None:  # S8, R45
    browser = world.browser()
    await browser.log_on()
    answer = await browser.post("/saml/logout")
    request, relay_state = carried(link_in(answer.text))
    text = logout_response(answers=request.get("ID"), status=PARTIAL)
    back = await browser.get("/saml/slo?" + query(text, kind="SAMLResponse", relay_state=relay_state).decode())
    assert "perhaps not everywhere" in back.text
    assert IDP in back.text


@pytest.mark.parametrize("how", ["down", "garbage", "forged", "partial", "good"])
async def test_over_the_back_channel_a_person_is_told_what_has_come_of_it(how: str) -> None:  # R45
    def answer(sent: bytes) -> bytes:
        if how == "down":
            raise IssuerUnavailable("the issuer answers 500")
        request = etree.fromstring(sent)[0][0]
        text = logout_response(answers=request.get("ID"), status=PARTIAL if how == "partial" else logout_ok)
        return b"<html>" if how == "garbage" else envelope(sign(text, "thief" if how == "forged" else "idp"))

    logout_ok = '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/>'
    async with site(logout="back") as world:
        world.answer = answer
        browser = world.browser()
        await browser.log_on()
        said = await browser.post("/saml/logout")
        assert ("perhaps not everywhere" in said.text) == (how != "good")
        assert world.posted[0][0] == "https://idp.example/slo-soap"
        assert await browser.who() is None


async def test_logging_off_needs_a_form_of_this_site(world: Site) -> None:  # R49
    browser = world.browser()
    await browser.log_on()
    assert "<form" in (await browser.get("/saml/logout")).text
    foreign = await browser.post("/saml/logout", headers={"origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert await browser.who() == "ann"


async def test_an_answer_to_a_logout_counts_once_in_the_browser_that_asked(world: Site) -> None:
    browser, other = world.browser(), world.browser()
    await browser.log_on()
    answer = await browser.post("/saml/logout")
    request, relay_state = carried(link_in(answer.text))
    sent = query(logout_response(answers=request.get("ID")), kind="SAMLResponse", relay_state=relay_state).decode()
    assert "saml_unsolicited" in (await other.get("/saml/slo?" + sent)).text
    forged = query(logout_response(answers=request.get("ID")), "thief", kind="SAMLResponse", relay_state=relay_state)
    assert "saml_bad_signature" in (await browser.get("/saml/slo?" + forged.decode())).text
    assert "saml_unsolicited" in (await browser.get("/saml/slo?" + sent)).text  # the request is closed


# -- an administrator logs somebody off


async def test_an_administrators_end_is_told_to_the_identity_provider(world: Site) -> None:  # S19
    def answer(sent: bytes) -> bytes:
        return envelope(sign(logout_response(answers=etree.fromstring(sent)[0][0].get("ID"))))

    browser = world.browser()
    await browser.log_on()
    [listed] = await world.running.logons.listed(f"{IDP}|ann|")
    await world.running.logons.end_listed(f"{IDP}|ann|", listed.handle)
    world.answer = answer
    assert await told([world.saml], listed.logon) == []
    sent = etree.fromstring(world.posted[0][1])[0][0]
    assert (sent.find("{*}NameID").text, sent.find("{*}SessionIndex").text) == ("ann", "_s1")

    def down(sent: bytes) -> bytes:
        raise IssuerUnavailable("no answer")

    world.answer = down
    assert await told([world.saml], listed.logon) == [IDP]
    assert await told([world.saml], Logon(subject="ann", method="password", at=NOW)) == []


# -- what is told and what is not


async def test_metadata_tell_our_certificate_and_addresses(world: Site) -> None:
    answer = await world.browser().get("/saml/metadata")
    root = etree.fromstring(answer.content)
    assert root.get("entityID") == SP_URL + "/metadata"
    places = {
        (one.get("Binding").rpartition(":")[2], one.get("Location"))
        for one in root.iterfind(".//{*}SingleLogoutService")
    }
    assert places == {
        ("HTTP-Redirect", SP_URL + "/slo"),
        ("HTTP-POST", SP_URL + "/slo"),
        ("SOAP", SP_URL + "/slo/soap"),
    }


async def test_refusals_are_logged_and_told_by_code_without_what_the_message_said(
    world: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await world.browser().log_on(name="secret-name", recipient="https://secret.example")
        await soap(world.browser(), logout_request(name="secret-name"))
    assert "saml_wrong_recipient" in caplog.text
    assert "saml_unsigned" in caplog.text
    assert "secret" not in caplog.text
    assert [event.detail for event in world.sink.events if event.fact == "logon_failed"] == [
        "saml: saml_wrong_recipient"
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/saml/acs", 405), ("POST", "/saml/metadata", 405), ("GET", "/saml/", 404), ("GET", "/saml/x", 404)],
)
async def test_there_is_nothing_else(world: Site, method: str, path: str, status: int) -> None:
    assert (await world.browser().send(method, path)).status_code == status


async def test_a_set_up_without_an_identity_provider_is_refused(world: Site) -> None:
    security = world.saml._shared.security
    twice = Partner(metadata=identity_metadata())
    for partners in (
        (),
        (twice, twice),
        (Partner(metadata=b"<x/>"),),
        (Partner(metadata=identity_metadata(until=1.0)),),
    ):
        with pytest.raises(ConfigurationError):
            Saml(security, service_provider(), *partners)


async def nowhere(url: str) -> bytes:
    raise AssertionError("nothing is at an address")


async def test_metadata_that_expire_or_become_anothers_hold_up_no_other_identity_provider(tmp_path: Path) -> None:
    clock, file = Clock(NOW), tmp_path / "idp.xml"
    file.write_bytes(identity_metadata())
    short = Partner(metadata=identity_metadata(OTHER_IDP, until=NOW + 60))
    partners = Partners((short, Partner(metadata=file)), clock, nowhere)
    clock.now = NOW + 60
    assert (await partners.named(IDP).current()).entity_id == IDP
    with pytest.raises(SamlUnavailable):
        await partners.named(OTHER_IDP).current()
    file.write_bytes(identity_metadata("https://evil.example/metadata"))
    assert (await partners.named(IDP).current()).entity_id == IDP
    assert "https://evil.example/metadata" not in partners


async def test_keys_roll_over_when_the_file_of_metadata_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, file = Clock(NOW), tmp_path / "idp.xml"
    file.write_bytes(identity_metadata(IDP, "idp", until=NOW + 60))
    metadata = Metadata(Partner(metadata=file), clock, nowhere)
    assert len((await metadata.current()).certificates) == 1
    file.write_bytes(identity_metadata(IDP, "idp", "idp2", until=NOW + 120))
    assert len((await metadata.current()).certificates) == 2
    file.write_bytes(b"<half")
    assert len((await metadata.current()).certificates) == 2
    assert "saml_malformed" in caplog.text
    file.unlink()
    assert len((await metadata.current()).certificates) == 2
    clock.now = NOW + 120
    with pytest.raises(SamlUnavailable):
        await metadata.current()
